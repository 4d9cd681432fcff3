//! Questions on a terminal.

use std::io::{self, BufRead, BufReader, IsTerminal as _, Stderr, Stdin, Write};

/// Where questions are asked and answered.
#[derive(Debug)]
pub(crate) struct Asker<R, W> {
    pub(crate) answers: R,
    pub(crate) questions: W,
}

/// The terminal that the command was typed on.
pub(crate) type Terminal = Asker<BufReader<Stdin>, Stderr>;

/// Returns the terminal, where there is one to ask on.
pub(crate) fn terminal() -> Option<Terminal> {
    (io::stdin().is_terminal() && io::stderr().is_terminal()).then(|| Asker {
        answers: BufReader::new(io::stdin()),
        questions: io::stderr(),
    })
}

/// Takes yes or no, in any case; nothing is no.
pub(crate) fn yes(answer: &str) -> Result<bool, String> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "" | "n" | "no" => Ok(false),
        _ => Err("answer y or n".to_owned()),
    }
}

impl<R: BufRead, W: Write> Asker<R, W> {
    /// Asks until the answer is acceptable; an empty one is what is proposed.
    ///
    /// # Errors
    /// When the input ends, or cannot be read.
    pub(crate) fn ask<T>(
        &mut self,
        question: &str,
        proposed: Option<&str>,
        accept: impl Fn(&str) -> Result<T, String>,
    ) -> io::Result<T> {
        loop {
            match proposed {
                Some(proposed) => write!(self.questions, "{question} [{proposed}]: ")?,
                None => write!(self.questions, "{question}: ")?,
            }
            self.questions.flush()?;
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = match (line.trim(), proposed) {
                ("", Some(proposed)) => proposed,
                (answer, _) => answer,
            };
            match accept(answer) {
                Ok(accepted) => return Ok(accepted),
                Err(why) => writeln!(self.questions, "  {why}")?,
            }
        }
    }
}

/// Splits a list with commas or blanks between its entries.
pub(crate) fn list(answer: &str) -> Vec<String> {
    let entries = answer.split(|c: char| c == ',' || c.is_whitespace());
    entries
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str, proposed: Option<&str>) -> (io::Result<String>, String) {
        let mut asker = Asker {
            answers: answers.as_bytes(),
            questions: Vec::new(),
        };
        let answer = asker.ask("Alias", proposed, |answer| match answer {
            "live" => Ok(answer.to_owned()),
            _ => Err(format!("there is no {answer}")),
        });
        (answer, String::from_utf8(asker.questions).unwrap())
    }

    #[test]
    fn asks_again_until_the_answer_will_do() {
        let (answer, shown) = asked("prod\nlive\n", None);
        assert_eq!(answer.unwrap(), "live");
        assert_eq!(shown, "Alias:   there is no prod\nAlias: ");
    }

    #[test]
    fn takes_what_is_proposed_for_an_empty_answer() {
        let (answer, shown) = asked("\n", Some("live"));
        assert_eq!(
            (answer.unwrap().as_str(), shown.as_str()),
            ("live", "Alias [live]: ")
        );
    }

    #[test]
    fn ends_with_its_input() {
        assert!(asked("prod\n", None).0.is_err());
    }

    #[test]
    fn takes_yes_only_for_yes() {
        for (answer, is) in [
            ("y", true),
            ("YES", true),
            ("", false),
            ("n", false),
            ("No", false),
        ] {
            assert_eq!(yes(answer), Ok(is), "{answer}");
        }
        assert!(yes("promote").is_err());
    }

    #[test]
    fn splits_lists() {
        assert_eq!(list("a, b c,,d "), ["a", "b", "c", "d"]);
    }
}
