//! A rollback that began outside the execution: an alarm, an operator, the logs or the sweep moves the traffic at once, and
//! the execution takes that in at its next look.

use crossfade::domain::{
    Timestamp,
    record::{Record, Status},
    weight::Weight,
};

use super::{Entry, Kind, Timeline};

/// How far such a rollback has been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outside {
    /// There is none, as far as is known.
    #[default]
    Unseen,
    /// It was requested; the traffic may still be moving.
    Requested,
    /// All traffic is on blue.
    Whole,
}

impl Timeline {
    /// Whether the ledger has to be read: the execution has neither ended nor taken a rollback in.
    pub(crate) fn may_go_back_outside(&self) -> bool {
        self.shift_begun && self.ended.is_none() && self.outside != Outside::Whole
    }

    /// Takes in the ledger's row, and whether all traffic is on blue, where that was read. Returns what is new.
    pub(crate) fn seen_outside(
        &mut self,
        record: &Record,
        whole: Option<bool>,
        now: Timestamp,
    ) -> Vec<Entry> {
        let mut told = Vec::new();
        let Some(why) = record.why.as_ref().filter(|_| goes_back(record)) else {
            return told;
        };
        if self.outside == Outside::Unseen {
            self.outside = Outside::Requested;
            let text = format!("all traffic returns to blue at once: {}", why.reason);
            told.push(self.happening(why.at, Kind::RollingBack, text));
        }
        if whole == Some(true) {
            self.outside = Outside::Whole;
            let text = "blue has all traffic; the execution ends at its next look";
            let mut entry = self.happening(now, Kind::RollingBack, text);
            entry.weight = Some(Weight::ZERO);
            told.push(entry);
        }
        told
    }
}

/// Whether a rollback was requested of a release that had traffic on green.
pub(crate) fn goes_back(record: &Record) -> bool {
    record.status == Status::RollingBack && record.has_shifted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_rollback_from_outside_once() {
        let now: Timestamp = "2026-11-20T12:05:00Z".parse().unwrap();
        let mut story = Timeline {
            shift_begun: true,
            ..Timeline::default()
        };
        let mut record = Record::example();
        assert!(story.seen_outside(&record, None, now).is_empty());
        record.status = Status::RollingBack;
        record.why = Some(
            serde_json::from_value(
                serde_json::json!({"reason": "alarm chat-5xx", "at": "2026-11-20T12:04:00Z"}),
            )
            .unwrap(),
        );
        let told = story.seen_outside(&record, Some(false), now);
        assert_eq!(
            told.iter().map(Entry::line).collect::<Vec<_>>(),
            ["12:04:00Z  all traffic returns to blue at once: alarm chat-5xx"]
        );
        assert!(story.may_go_back_outside(), "it is not known to be whole");
        let told = story.seen_outside(&record, Some(true), now);
        assert_eq!(
            told.iter().map(Entry::line).collect::<Vec<_>>(),
            ["12:05:00Z  blue has all traffic; the execution ends at its next look"]
        );
        assert_eq!(told[0].weight, Some(Weight::ZERO));
        assert!(!story.may_go_back_outside());
    }
}
