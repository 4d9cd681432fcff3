use serde_json::{Value, json};

use crate::admission::*;
use crate::domain::analysis::alarm::AlarmState;

const STACK: [(&str, &str); 7] = [
    ("TargetFunctionPrefix", "chat-, orders-"),
    ("ArtifactBucket", "artifacts,more-artifacts"),
    ("ImageRepositoryPrefix", "team/"),
    (
        "ImageRepositoryArns",
        "arn:aws:ecr:eu-west-1:755283537543:repository/base-*",
    ),
    ("HostedZoneArns", "arn:aws:route53:::hostedzone/Z1"),
    ("LoadBalancerPrefix", "web"),
    ("HealthCheckHosts", "green.example.com"),
];

fn limits(more: &[(&str, &str)]) -> Read<Limits> {
    let of = |name: &str| {
        let found = more.iter().chain(&STACK).find(|(one, _)| *one == name);
        found.map_or_else(String::new, |(_, value)| (*value).to_owned())
    };
    Read::Seen(Limits::of(of))
}

#[allow(clippy::needless_pass_by_value)] // What `json!` makes.
fn request(more: Value) -> ReleaseRequest {
    let mut request = json!({"application": "chat", "strategy": "dev",
        "functions": [{"functionName": "chat-api", "alias": "live"}]});
    for (field, value) in more.as_object().cloned().unwrap_or_default() {
        request[field] = value;
    }
    serde_json::from_value(request).expect("it is a request")
}

fn place() -> Place {
    Place::of("arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:x")
}

fn now() -> Timestamp {
    "2026-11-21T06:40:00Z".parse().expect("it is a Saturday")
}

fn seen() -> Seen {
    Seen {
        place: place(),
        limits: limits(&[]),
        ..Seen::default()
    }
}

/// The problems, shown.
fn problems(request: Value, seen: &Seen) -> Vec<String> {
    let decided = decide(&self::request(request), seen, now());
    decided.problems.iter().map(ToString::to_string).collect()
}

fn one(request: Value, seen: &Seen) -> String {
    let mut problems = problems(request, seen);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn admits_what_the_stack_was_deployed_for() {
    let image = |uri: &str| json!({"functions": [{"functionName": "orders-api", "alias": "live", "code": {"imageUri": uri}}]});
    for request in [
        json!({}),
        json!({"functions": [{"functionName": "orders-api", "alias": "live",
            "code": {"s3Bucket": "more-artifacts", "s3Key": "1.zip"}}]}),
        image("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api:sha-abc123"),
        image("755283537543.dkr.ecr.eu-west-1.amazonaws.com/base-python:1"),
        json!({
            "traffic": {"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com"},
            "analysis": {"healthChecks": [
                {"url": "https://green.example.com/blue", "setIdentifier": "blue"},
                {"url": "https://green.example.com/green", "setIdentifier": "green"},
            ]},
        }),
        json!({"traffic": {"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com"}}),
    ] {
        assert_eq!(
            problems(request.clone(), &seen()),
            Vec::<String>::new(),
            "{request}"
        );
    }
}

#[test]
fn names_what_is_outside_of_the_stacks_limits_by_its_path() {
    let code = |code: Value| json!({"functions": [{"functionName": "chat-api", "alias": "live", "code": code}]});
    let arn = |rest: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{rest}");
    for (request, begins) in [
        (
            json!({"functions": [{"functionName": "other", "alias": "live"}]}),
            "functions[0].functionName: \"other\" does not begin with \"chat-\" or \"orders-\", the stack's parameter TargetFunctionPrefix",
        ),
        (
            json!({"migration": {"functionName": "migrate:live"}}),
            "migration.functionName: \"migrate:live\" does not begin with",
        ),
        (
            json!({"hooks": {"afterRollback": {"functionName": "hook"}}}),
            "hooks.afterRollback.functionName: \"hook\" does not begin with",
        ),
        (
            code(json!({"s3Bucket": "others", "s3Key": "1.zip"})),
            "functions[0].code.s3Bucket: the stack takes code from \"artifacts\" or \"more-artifacts\"",
        ),
        (
            code(json!({"imageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/others/api:1"})),
            "functions[0].code.imageUri: repository \"others/api\" of account 123456789012 in eu-west-1 is not among",
        ),
        (
            code(json!({"imageUri": "755283537543.dkr.ecr.eu-west-1.amazonaws.com/team/api:1"})),
            "functions[0].code.imageUri: repository \"team/api\" of account 755283537543 in eu-west-1 is not among",
        ),
        (
            code(json!({"imageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/api:1"})),
            "functions[0].code.imageUri: repository \"team/api\" of account 123456789012 in us-east-1 is in another Region",
        ),
        (
            json!({"traffic": {"type": "route53", "hostedZoneId": "Z2", "recordName": "api.example.com"}}),
            "traffic.hostedZoneId: hosted zone Z2 is not listed",
        ),
        (
            json!({"functions": [{"functionName": "chat-api"}], "traffic": {"type": "alb",
                "ruleArn": arn("listener-rule/app/other/1/2/3"),
                "targetGroupArns": [arn("targetgroup/web-blue/1"), arn("targetgroup/web-green/2")]}}),
            "traffic.ruleArn: load balancer \"other\" does not begin with \"web\"",
        ),
        (
            json!({"functions": [{"functionName": "chat-api"}], "traffic": {"type": "alb",
                "ruleArns": [arn("listener-rule/app/other/1/2/3")],
                "targetGroupArns": [arn("targetgroup/web-blue/1"), arn("targetgroup/web-green/2")]}}),
            "traffic.ruleArns[0]: load balancer \"other\" does not begin with \"web\"",
        ),
        (
            json!({"functions": [{"functionName": "chat-api"}], "traffic": {"type": "alb",
                "listenerArn": arn("listener/app/web/1/2"),
                "targetGroupArns": [arn("targetgroup/web-blue/1"), arn("targetgroup/green/2")]}}),
            "traffic.targetGroupArns[1]: target group \"green\" does not begin with \"web\"",
        ),
        (
            json!({"functions": [{"functionName": "chat-api"}], "traffic": {"type": "alb",
                "listenerArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/1/2",
                "targetGroupArns": [arn("targetgroup/web-blue/1"), arn("targetgroup/web-green/2")]}}),
            "traffic.listenerArn: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/1/2 is in account 123456789012 and Region us-east-1",
        ),
        (
            json!({
                "traffic": {"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com"},
                "analysis": {"healthChecks": [
                    {"url": "https://10.0.0.1/health", "setIdentifier": "blue"},
                    {"url": "https://green.example.com/health", "setIdentifier": "green"},
                ]},
            }),
            "analysis.healthChecks[0].url: host 10.0.0.1 is not allowed",
        ),
    ] {
        let told = one(request.clone(), &seen());
        assert!(told.starts_with(begins), "{request}: {told}");
        let decided = decide(&self::request(request), &seen(), now());
        assert_eq!(
            decided.refusal().map(|(kind, _)| kind),
            Some(Kind::InvalidRequest)
        );
    }
}

#[test]
fn takes_no_code_where_the_stack_names_no_store() {
    let seen = Seen {
        limits: limits(&[("ArtifactBucket", ""), ("LoadBalancerPrefix", "")]),
        ..seen()
    };
    let code = json!({"functions": [{"functionName": "chat-api", "alias": "live",
        "code": {"s3Bucket": "artifacts", "s3Key": "1.zip"}}]});
    assert!(one(code, &seen).contains("takes code from no bucket"));
}

#[test]
fn refuses_outside_of_the_windows_unless_somebody_says_why() {
    let in_windows = |windows: &str, more: Value| {
        let seen = Seen {
            limits: limits(&[("ReleaseWindows", windows)]),
            ..seen()
        };
        decide(&request(more), &seen, now())
    };
    let ada = json!({"overrideFreeze": {"by": "Ada", "reason": "checkout is down"}});
    for windows in ["", "Sat 00:00-24:00 UTC"] {
        for more in [json!({}), ada.clone()] {
            let decided = in_windows(windows, more);
            assert_eq!(decided, Admission::default(), "{windows}");
        }
    }
    let closed = in_windows("Mon-Fri 09:00-16:00 Europe/Berlin", json!({}));
    let (kind, why) = closed.refusal().expect("it is Saturday");
    assert_eq!(kind, Kind::InvalidRequest);
    assert!(
        why.starts_with("overrideFreeze: releases begin Mon-Fri"),
        "{why}"
    );
    assert!(
        why.contains("opens on Mon 2026-11-23 09:00 Europe/Berlin"),
        "{why}"
    );
    let overridden = in_windows("Mon-Fri 09:00-16:00 Europe/Berlin", ada.clone());
    assert!(overridden.overrides_windows);
    assert!(
        overridden.warnings[0].starts_with(
            "the release windows were overridden by Ada: checkout is down (releases begin Mon-Fri"
        ),
        "{overridden:?}"
    );
    // A stage that was wired inside of them is not left without its release.
    let wired = Seen {
        limits: limits(&[("ReleaseWindows", "Mon-Fri 09:00-16:00 Europe/Berlin")]),
        wired: true,
        ..seen()
    };
    assert_eq!(problems(json!({}), &wired), Vec::<String>::new());
    // Nobody knows what they were meant to forbid.
    let unread = in_windows("office hours", json!({}));
    assert!(
        unread
            .refusal()
            .is_some_and(|(_, why)| why.contains("ReleaseWindows cannot be read"))
    );
    assert!(in_windows("office hours", ada).overrides_windows);
}

fn found(role: &str, package: Package) -> Found {
    Found {
        package,
        source_key: None,
        settings: Settings {
            role: role.to_owned(),
            dead_letter: String::new(),
            is_durable: false,
        },
        timeout_seconds: 30,
    }
}

#[test]
fn warns_of_a_last_bake_that_slow_invocations_make_longer() {
    let warnings = |timeout_seconds: u32, bake: u32| {
        let strategy = json!({"type": "canary", "steps": [{"weight": 10, "bakeSeconds": 10}, {"weight": 100, "bakeSeconds": bake}]});
        let seen = Seen {
            functions: vec![Read::Seen(Some(Found {
                timeout_seconds,
                ..found("r", Package::Zip)
            }))],
            ..Seen::default()
        };
        decide(&request(json!({"strategy": strategy})), &seen, now()).warnings
    };
    assert_eq!(warnings(30, 300), Vec::<String>::new());
    assert_eq!(
        warnings(900, 300),
        [
            "chat-api may run 900 s, and an invocation is counted once it has ended: the bake at 100 % lasts 1080 s instead of 300 s"
        ]
    );
    assert_eq!(
        warnings(900, 0).len(),
        1,
        "the step at 10 % is the last that is judged"
    );
}

#[test]
fn names_what_does_not_exist_by_its_path() {
    let there = || vec![Read::Seen(Some(found("r", Package::Zip)))];
    let code = |code: Value| json!({"functions": [{"functionName": "chat-api", "alias": "live", "code": code}]});
    let s3 = || code(json!({"s3Bucket": "artifacts", "s3Key": "1.zip"}));
    let image =
        || code(json!({"imageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api:1"}));
    let gone = Seen {
        functions: vec![Read::Seen(None)],
        ..seen()
    };
    assert_eq!(
        one(json!({}), &gone),
        "functions[0].functionName: there is no function \"chat-api\" in eu-west-1"
    );
    let with = |artifact| Seen {
        functions: there(),
        artifacts: vec![Read::Seen(artifact)],
        ..seen()
    };
    for (request, artifact, told) in [
        (
            s3(),
            Artifact::NoStore,
            "functions[0].code.s3Bucket: there is no bucket \"artifacts\"",
        ),
        (
            s3(),
            Artifact::Missing,
            "functions[0].code.s3Key: there is no object \"1.zip\" in bucket \"artifacts\"",
        ),
        (
            s3(),
            Artifact::Elsewhere("us-east-1".into()),
            "functions[0].code.s3Bucket: bucket \"artifacts\" is in us-east-1, and Lambda takes code from buckets of the function's own Region",
        ),
    ] {
        assert_eq!(one(request, &with(artifact)), told);
    }
    let no_image = Seen {
        functions: vec![Read::Seen(Some(found("r", Package::Image)))],
        artifacts: vec![Read::Seen(Artifact::Missing)],
        ..seen()
    };
    assert!(
        one(image(), &no_image)
            .starts_with("functions[0].code.imageUri: repository \"team/api\" has no image")
    );
    let version = Seen {
        functions: there(),
        versions: vec![Read::Seen(None)],
        ..seen()
    };
    assert!(
        one(code(json!({"version": "7"})), &version)
            .starts_with("functions[0].code.version: \"chat-api\" has no version 7")
    );
    let callee: Callee = "chat-migrate:live".parse().expect("it is one");
    let called = Seen {
        callees: BTreeMap::from([(callee, Read::Seen(false))]),
        ..seen()
    };
    assert_eq!(
        one(
            json!({"migration": {"functionName": "chat-migrate:live"}}),
            &called
        ),
        "migration.functionName: there is no function \"chat-migrate\" in eu-west-1 with an alias or a version live"
    );
}

#[test]
fn refuses_code_of_the_other_kind() {
    let is = |package| Seen {
        functions: vec![Read::Seen(Some(found("r", package)))],
        ..seen()
    };
    let code = |code: Value| json!({"functions": [{"functionName": "chat-api", "alias": "live", "code": code}]});
    let image =
        code(json!({"imageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api:1"}));
    let zip = code(json!({"s3Bucket": "artifacts", "s3Key": "1.zip"}));
    assert!(
        one(image, &is(Package::Zip))
            .starts_with("functions[0].code.imageUri: \"chat-api\" is made of a zip")
    );
    assert!(
        one(zip, &is(Package::Image))
            .starts_with("functions[0].code.s3Bucket: \"chat-api\" is made of a container image")
    );
}

#[test]
fn refuses_an_alarm_that_is_missing_or_fires() {
    let with = |state, word: &str| {
        let name = |text: &str| AlarmName::try_from(text.to_owned()).expect("it is one");
        let reading = |text: &str, state| Reading::of(name(text), state, None);
        let seen = Seen {
            alarms: Read::Seen(vec![reading("a", AlarmState::Ok), reading("b", state)]),
            ..seen()
        };
        let analysis = json!({"analysis": {"alarms": ["a", "b"], "preexistingAlarms": word}});
        decide(&request(analysis), &seen, now())
    };
    let (kind, why) = with(AlarmState::Missing, "ignore")
        .refusal()
        .expect("it is missing");
    assert_eq!(kind, Kind::InvalidRequest);
    assert!(
        why.starts_with("analysis.alarms[1]: no alarm of the name \"b\" exists"),
        "{why}"
    );
    let (kind, why) = with(AlarmState::Alarm, "refuse")
        .refusal()
        .expect("it fires");
    assert_eq!(kind, Kind::ValidationFailed);
    assert!(
        why.starts_with("analysis.alarms[1]: \"b\" is in ALARM before the release"),
        "{why}"
    );
    let ignored = with(AlarmState::Alarm, "ignore");
    assert_eq!((ignored.refusal(), ignored.warnings.len()), (None, 1));
    assert_eq!(ignored.preexisting_alarms.len(), 1);
    let quiet = with(AlarmState::InsufficientData, "refuse");
    assert_eq!((quiet.refusal(), quiet.warnings.len()), (None, 1));
    let (kind, why) = with(AlarmState::UnknownKind, "refuse")
        .refusal()
        .expect("it is not known");
    assert_eq!(kind, Kind::InvalidRequest);
    assert!(
        why.starts_with(
            "analysis.alarms[1]: alarm \"b\" is of a kind that Crossfade does not know"
        ),
        "{why}"
    );
}

#[test]
fn refuses_a_contract_while_blue_is_promised() {
    let promised = Seen {
        promise: Read::Seen(Some(Promise {
            release: "r-1".into(),
            until: now(),
        })),
        ..seen()
    };
    let migration =
        |phase: &str| json!({"migration": {"functionName": "chat-migrate", "phase": phase}});
    let told = one(migration("contract"), &promised);
    assert!(
        told.starts_with("migration.phase: \"contract\" takes away"),
        "{told}"
    );
    assert!(
        told.contains("release r-1 is kept until 2026-11-21T06:40:00Z"),
        "{told}"
    );
    assert_eq!(
        problems(migration("expand"), &promised),
        Vec::<String>::new()
    );
}

fn holder(locks: &[&str], stands: Stands) -> Holder {
    Holder {
        execution: "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:r-1"
            .into(),
        application: "orders".into(),
        status: "IN_FLIGHT".into(),
        locks: locks.iter().map(|&lock| lock.to_owned()).collect(),
        stands,
    }
}

#[test]
fn names_whoever_holds_a_lock_of_any_kind() {
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/3";
    let group = |name: &str| {
        format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/1")
    };
    let alb = json!({"functions": [{"functionName": "chat-api"}], "traffic": {"type": "alb",
        "ruleArn": rule, "targetGroupArns": [group("web-a"), group("web-b")]}});
    let record = json!({"traffic": {"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com"}});
    for more in [json!({}), alb, record] {
        let asked = request(more.clone());
        for lock in locks_of(&asked) {
            let seen = Seen {
                holders: Read::Seen(vec![holder(&[&lock, "function/other"], Stands::Alive)]),
                ..seen()
            };
            let decided = decide(&asked, &seen, now());
            let (kind, why) = decided
                .refusal()
                .unwrap_or_else(|| panic!("{lock} is held"));
            assert_eq!(kind, Kind::DeploymentInProgress);
            assert!(
                why.contains(&format!("release r-1 of orders (IN_FLIGHT) holds {lock};")),
                "{why}"
            );
        }
        assert_eq!(
            locks_of(&asked).len(),
            2 + usize::from(!more["traffic"].is_null()),
            "{more}"
        );
    }
}

#[test]
fn takes_over_from_the_dead_and_not_from_what_was_left() {
    let with = |stands, splitter| Seen {
        holders: Read::Seen(vec![holder(&["function/chat-api"], stands)]),
        splitter: Read::Seen(splitter),
        ..seen()
    };
    let split = || {
        vec![(
            "functions[0].alias".to_owned(),
            Kind::ChangedOutside,
            "is split".to_owned(),
        )]
    };
    let left = decide(&request(json!({})), &with(Stands::LeftHeld, split()), now());
    let (kind, why) = left.refusal().expect("it is held");
    assert_eq!(kind, Kind::DeploymentInProgress);
    assert!(
        why.contains("{\"action\":\"rollback\",\"application\":\"orders\"}"),
        "{why}"
    );
    assert!(
        !why.contains("is split"),
        "a start does not come so far: {why}"
    );
    assert_eq!(left.problems.len(), 2);
    // The dead one's traffic is restored first, so that it is split is nobody's problem.
    let dead = decide(
        &request(json!({})),
        &with(Stands::Ended("ABORTED".into()), split()),
        now(),
    );
    assert_eq!((dead.refusal(), dead.warnings.len()), (None, 2), "{dead:?}");
    let alone = decide(
        &request(json!({})),
        &Seen {
            splitter: Read::Seen(split()),
            ..seen()
        },
        now(),
    );
    assert_eq!(
        alone.refusal(),
        Some((Kind::ChangedOutside, "functions[0].alias: is split".into()))
    );
}

#[test]
fn names_the_function_whose_versions_cannot_share_traffic() {
    let with = |role: &str| Seen {
        functions: vec![Read::Seen(Some(found(role, Package::Zip)))],
        blues: vec![Read::Seen(found("r", Package::Zip).settings)],
        ..seen()
    };
    assert_eq!(problems(json!({}), &with("r")), Vec::<String>::new());
    let told = one(json!({}), &with("other"));
    assert!(
        told.starts_with("functions[0].functionName: green has role other instead of r"),
        "{told}"
    );
    let queue = Settings {
        role: "r".into(),
        dead_letter: "q".into(),
        is_durable: false,
    };
    let none = Settings {
        role: "r".into(),
        dead_letter: String::new(),
        is_durable: false,
    };
    assert!(
        fit(&none, &queue).is_some_and(|why| why.contains("dead-letter queue none instead of q"))
    );
}

#[test]
fn says_of_each_thing_that_it_could_not_be_told() {
    fn nothing<T>(why: Unread) -> Read<T> {
        Read::Unread(why)
    }
    let unread = || Unread {
        why: "AccessDenied".into(),
        passes: false,
    };
    let callee: Callee = "chat-migrate".parse().expect("it is one");
    let seen = Seen {
        place: place(),
        limits: nothing(unread()),
        wired: false,
        functions: vec![nothing(unread())],
        versions: Vec::new(),
        artifacts: vec![nothing(unread())],
        callees: BTreeMap::from([(callee, nothing(unread()))]),
        alarms: nothing(unread()),
        promise: nothing(unread()),
        holders: nothing(unread()),
        splitter: nothing(unread()),
        ways: nothing(unread()),
        blues: vec![nothing(unread())],
        capacity: vec![nothing(unread())],
        counted: nothing(unread()),
    };
    let decided = decide(
        &request(json!({"migration": {"functionName": "chat-migrate"},
            "functions": [{"functionName": "chat-api", "alias": "live",
                "code": {"s3Bucket": "artifacts", "s3Key": "1.zip"}}]})),
        &seen,
        now(),
    );
    assert_eq!(decided.refusal(), None);
    let told: Vec<_> = decided.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 12, "{told:#?}");
    assert!(
        told.iter().all(|one| one.ends_with(": AccessDenied")),
        "{told:#?}"
    );
}

#[test]
fn says_what_is_counted_and_warns_of_what_is_not() {
    let asked = json!({"analysis": {"maxErrorRatePercent": 5, "responses": [{"functionUrl": "chat-api"},
        {"httpApi": {"apiId": "a1", "stage": "prod"}}],
        "metrics": [{"namespace": "Chat", "name": "Age", "max": 3, "dimensions": {"Service": "chat"}}]}});
    let target = serde_json::from_value(
        json!({"functionName": "chat-api", "alias": "live", "blueVersion": "6",
        "greenVersion": "7", "revisionId": null}),
    )
    .expect("it is one");
    let request = request(asked);
    let sources = request.analysis.sources(&[target]);
    let read = [
        (Some((1200, 3)), None),
        (Some((0, 0)), None),
        (None, Some(7)),
    ];
    let before = sources.into_iter().zip(read);
    let before = before.map(|(source, (counts, values))| Before {
        source,
        counts,
        values,
    });
    let seen = Seen {
        counted: Read::Seen(before.collect()),
        ..seen()
    };
    let decided = decide(&request, &seen, now());
    assert_eq!(decided.refusal(), None);
    assert_eq!(
        decided.counted,
        [
            "function URL of chat-api: 1200 requests in the last seven days, 3 of them bad",
            "stage prod of API a1: no data of the last seven days",
            "metric Chat/Age: data in 7 minutes of the last day",
        ]
    );
    assert_eq!(
        decided.warnings,
        [
            "stage prod of API a1: no data of the last seven days; as long as that is so, no bake passes"
        ]
    );
}

#[test]
fn ends_with_the_problems_of_the_first_stage() {
    let seen = Seen {
        functions: vec![Read::Seen(None)],
        holders: Read::Seen(vec![holder(&["application/chat"], Stands::Alive)]),
        ..seen()
    };
    let other = json!({"functions": [{"functionName": "other", "alias": "live"}]});
    let decided = decide(&request(other), &seen, now());
    assert_eq!(decided.problems.len(), 3);
    let (kind, why) = decided.refusal().expect("much is wrong");
    assert_eq!(kind, Kind::InvalidRequest);
    assert_eq!(why.lines().count(), 1, "{why}");
    assert!(why.contains("TargetFunctionPrefix"), "{why}");
}
