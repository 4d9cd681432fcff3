//! Every derivation, of parts at their own services' limits.

use proptest::{prelude::*, sample::select};

use super::*;
use crate::domain::traffic::{ForwardAt, record_lock};

/// Parts that names are made of.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    application: Application,
    function: FunctionName,
    alias: AliasName,
    stage: StageName,
    api: ApiId,
    authorizer: String,
    alarm: AlarmName,
    identifier: SetIdentifier,
    group: TargetGroupArn,
    execution: String,
    record: String,
    rule: String,
    reason: String,
}

/// A name of these characters, at most so long and mostly just so long.
fn long(chars: &'static str, most: usize) -> BoxedStrategy<String> {
    let chars: Vec<char> = chars.chars().collect();
    let length = prop_oneof![4 => Just(most), 2 => 1..=most];
    (length, select(chars.clone()), select(chars))
        .prop_map(|(length, body, last)| {
            let mut text: String = std::iter::repeat_n(body, length - 1).collect();
            text.push(last);
            text
        })
        .boxed()
}

const WORD: &str = "aZ9-_";
const LETTERS: &str = "aZ9";

/// A word that names something else in other derivations.
fn stage() -> BoxedStrategy<String> {
    let odd = select(vec![
        "$default",
        "_default",
        "any",
        "authorizer-a1",
        "prod",
        "a-b",
        "a_b",
    ]);
    prop_oneof![3 => long(WORD, 128), 1 => odd.prop_map(str::to_owned)].boxed()
}

fn function() -> BoxedStrategy<String> {
    let odd = select(vec!["a-b", "a_b", "a-b-c", "a-b_c", "a_b_c", "-", "_"]);
    prop_oneof![3 => long(WORD, 64), 1 => odd.prop_map(str::to_owned)].boxed()
}

fn parts() -> impl Strategy<Value = Parts> {
    let alias = long(WORD, 127).prop_map(|text| format!("a{text}"));
    let application = long("aZ9-_.", 63).prop_map(|text| format!("A{text}"));
    let names = (
        application,
        function(),
        alias,
        stage(),
        long(LETTERS, 64),
        long(LETTERS, 64),
    );
    let group = long(LETTERS, 128).prop_map(|id| {
        format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/{id}")
    });
    let execution = long(WORD, 80).prop_map(|name| {
        format!(
            "arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:{}:{name}",
            "m".repeat(80)
        )
    });
    let label = long("a9-_", 61);
    let record = label.prop_map(|label| format!("{label}.{label}.{label}.{label}.example"));
    let rule = long(LETTERS, 3000).prop_map(|id| {
        format!(
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/{id}"
        )
    });
    let others = (
        long("aé😀 (", 255),
        long(WORD, 128),
        group,
        execution,
        record,
        rule,
    );
    (names, others, "\\PC{0,200}|[\\r\\n\\t]{1,3}.{0,150}").prop_map(|(names, others, reason)| {
        let (application, function, alias, stage, api, authorizer) = names;
        let (alarm, identifier, group, execution, record, rule) = others;
        Parts {
            application: application.parse().unwrap(),
            function: function.parse().unwrap(),
            alias: alias.parse().unwrap(),
            stage: stage.parse().unwrap(),
            api: api.parse().unwrap(),
            authorizer,
            alarm: alarm.parse().unwrap(),
            identifier: identifier.parse().unwrap(),
            group: group.parse().unwrap(),
            execution,
            record,
            rule,
            reason,
        }
    })
}

/// One derived name.
struct Derived {
    what: &'static str,
    /// What it is made from.
    from: String,
    made: String,
    /// The most of it, in bytes; what has more than ASCII is limited in bytes by its service.
    most: usize,
    allowed: Allowed,
}

type Allowed = fn(char) -> bool;

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[expect(
    clippy::too_many_lines,
    reason = "it is a list of all that are derived"
)]
fn all(parts: &Parts) -> Vec<Derived> {
    let at: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let key = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let any = |c: char| !c.is_control();
    let record = record_lock(
        &"Z0123456789ABCDEFGHIJ".parse().unwrap(),
        &parts.record.parse().unwrap(),
        crate::domain::names::resources::RecordType::A,
    );
    let rule = ForwardAt::Rule(parts.rule.parse().unwrap()).lock();
    let mut all: Vec<(_, _, _, _, Allowed)> = vec![
        (
            "execution",
            format!("{}", parts.application),
            execution(parts.application.as_ref(), at, 7),
            EXECUTION,
            |c| word(c) || c == '.',
        ),
        (
            "target group's statement",
            format!("{}", parts.group),
            target_group_statement(&parts.group),
            STATEMENT_ID,
            word,
        ),
        (
            "stage's statement",
            format!("{} {}", parts.api, parts.stage),
            stage_statement(&parts.api, Caller::Stage(&parts.stage)),
            STATEMENT_ID,
            word,
        ),
        (
            "authorizer's statement",
            format!("{} {}", parts.api, parts.authorizer),
            stage_statement(&parts.api, Caller::Authorizer(&parts.authorizer)),
            STATEMENT_ID,
            word,
        ),
        (
            "API's statement",
            format!("{}", parts.api),
            stage_statement(&parts.api, Caller::Any),
            STATEMENT_ID,
            word,
        ),
        (
            "description",
            format!("{} {}", parts.function, parts.alias),
            deployment_description(&parts.function, &parts.alias),
            DESCRIPTION,
            any,
        ),
        (
            "lock of a record",
            parts.record.clone(),
            keys::lock(&record),
            PARTITION_KEY,
            any,
        ),
        (
            "lock of a rule",
            parts.rule.clone(),
            keys::lock(&rule),
            PARTITION_KEY,
            any,
        ),
        (
            "splitter",
            parts.rule.clone(),
            keys::splitter(&rule),
            PARTITION_KEY,
            any,
        ),
        (
            "release",
            parts.execution.clone(),
            keys::deployment(&parts.execution),
            PARTITION_KEY,
            any,
        ),
        (
            "alarm",
            format!("{}", parts.alarm),
            keys::watched(&parts.alarm),
            PARTITION_KEY,
            any,
        ),
        (
            "promoted",
            format!("{}", parts.application),
            keys::promoted(&parts.application),
            PARTITION_KEY,
            any,
        ),
        (
            "retained",
            format!("{}", parts.function),
            keys::retained(&parts.function),
            PARTITION_KEY,
            any,
        ),
        (
            "retentions",
            format!("{}", parts.application),
            keys::retentions(&parts.application),
            PARTITION_KEY,
            any,
        ),
        (
            "doomed",
            format!("{}", parts.function),
            keys::doomed(&parts.function),
            PARTITION_KEY,
            any,
        ),
        (
            "migration",
            parts.execution.clone(),
            keys::migration(&parts.execution),
            PARTITION_KEY,
            any,
        ),
        (
            "stage",
            format!("{}", parts.api),
            keys::stage_wirings(&parts.api),
            PARTITION_KEY,
            any,
        ),
        (
            "wiring",
            format!("{} {}", parts.stage, parts.function),
            keys::wiring(&parts.stage, &parts.function),
            SORT_KEY,
            any,
        ),
    ];
    for nth in [1, 2, 1000] {
        let from = format!("{} {nth}", parts.function);
        all.push((
            "stage variable",
            from,
            stage_variable(&parts.function, nth),
            STAGE_VARIABLE,
            key,
        ));
    }
    all.into_iter()
        .map(|(what, from, made, most, allowed)| Derived {
            what,
            from,
            made,
            most,
            allowed,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn derived_names_fit_their_services_and_stay_distinct(one in parts(), other in parts()) {
        let (ones, others) = (all(&one), all(&other));
        for derived in ones.iter().chain(&others) {
            prop_assert!(!derived.made.is_empty(), "{}", derived.what);
            prop_assert!(derived.made.len() <= derived.most, "{}: {} of {}", derived.what, derived.made.len(), derived.most);
            prop_assert!(derived.made.chars().all(derived.allowed), "{}: {}", derived.what, derived.made);
        }
        // Within a service's namespace: all statements, all stage variables, all keys.
        let spaces = |derived: &Derived| match derived.what {
            what if what.ends_with("statement") => "statement",
            what if derived.most == PARTITION_KEY && what.starts_with("lock") => "lock",
            what => what,
        };
        for derived in &ones {
            for twin in ones.iter().chain(&others).filter(|twin| spaces(twin) == spaces(derived)) {
                let same = twin.what == derived.what && twin.from == derived.from;
                prop_assert_eq!(twin.made == derived.made, same, "{} {:?}, {} {:?}: {}", derived.what, derived.from, twin.what, twin.from, derived.made);
            }
        }
        let subject = subject("ROLLED_BACK", &one.application, &one.reason);
        prop_assert!(subject.len() <= SUBJECT && subject.chars().all(|c| (' '..='~').contains(&c)), "{subject}");
        // What cannot be cut is refused.
        let colour = colour(&one.alias, &one.identifier);
        let length = one.alias.as_ref().len() + 1 + one.identifier.as_ref().len();
        prop_assert_eq!(colour.is_ok(), length <= 128);
    }
}

#[test]
fn names_that_fit_stay_readable() {
    let function = "chat-api".parse().unwrap();
    assert_eq!(stage_variable(&function, 1), "chat_api_alias");
    assert_eq!(stage_variable(&function, 2), "chat_api_alias_2");
    let api = "a1b2c3d4e5".parse().unwrap();
    let of = |caller| stage_statement(&api, caller);
    let stage = "prod-1".parse().unwrap();
    assert_eq!(of(Caller::Stage(&stage)), "crossfade-a1b2c3d4e5-prod-1");
    assert_eq!(of(Caller::Any), "crossfade-a1b2c3d4e5-any");
    assert_eq!(
        of(Caller::Authorizer("x9")),
        "crossfade-a1b2c3d4e5-authorizer-x9"
    );
    let at: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    assert_eq!(execution("chat", at, 255), "chat-20261120T120000Z-00ff");
    let long = stage_variable(&"f".repeat(64).parse().unwrap(), 1);
    assert!(long.len() == 64 && long.ends_with("_alias"), "{long}");
    assert_eq!(keys::lock("function/chat"), "LOCK#function/chat");
}

/// A former version's names, as far as they are still made: what it wrote is found again.
#[test]
fn keys_of_the_ledger_are_those_of_former_versions() {
    let function = "chat".parse().unwrap();
    let application = "shop".parse().unwrap();
    assert_eq!(keys::deployment("arn:e"), "DEPLOYMENT#arn:e");
    assert_eq!(
        keys::watched(&"chat-5xx".parse().unwrap()),
        "ALARM#chat-5xx"
    );
    assert_eq!(keys::promoted(&application), "PROMOTED#shop");
    assert_eq!(keys::retained(&function), "RETAINED#chat");
    assert_eq!(keys::retentions(&application), "RETENTIONS#shop");
    assert_eq!(keys::doomed(&function), "DOOMED#chat");
    assert_eq!(keys::migration("arn:e"), "MIGRATION#arn:e");
    assert_eq!(keys::stage_wirings(&"a1".parse().unwrap()), "FRONTDOOR#a1");
    let stage = "prod".parse().unwrap();
    assert_eq!(keys::wiring(&stage, &function), "prod#chat");
}
