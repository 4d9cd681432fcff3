use chrono::TimeDelta;
use crossfade::domain::approval::nonce::Nonce;

use super::*;
use crate::fixtures::{self, asked, link, now, record};
use crate::link::{Link, open};

const STATUSES: [Status; 7] = [
    Status::Preparing,
    Status::InFlight,
    Status::RollingBack,
    Status::RolledBack,
    Status::Promoted,
    Status::Rejected,
    Status::Unchanged,
];

fn view(record: &Record) -> View {
    View::of(record, &Story::default(), None, now())
}

#[test]
fn opens_only_the_question_of_its_link() {
    let held = record(asked(QuestionKind::Approval));
    let opens = |record: Option<&Record>, link: &Link, at| open(record, link, at).is_some();
    assert!(opens(Some(&held), &link(), now()));
    assert_eq!(
        open(Some(&held), &link(), now()).map(|open| open.token),
        Some("a token")
    );
    assert!(!opens(None, &link(), now()), "no such release");
    let guessed = Link {
        nonce: Nonce::from_random([8; 32]),
        ..link()
    };
    assert!(!opens(Some(&held), &guessed, now()), "guessed");
    assert!(
        !opens(Some(&held), &link(), now() + TimeDelta::days(1)),
        "too late"
    );

    let mut used = held.clone();
    used.asked.as_mut().unwrap().nonce_hash = None;
    assert!(!opens(Some(&used), &link(), now()), "used");
    let mut answered = held.clone();
    answered.token = None;
    assert!(!opens(Some(&answered), &link(), now()), "nothing waits");
    for status in STATUSES {
        let other = Record {
            status,
            ..held.clone()
        };
        assert!(!opens(Some(&other), &link(), now()), "{status:?}");
    }
}

#[test]
fn titles_the_page_by_the_next_step() {
    let title = |asked: &Question| view(&record(asked.clone())).asking.unwrap().title;
    let mut ask = asked(QuestionKind::Approval);
    assert_eq!(title(&ask), "Move chat to 100 % on green?");
    ask.next = Decision::Promote;
    assert_eq!(title(&ask), "Promote green of chat?");
    ask.kind = QuestionKind::Hold;
    assert_eq!(title(&ask), "chat is held: what next?");
}

#[test]
fn says_of_each_status_how_it_stands() {
    let held = record(asked(QuestionKind::Hold));
    for status in STATUSES {
        let one = view(&Record {
            status,
            ..fixtures::in_flight()
        });
        assert!(one.title.starts_with("chat"), "{status:?}: {}", one.title);
        assert!(!one.now.is_empty() && one.asking.is_none(), "{status:?}");
        assert_eq!(one.is_open, status.is_open());
    }
    assert!(view(&held).asking.is_some());
    let mut left = held;
    left.token = None;
    let left = view(&left);
    assert!(left.asking.is_none(), "nothing waits for an answer");
    assert!(
        left.now[0].contains("roll it back by hand"),
        "{:?}",
        left.now
    );
}

#[test]
fn tells_promotion_apart_from_resuming() {
    let asking = view(&record(asked(QuestionKind::Hold))).asking.unwrap();
    let choice = |word: AnswerKind| asking.choices.iter().find(|it| it.word == word).unwrap();
    let (resume, promote) = (choice(AnswerKind::Resume), choice(AnswerKind::Promote));
    assert_ne!(resume.tone, promote.tone);
    assert!(promote.means.contains("are skipped"), "{}", promote.means);
    assert!(!resume.means.contains("skipped"), "{}", resume.means);
}

#[test]
fn measures_evidence_by_factors() {
    let judged = |e_value: f64| Judged {
        function: None,
        both: crate::history::Both::default(),
        e_value,
        threshold: 100.0,
        shadow: false,
    };
    for (e_value, share, strength) in [
        (0.0, 0.0, "none"),
        (1.0, 0.0, "none"),
        (3.0, 0.24, "little"),
        (10.0, 0.5, "some, and not enough to roll back"),
        (100.0, 1.0, "enough to roll back"),
        (1e12, 1.0, "enough to roll back"),
    ] {
        let judged = judged(e_value);
        assert!(
            (judged.share() - share).abs() < 0.01,
            "{e_value}: {}",
            judged.share()
        );
        assert_eq!(judged.strength(), strength, "{e_value}");
    }
}

#[test]
fn lists_findings_against_green() {
    let mut ask = asked(QuestionKind::Hold);
    ask.evidence = serde_json::from_value(serde_json::json!({
        "alarms": [{"name": "chat-5xx", "state": "INSUFFICIENT_DATA"}],
        "healthChecks": [{"check": "https://example.com/health", "failuresInARow": 2, "said": "503"}],
        "live": {"functionName": "f", "green": 7, "blue": 1, "sticking": false, "ownEValue": 900.0, "eValue": 900.0,
            "threshold": 200.0, "functions": 1},
        "validation": [{"passed": false}, {"passed": true}], "validationLeftOut": 3,
    }))
    .unwrap();
    let found = view(&record(ask)).evidence;
    assert_eq!(
        found.against,
        [
            "The alarm chat-5xx is INSUFFICIENT DATA.",
            "Health check https://example.com/health failed 2 times in a row: 503.",
            "Environments of green of f failed 7 times as its logs say, those of blue 1 time.",
        ]
    );
    assert_eq!(found.smoke_tests, Some((4, 5)));
    assert!(found.judged.is_none());
}

#[test]
fn orders_what_happened() {
    let moments = view(&fixtures::rolled_back()).moments;
    assert!(moments.is_sorted_by_key(|(at, _)| *at), "{moments:?}");
    assert_eq!(moments[0].1, "The release began.");
    assert_eq!(moments.last().unwrap().1, "Blue had all traffic again.");
}
