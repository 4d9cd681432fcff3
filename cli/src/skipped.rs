//! What a promotion by an operator leaves out, by name.

use crossfade::{
    display::duration,
    domain::{
        approval::QuestionKind,
        decision::Decision,
        plan::Step,
        record::{Record, Status},
    },
};

/// Returns what is left of the plan, a phrase each: the rest of the present bake, the approval that is awaited or still
/// to come, and the steps with their bakes. Empty where nothing is left but the promotion, and where nothing is known
/// of the plan.
pub(crate) fn skipped(record: &Record) -> Vec<String> {
    let Some(footprint) = &record.footprint else {
        return Vec::new();
    };
    let (plan, taken) = (&footprint.plan, record.steps.len());
    let asked = record
        .asked
        .as_deref()
        .filter(|_| record.status == Status::Held);
    let mut skips = Vec::new();
    let is_baking = asked.is_none_or(|asked| asked.next == Decision::BakeOn);
    if let Some(step) = taken.checked_sub(1).and_then(|last| plan.step(last))
        && is_baking
        && step.bake_seconds > 0
    {
        let bake = duration(step.bake_seconds.into());
        skips.push(format!("the rest of the bake of {bake} at {}", step.weight));
    }
    for (index, step) in plan.steps().iter().enumerate().skip(taken) {
        if plan.needs_approval(index) {
            let is_awaited = asked.is_some_and(|asked| asked.kind == QuestionKind::Approval);
            let what = if is_awaited {
                "that it waits for"
            } else {
                "that no operator has given yet"
            };
            skips.push(format!("the approval before {} {what}", step.weight));
        }
        skips.push(planned(*step));
    }
    skips
}

fn planned(step: Step) -> String {
    match step.bake_seconds {
        0 => format!("the step to {}", step.weight),
        seconds => format!(
            "the step to {} and its bake of {}",
            step.weight,
            duration(seconds.into())
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(taken: usize, approve_before: &Value) -> Record {
        let mut record = Record::example();
        let step = record.steps[0].clone();
        record.steps = vec![step; taken];
        let footprint = record.footprint.as_mut().unwrap();
        footprint.plan = serde_json::from_value(json!({
            "steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 50, "bakeSeconds": 0},
                {"weight": 100, "bakeSeconds": 90}],
            "approveBefore": approve_before,
        }))
        .unwrap();
        record
    }

    fn held(mut record: Record, kind: &str, next: &str) -> Record {
        record.status = Status::Held;
        let asked = json!({"kind": kind, "at": "2026-11-20T12:00:00Z", "until": "2026-11-21T12:00:00Z",
            "weight": 50, "next": next, "onSilence": "", "reason": ""});
        record.asked = Some(serde_json::from_value(asked).unwrap());
        record
    }

    #[test]
    fn names_all_that_is_left() {
        assert_eq!(
            skipped(&record(1, &json!(100))),
            [
                "the rest of the bake of 5 min at 10 %",
                "the step to 50 %",
                "the approval before 100 % that no operator has given yet",
                "the step to 100 % and its bake of 1 min 30 s",
            ]
        );
        assert_eq!(
            skipped(&held(record(2, &json!(100)), "approval", "shift")),
            [
                "the approval before 100 % that it waits for",
                "the step to 100 % and its bake of 1 min 30 s",
            ]
        );
        assert_eq!(
            skipped(&held(record(1, &Value::Null), "hold", "bakeOn"))[0],
            "the rest of the bake of 5 min at 10 %"
        );
        assert_eq!(
            skipped(&record(3, &Value::Null)),
            ["the rest of the bake of 1 min 30 s at 100 %"]
        );
    }

    #[test]
    fn is_empty_when_only_the_promotion_is_left() {
        assert!(skipped(&held(record(3, &Value::Null), "hold", "promote")).is_empty());
        let mut unknown = record(1, &Value::Null);
        unknown.footprint = None;
        assert!(skipped(&unknown).is_empty());
    }
}
