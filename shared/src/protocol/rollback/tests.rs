use super::*;
use crate::domain::weight::Weight;

fn promoted() -> Record {
    Record {
        status: Status::Promoted,
        weight: Weight::FULL,
        steps: Vec::new(),
        retain_until: Some(at("2026-11-21T12:00:00Z")),
        ..Record::example()
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[test]
fn is_rejected_until_green_may_have_had_traffic() {
    let record = |shift_begun, weight| Record {
        status: Status::RollingBack,
        shift_begun,
        weight,
        ..promoted()
    };
    for (record, changed_outside, status) in [
        (
            record(false, Weight::ZERO),
            false,
            DeploymentStatus::Rejected,
        ),
        (
            record(false, Weight::ZERO),
            true,
            DeploymentStatus::Rejected,
        ),
        (
            record(true, Weight::ZERO),
            false,
            DeploymentStatus::RolledBack,
        ),
        (
            record(false, Weight::FULL),
            false,
            DeploymentStatus::RolledBack,
        ),
        (record(true, Weight::FULL), true, DeploymentStatus::Held),
    ] {
        assert_eq!(ended(&record, changed_outside), status, "{record:?}");
    }
}

#[test]
fn blue_is_kept_until_its_retention_is_over() {
    let (now, late) = (at("2026-11-21T11:59:59Z"), at("2026-11-21T12:00:00Z"));
    let record = promoted();
    assert_eq!(blue_is_kept(&record, now), record.retain_until);
    assert_eq!(blue_is_kept(&record, late), None);
    let ended = Record {
        retention_ended_at: Some(at("2026-11-20T13:00:00Z")),
        ..record.clone()
    };
    assert_eq!(blue_is_kept(&ended, now), None);
    let back = Record {
        status: Status::RolledBack,
        ..record
    };
    assert_eq!(blue_is_kept(&back, now), None);
}

#[test]
fn restores_a_promoted_release_until_retention_ends() {
    let (now, late) = (at("2026-11-21T11:59:59Z"), at("2026-11-21T12:00:00Z"));
    let record = promoted();
    let itself = Some(record.execution.as_str());
    let asked = |record: &Record, latest, at| can_be_taken_back(record, latest, at);
    assert_eq!(asked(&record, itself, now), Ok(()));
    let not = |record: &Record, latest, at, says: &str| {
        let why = asked(record, latest, at).expect_err(says);
        assert!(why.contains(says), "{why}");
    };
    not(&record, itself, late, "was kept until 2026-11-21T12:00:00Z");
    not(
        &record,
        Some("a:43"),
        now,
        "release 43 has come after release 42",
    );
    let ended = Record {
        retention_ended_at: Some(at("2026-11-20T13:00:00Z")),
        ..record.clone()
    };
    not(&ended, itself, now, "was kept until 2026-11-20T13:00:00Z");
    for (status, says) in [
        (Status::RolledBack, "rolled back already"),
        (Status::RollingBack, "in flight"),
        (Status::Rejected, "moved no traffic"),
    ] {
        let record = Record {
            status,
            ..record.clone()
        };
        not(&record, itself, now, says);
    }
}
