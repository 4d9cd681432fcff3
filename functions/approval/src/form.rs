//! What an operator answers, checked.

use crossfade::domain::approval::{Answer, AnswerKind, MAX_NAME, MAX_REASON, QuestionKind};

/// The form as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// A word, or nothing.
    pub(crate) decision: String,
    /// The operator's name.
    pub(crate) by: String,
    /// Why.
    pub(crate) reason: String,
}

/// What is to be put right before it can be an answer: a sentence a field, none where all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes {
    pub(crate) decision: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Form {
    /// The word that was chosen, where it is one that was offered.
    pub(crate) fn chosen(&self, kind: QuestionKind) -> Option<AnswerKind> {
        let word = self.decision.parse().ok()?;
        kind.words().contains(&word).then_some(word)
    }

    /// The answer, or what is missing. The browser has requested the same, but need not have.
    pub(crate) fn check(&self, kind: QuestionKind) -> Result<Answer, Mistakes> {
        let mut mistakes = Mistakes::default();
        let word = self.chosen(kind);
        if word.is_none() {
            mistakes.decision = Some("Choose what is to be done.".to_owned());
        }
        mistakes.by = match length(&self.by) {
            0 => Some("Give your name: it goes on record with the decision.".to_owned()),
            n if n > MAX_NAME => Some(too_long(n, MAX_NAME)),
            _ => None,
        };
        mistakes.reason = match length(&self.reason) {
            0 if word == Some(AnswerKind::Reject) => Some(
                "Give a reason for the rejection: the author of the release needs it.".to_owned(),
            ),
            n if n > MAX_REASON => Some(too_long(n, MAX_REASON)),
            _ => None,
        };
        match word {
            Some(word) if mistakes == Mistakes::default() => {
                Ok(Answer::new(word).by(&self.by).because(&self.reason))
            }
            _ => Err(mistakes),
        }
    }
}

fn length(text: &str) -> usize {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control())
        .chars()
        .count()
}

fn too_long(length: usize, most: usize) -> String {
    format!("This has {length} characters; {most} can be kept.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(decision: &str, by: &str, reason: &str) -> Form {
        Form {
            decision: decision.to_owned(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn requires_an_offered_answer_and_a_name() {
        let answer = form("approve", " Ada ", "")
            .check(QuestionKind::Approval)
            .unwrap();
        assert_eq!(answer, Answer::new(AnswerKind::Approve).by("Ada"));
        for word in [
            "", "yes", "Approve", "resume", "promote", "rollBack", "silence",
        ] {
            let mistakes = form(word, "Ada", "x")
                .check(QuestionKind::Approval)
                .unwrap_err();
            assert!(
                mistakes.decision.is_some() && mistakes.by.is_none(),
                "{word}"
            );
        }
        for word in ["resume", "promote", "rollBack"] {
            assert!(
                form(word, "Ada", "").check(QuestionKind::Hold).is_ok(),
                "{word}"
            );
        }
        for word in ["approve", "reject", "silence"] {
            assert!(
                form(word, "Ada", "x").check(QuestionKind::Hold).is_err(),
                "{word}"
            );
        }
        for nobody in ["", "  ", "\r\n\t", "\u{0}"] {
            let mistakes = form("approve", nobody, "")
                .check(QuestionKind::Approval)
                .unwrap_err();
            assert!(mistakes.by.is_some() && mistakes.decision.is_none());
        }
    }

    #[test]
    fn requires_a_reason_to_reject() {
        let mistakes = form("reject", "Ada", " \n")
            .check(QuestionKind::Approval)
            .unwrap_err();
        assert!(mistakes.reason.is_some());
        let answer = form("reject", "Ada", "odd")
            .check(QuestionKind::Approval)
            .unwrap();
        assert_eq!(
            answer,
            Answer::new(AnswerKind::Reject).by("Ada").because("odd")
        );
    }

    #[test]
    fn nothing_is_cut_off_in_silence() {
        let check = |by: usize, reason: usize| {
            form("approve", &"é".repeat(by), &"é".repeat(reason)).check(QuestionKind::Approval)
        };
        let whole = check(MAX_NAME, MAX_REASON).unwrap();
        assert_eq!(whole.by.map(|by| by.chars().count()), Some(MAX_NAME));
        assert!(check(MAX_NAME + 1, 0).unwrap_err().by.is_some());
        assert!(check(1, MAX_REASON + 1).unwrap_err().reason.is_some());
    }
}
