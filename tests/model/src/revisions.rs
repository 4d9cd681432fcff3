//! Names of revisions: `r1`, `r2` and so on.
//!
//! AWS never gives a revision twice. Here the smallest name is given that is known nowhere any more, which
//! comes to the same: nobody can name it. So the states stay few.

/// Returns the revisions that a text names, as bits.
#[must_use]
pub fn in_text(text: &str) -> u64 {
    let mut all = 0;
    for (at, _) in text.match_indices("\"r") {
        let rest = &text[at + 2..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let ends = rest[digits..].starts_with(['"', '\\']);
        if let (true, Ok(number)) = (ends, rest[..digits].parse::<u32>()) {
            all |= bit(number);
        }
    }
    all
}

fn bit(number: u32) -> u64 {
    1_u64.checked_shl(number).expect("few revisions are known")
}

/// Returns the number of the first revision after 0 that is not among these.
#[must_use]
pub fn free(known: u64) -> u32 {
    (known | 1).trailing_ones()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_revisions_in_a_text() {
        let text = r#"Revision("r3") {"revisionId":"r12"} \"r5\" "rolling" "reason" "r" r7"#;
        assert_eq!(in_text(text), 1 << 3 | 1 << 12 | 1 << 5);
        assert_eq!(free(0b1111), 4);
        assert_eq!(free(0b1100), 1);
        assert_eq!(free(0), 1);
    }
}
