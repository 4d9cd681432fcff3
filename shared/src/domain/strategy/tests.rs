use super::*;

/// Weights and bakes of a named strategy.
fn named(name: &str) -> Vec<(u8, u32)> {
    let strategy = Strategy::named(name).unwrap_or_else(|| panic!("{name}"));
    shown(&plan(&strategy).unwrap())
}

fn shown(plan: &Plan) -> Vec<(u8, u32)> {
    plan.steps()
        .iter()
        .map(|step| {
            let percent = step.weight.whole().and_then(|it| u8::try_from(it).ok());
            (percent.expect("it is whole"), step.bake_seconds)
        })
        .collect()
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

#[test]
fn codedeploys_canaries_keep_their_times() {
    for minutes in [5, 10, 15, 30] {
        let name = format!("Canary10Percent{minutes}Minutes");
        for name in [
            name.clone(),
            format!("Lambda{name}"),
            format!("CodeDeployDefault.Lambda{name}"),
        ] {
            assert_eq!(named(&name), [(10, minutes * 60), (100, 0)], "{name}");
        }
    }
}

#[test]
fn codedeploys_linears_keep_their_times() {
    for (every, minutes) in [
        ("1Minute", 1),
        ("2Minutes", 2),
        ("3Minutes", 3),
        ("10Minutes", 10),
    ] {
        let name = format!("Linear10PercentEvery{every}");
        for name in [
            name.clone(),
            format!("Lambda{name}"),
            format!("CodeDeployDefault.Lambda{name}"),
        ] {
            let steps = named(&name);
            let expected: Vec<_> = (1..=10)
                .map(|n| (n * 10, if n == 10 { 0 } else { minutes * 60 }))
                .collect();
            assert_eq!(steps, expected, "{name}");
        }
    }
}

#[test]
fn accepts_the_other_codedeploy_names() {
    for name in [
        "AllAtOnce",
        "LambdaAllAtOnce",
        "CodeDeployDefault.LambdaAllAtOnce",
        "dev",
        "staging",
    ] {
        assert_eq!(named(name), [(100, 0)], "{name}");
    }
    assert_eq!(named("BlueGreen"), [(0, 0), (100, 300)]);
    assert_eq!(named("prod"), [(10, 300), (50, 600), (100, 300)]);
    let prod = plan(&Strategy::named("prod").unwrap()).unwrap();
    assert_eq!(prod.approve_before(), Some(Weight::FULL));
}

#[test]
fn names_are_exact_and_all_listed() {
    let names = Strategy::names();
    assert_eq!(names.len(), 31);
    for name in &names {
        let strategy = Strategy::named(name).unwrap_or_else(|| panic!("{name}"));
        let plan = plan(&strategy).unwrap();
        let approved = plan.approve_before().is_some();
        assert_eq!(approved, name == "prod", "{name}");
    }
    for unknown in [
        "",
        "Dev",
        "prod ",
        "allAtOnce",
        "Lambda",
        "LambdaBlueGreen",
        "LambdaLambdaAllAtOnce",
        "CodeDeployDefault.LambdaLambdaAllAtOnce",
        "CodeDeployDefault.ECSAllAtOnce",
        "Canary10Percent5Minute",
        "Linear10PercentEvery1Minutes",
    ] {
        assert_eq!(Strategy::named(unknown), None, "{unknown}");
    }
}

#[test]
fn linear_takes_equal_steps_of_every_tenth() {
    for stride in 10..=1000u16 {
        for bake_seconds in [None, Some(7)] {
            let linear = Linear {
                step_weight: Weight::of_tenths(stride).unwrap(),
                interval_seconds: 60,
                bake_seconds,
                approve_before: None,
            };
            let plan = plan(&Strategy::Linear(linear)).unwrap();
            let (last, partial) = plan.steps().split_last().unwrap();
            let end = (last.weight, last.bake_seconds);
            assert_eq!(end, (Weight::FULL, bake_seconds.unwrap_or(60)), "{stride}");
            assert_eq!(plan.len(), 1000usize.div_ceil(stride.into()), "{stride}");
            for (n, step) in (1..).zip(partial) {
                let found = (step.weight.tenths(), step.bake_seconds);
                assert_eq!(found, (n * stride, 60), "{stride}");
            }
        }
    }
}

#[test]
fn refuses_a_stride_of_more_steps_than_a_plan_has() {
    for stride in 0..10 {
        let linear = Linear {
            step_weight: Weight::of_tenths(stride).unwrap(),
            interval_seconds: 60,
            bake_seconds: None,
            approve_before: None,
        };
        assert!(plan(&Strategy::Linear(linear)).is_err(), "{stride}");
    }
}

#[test]
fn refuses_invalid_strategies_built_in_code() {
    let linear = Linear {
        step_weight: Weight::ZERO,
        interval_seconds: 60,
        bake_seconds: None,
        approve_before: None,
    };
    let error = plan(&Strategy::Linear(linear)).unwrap_err();
    assert_eq!(error.as_slice(), [PlanError::StepWeight(Weight::ZERO)]);
    let late = AllAtOnce {
        bake_seconds: 86_401,
        approve_before: None,
    };
    assert!(plan(&Strategy::AllAtOnce(late)).is_err());
}

#[test]
fn approval_may_be_asked_before_any_step() {
    for percent in [10, 20, 100] {
        let linear = Linear {
            step_weight: weight(10),
            interval_seconds: 1,
            bake_seconds: None,
            approve_before: Some(weight(percent)),
        };
        let plan = plan(&Strategy::Linear(linear)).unwrap();
        let asked = (0..plan.len()).filter(|index| plan.needs_approval(*index));
        assert_eq!(asked.collect::<Vec<_>>(), [usize::from(percent / 10 - 1)]);
    }
}

#[test]
fn derives_the_plan_from_the_strategy() {
    for name in Strategy::names() {
        let planned = Planned::try_from(Strategy::named(&name).unwrap()).unwrap();
        let json = serde_json::to_string(&planned).unwrap();
        let again: Planned = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (again.strategy(), again.plan()),
            (planned.strategy(), planned.plan())
        );
    }
    let wrong = r#"{"type":"allAtOnce","approveBefore":50}"#;
    assert!(serde_json::from_str::<Planned>(wrong).is_err());
}
