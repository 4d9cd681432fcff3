//! How a promoted release stands when its time is over.

use crossfade::{
    domain::{
        record::{Record, Status},
        retention::name_of,
    },
    error::Error,
    wire::retention::RetentionStatus,
};

/// How a release stands, in a word and in a sentence, and its row where there is something to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) standing: RetentionStatus,
    pub(crate) reason: String,
    pub(crate) record: Option<Record>,
}

/// Reads it from the release's row, and from which was promoted last.
///
/// # Errors
/// [`Error::Transient`] when the release has not ended yet: its promotion or its rollback is being
/// recorded.
pub(crate) fn of(record: Option<Record>, last: Option<&str>) -> Result<Found, Error> {
    let found = |standing, reason: String, record| {
        Ok(Found {
            standing,
            reason,
            record,
        })
    };
    let Some(record) = record else {
        let reason = "the ledger does not know the release any more: nothing is deleted";
        return found(RetentionStatus::Unknown, reason.into(), None);
    };
    match record.status {
        Status::Promoted => {}
        Status::RolledBack | Status::Rejected | Status::Unchanged => {
            let reason =
                "the release was taken back: nothing is deleted, and green is kept for debugging";
            return found(RetentionStatus::TakenBack, reason.into(), None);
        }
        Status::Preparing | Status::InFlight | Status::Held | Status::RollingBack => {
            return Err(Error::Transient(
                format!("release {} has not ended yet", name_of(&record.execution)).into(),
            ));
        }
    }
    if let Some(newer) = last.filter(|last| *last != record.execution) {
        let reason = format!(
            "release {} was promoted after it and ended its retention then: what that and others need is kept",
            name_of(newer)
        );
        return found(RetentionStatus::Superseded, reason, Some(record));
    }
    found(
        RetentionStatus::Over,
        "blue is not kept any more".into(),
        Some(record),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use crossfade::domain::weight::Weight;

    use super::*;

    pub(crate) fn record(status: Status) -> Record {
        Record {
            status,
            footprint: None,
            weight: Weight::FULL,
            retain_until: Some("2026-11-20T12:00:00Z".parse().unwrap()),
            ..Record::example()
        }
    }

    fn standing(status: Status, last: Option<&str>) -> (RetentionStatus, String, bool) {
        let found = of(Some(record(status)), last).unwrap();
        (found.standing, found.reason, found.record.is_some())
    }

    #[test]
    fn ends_retention_of_the_latest_promotion() {
        let itself = record(Status::Promoted).execution;
        let (standing, _, acts) = standing(Status::Promoted, Some(&itself));
        assert_eq!((standing, acts), (RetentionStatus::Over, true));
    }

    #[test]
    fn reports_retention_as_superseded() {
        let (standing, reason, acts) = standing(Status::Promoted, Some("arn:x:43"));
        assert_eq!((standing, acts), (RetentionStatus::Superseded, true));
        assert!(
            reason.contains("release 43 was promoted after it"),
            "{reason}"
        );
    }

    #[test]
    fn nothing_is_deleted_after_what_was_taken_back_or_is_not_known() {
        for status in [Status::RolledBack, Status::Rejected, Status::Unchanged] {
            let (standing, reason, acts) = standing(status, Some("arn:x:43"));
            assert_eq!((standing, acts), (RetentionStatus::TakenBack, false));
            assert!(reason.contains("green is kept for debugging"), "{reason}");
        }
        let unknown = of(None, None).unwrap();
        assert_eq!(
            (unknown.standing, unknown.record),
            (RetentionStatus::Unknown, None)
        );
    }

    #[test]
    fn waits_for_a_release_in_flight() {
        for status in [
            Status::Preparing,
            Status::InFlight,
            Status::Held,
            Status::RollingBack,
        ] {
            let found = of(Some(record(status)), None);
            assert!(matches!(found, Err(Error::Transient(_))), "{status:?}");
        }
    }
}
