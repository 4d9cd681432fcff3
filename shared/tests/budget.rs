//! What must hold of the pace of every release, whatever it asks for: within AWS's limits, or refused.

use crossfade::domain::budget::{LONGEST_PAUSE_SECONDS, Load, MAX_EVENTS, Pace};
use crossfade::wire::request::{ReleaseRequest, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a request may never take: the rest is for what is tried again.
const MOST: u32 = 24_000;

fn strategies() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 6] = [
        "dev",
        "staging",
        "prod",
        "AllAtOnce",
        "Canary10Percent30Minutes",
        "Linear10PercentEvery10Minutes",
    ];
    let bakes = prop_oneof![Just(0), 1..1_000u32, Just(86_400), 0..=86_400u32];
    let canary = prop::collection::vec(bakes, 1..=100).prop_map(|bakes| {
        let count = bakes.len();
        let steps = bakes.into_iter().enumerate();
        let steps = steps.map(|(nth, bake)| {
            let weight = if nth + 1 == count { 100 } else { nth };
            json!({"weight": weight, "bakeSeconds": bake})
        });
        json!({"type": "canary", "steps": steps.collect::<Vec<_>>()})
    });
    prop_oneof![
        prop::sample::select(&NAMES[..]).prop_map(Value::from),
        canary
    ]
}

fn hooks() -> impl Strategy<Value = Value> {
    let hook = || prop::option::of(prop_oneof![Just(300), Just(86_400), 1..=86_400u32]);
    (hook(), hook(), hook(), hook()).prop_map(|(before, after, promote, rollback)| {
        let points = [
            ("beforeShift", before),
            ("afterShift", after),
            ("afterPromote", promote),
            ("afterRollback", rollback),
        ];
        let hook = |seconds: u32| json!({"functionName": "hook", "timeoutSeconds": seconds});
        let given = points
            .into_iter()
            .filter_map(|(point, seconds)| Some((point.to_owned(), hook(seconds?))));
        Value::Object(given.collect())
    })
}

fn requests() -> impl Strategy<Value = Value> {
    let most = prop::option::of(prop_oneof![Just(172_800), 0..=172_800u32]);
    let check = prop::option::of(10..=300u32);
    (strategies(), hooks(), 10..=3_600u32, most, check, any::<bool>(), 0..=600u32).prop_map(
        |(strategy, hooks, every, most, check, records, settle)| {
            let mut request = json!({"application": "chat", "strategy": strategy, "hooks": hooks,
                "functions": [{"functionName": "f", "alias": "live", "smokeTests": [{"name": "health"}]}],
                "analysis": {"checkEverySeconds": every, "maxBakeSeconds": most, "settleSeconds": settle}});
            if records {
                request["traffic"] = json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
                    "recordName": "api.example.com"});
                let side = |side: &str| json!({"url": format!("https://{side}.example.com/"),
                    "intervalSeconds": check.unwrap_or(30), "setIdentifier": side});
                request["analysis"]["healthChecks"] = json!([side("blue"), side("green")]);
            }
            request
        },
    )
}

fn parsed(request: &Value) -> Result<ReleaseRequest, String> {
    match Request::parse(request) {
        Ok(Request::Release(release)) => Ok(*release),
        Ok(other) => panic!("{other:?}"),
        Err(problems) => Err(problems.to_string()),
    }
}

fn hooks_of(release: &ReleaseRequest) -> Vec<u32> {
    let (hooks, pace) = (&release.hooks, release.pace());
    let all = [
        &hooks.before_shift,
        &hooks.after_shift,
        &hooks.after_promote,
        &hooks.after_rollback,
    ];
    let each = all.into_iter().flatten();
    each.map(|hook| pace.call_every_seconds(hook)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn fits_every_accepted_release_into_an_execution(request in requests()) {
        if let Ok(release) = parsed(&request) {
            let pace = release.pace();
            prop_assert!(pace.events < MOST, "{pace:?}");
            prop_assert!(pace.events_with(true) < MOST, "{pace:?}");
            prop_assert!(pace.look_every_seconds <= LONGEST_PAUSE_SECONDS, "{pace:?}");
            prop_assert!(hooks_of(&release).iter().all(|every| *every <= LONGEST_PAUSE_SECONDS), "{pace:?}");
            // And once it is known how long its invocations may take.
            let plan = release.plan();
            let known = Pace::of(&Load { slowest_seconds: 3, ..release.load(&plan) });
            prop_assert!(known.events < MOST, "{known:?}");
        }
    }

    /// One that was begun before there was a limit is stretched, however long that takes.
    #[test]
    fn fits_every_plan_into_the_budget(request in requests()) {
        let mut lenient = request.clone();
        lenient["hooks"] = json!({});
        let Ok(mut release) = parsed(&lenient) else { return Ok(()) };
        let hook = json!({"functionName": "hook", "timeoutSeconds": 86_400});
        release.hooks = serde_json::from_value(json!({"beforeShift": hook, "afterShift": hook})).unwrap();
        let pace = release.pace();
        prop_assert!(pace.events < MOST, "{pace:?}");
    }
}

#[test]
fn refuses_what_cannot_fit_and_names_what_does() {
    let steps = |count: u32, bake: u32| {
        let step =
            |nth: u32| json!({"weight": if nth == count { 100 } else { nth }, "bakeSeconds": bake});
        json!({"type": "canary", "steps": (1..=count).map(step).collect::<Vec<_>>()})
    };
    let request = |more: Value| {
        let mut request =
            json!({"application": "chat", "functions": [{"functionName": "f", "alias": "live"}]});
        for (field, value) in more.as_object().unwrap() {
            request[field] = value.clone();
        }
        request
    };
    let hook = |seconds: u32| json!({"functionName": "hook", "timeoutSeconds": seconds});
    let records = json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ", "recordName": "api.example.com"});

    let month = parsed(&request(json!({"strategy": steps(30, 86_400)}))).unwrap_err();
    assert_eq!(
        month,
        "strategy: bakes for 2592000 s in all; an execution of Step Functions lasts 30 days at most: give at most 2505600"
    );
    assert!(parsed(&request(json!({"strategy": steps(29, 86_400)}))).is_ok());

    let hooks = |seconds: u32| {
        request(json!({"strategy": steps(100, 0), "hooks": {"beforeShift": hook(seconds)}}))
    };
    let often = parsed(&hooks(86_400)).unwrap_err();
    assert_eq!(
        often,
        format!(
            "hooks.beforeShift.timeoutSeconds: is 86400, and with 100 steps the hook could be called less than once an \
             hour: an execution of Step Functions has {MAX_EVENTS} events at most; give at most 39600"
        )
    );
    assert!(parsed(&hooks(39_600)).is_ok());
    assert!(parsed(&hooks(39_601)).is_err());

    let bakes = |longest: Option<u32>| {
        request(json!({"strategy": steps(100, 20_000), "traffic": records,
            "hooks": {"beforeShift": hook(300), "afterShift": hook(300)}, "analysis": {"maxBakeSeconds": longest}}))
    };
    let long = parsed(&bakes(None)).unwrap_err();
    let fits = long
        .rsplit_once("give at most ")
        .and_then(|(_, fits)| fits.parse().ok());
    assert!(
        long.starts_with("analysis.maxBakeSeconds: lets 100 steps bake so long that they"),
        "{long}"
    );
    assert!(parsed(&bakes(fits)).is_ok(), "{long}");
    assert!(
        parsed(&bakes(fits.map(|fits: u32| fits + 1))).is_err(),
        "{long}"
    );
}
