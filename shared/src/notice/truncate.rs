//! Truncates notices to what a service accepts, and marks each cut.

use crate::display::truncate;
use crate::notice::NoticeDetail;

/// How much is left of each list where there is too little room.
const FEW: usize = 10;
/// The same of texts, characters.
const SHORT: usize = 1000;

/// The facts in at most `most` bytes of JSON. What says least goes first; the functions stay to the
/// last.
pub(super) fn truncate_detail(facts: &NoticeDetail, most: usize) -> NoticeDetail {
    let mut cut = facts.clone();
    let by: [fn(&mut NoticeDetail); 6] = [
        |it| {
            let whole = it.evidence.validation.len();
            it.evidence.validation.clear();
            it.evidence.validation_left_out += whole;
            it.left_out_of(whole, 0, "results of smoke tests");
        },
        |it| {
            let whole = it.steps.len();
            it.steps.drain(..whole.saturating_sub(FEW));
            it.left_out_of(whole, it.steps.len(), "steps that were taken");
        },
        |it| {
            let whole = it.evidence.alarms.len();
            it.evidence.alarms.truncate(FEW);
            it.left_out_of(whole, it.evidence.alarms.len(), "alarms");
        },
        |it| {
            let whole = it.warnings.len();
            it.warnings.truncate(FEW);
            it.left_out_of(whole, it.warnings.len(), "warnings");
        },
        |it| {
            it.reason = truncate(&it.reason, SHORT);
            if let Some(judge) = &mut it.evidence.judge {
                judge.reason = truncate(&judge.reason, SHORT);
            }
            for text in &mut it.warnings {
                *text = truncate(text, SHORT);
            }
            for found in &mut it.evidence.health_checks {
                found.said = truncate(&found.said, SHORT);
            }
        },
        |it| {
            let whole = it.functions.len();
            it.functions.truncate(FEW);
            it.left_out_of(whole, it.functions.len(), "functions");
        },
    ];
    for shorten in by {
        if bytes(&cut) <= most {
            break;
        }
        shorten(&mut cut);
    }
    cut
}

fn bytes(facts: &NoticeDetail) -> usize {
    serde_json::to_vec(facts)
        .expect("strings, numbers and lists always serialise")
        .len()
}

impl NoticeDetail {
    fn left_out_of(&mut self, all: usize, kept: usize, what: &str) {
        if all > kept {
            self.left_out
                .push(format!("{} of {all} {what}", all - kept));
        }
    }
}

/// Whole lines of a text in at most `most` bytes.
pub(super) fn lines(text: &str, most: usize) -> String {
    /// Room for what says that something is missing.
    const NOTE: usize = 64;
    if text.len() <= most {
        return text.to_owned();
    }
    let (mut end, mut kept) = (0, 0);
    for line in text.split_inclusive('\n') {
        if end + line.len() + NOTE > most {
            break;
        }
        end += line.len();
        kept += 1;
    }
    let left_out = text.lines().count() - kept;
    format!("{}({left_out} more lines are left out)\n", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_whole_and_counted() {
        let text = "0123456789\n".repeat(100);
        let cut = lines(&text, 300);
        assert!(cut.len() <= 300, "{}", cut.len());
        assert!(cut.ends_with("\n(79 more lines are left out)\n"), "{cut}");
        assert_eq!(lines(&text, text.len()), text);
    }
}
