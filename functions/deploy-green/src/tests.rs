use crossfade::domain::{
    plan::{Plan, Step},
    weight::Weight,
};

use super::{choices::first_release, *};

#[test]
fn takes_wiring_warnings_of_a_wired_release_only() {
    let mut request = json!({"frontDoor": {}, "frontDoorWarnings": ["wired"], "next": "deploy"});
    assert_eq!(wired(&mut request), ["wired"]);
    assert_eq!(request, json!({"frontDoor": {}}));
    let mut request = json!({"frontDoor": null, "next": "deploy"});
    assert!(wired(&mut request).is_empty());
    assert_eq!(request, json!({"frontDoor": null}));
    for mut request in [
        json!({"frontDoorWarnings": ["wired"]}),
        json!({"next": "deploy"}),
        json!({"frontDoor": null, "frontDoorWarnings": ["wired"]}),
    ] {
        let before = request.clone();
        assert!(wired(&mut request).is_empty());
        assert_eq!(request, before);
    }
}

#[test]
fn truncates_many_warnings() {
    assert_eq!(truncate_warnings(vec!["one".into()]), ["one"]);
    let told = truncate_warnings(vec!["w".repeat(1000); 200]);
    assert_eq!(told.len(), 31);
    assert_eq!(told[30], "170 more warnings are in deploy-green's log");
    assert!(told.iter().map(String::len).sum::<usize>() < 10_000);
}

#[test]
fn plans_one_step_for_a_first_release() {
    let step = |percent: u8, bake_seconds| Step {
        weight: Weight::try_from(percent).unwrap(),
        bake_seconds,
    };
    let plan = Plan::new(vec![step(10, 300), step(50, 600), step(100, 120)], None).unwrap();
    assert_eq!(first_release(&plan).steps(), [step(100, 120)]);
}
