//! Questions about AWS that no document answers for sure, each put to the account.
//!
//! Questions that share what has to be made are a group: a function with a time limit of its own. What goes
//! wrong in it is the answer of its questions, and ends nothing else.

mod capacity;
mod delays;
mod lambda;
mod signals;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _,
    future::{LocalBoxFuture, join_all, ready},
};
use serde_json::{Value, json};

use crate::{
    account::Account,
    api::{Aws, Refusal},
    function::{Code, Function},
    release::Stage,
    report::{Answer, Report},
    web,
};

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) asks: &'static str,
    pub(crate) expected: &'static str,
    /// Whether Crossfade depends on the answer.
    pub(crate) depends: &'static str,
}

/// Questions that are answered together.
pub(crate) struct Group {
    pub(crate) questions: &'static [Question],
    limit: Duration,
    /// Why the local AWS cannot answer, where it cannot.
    not_here: Option<&'static str>,
    run: for<'a> fn(&'a Probe<'a>) -> LocalBoxFuture<'a, Result<(), String>>,
}

/// What a group has to work with.
pub(crate) struct Probe<'a> {
    pub(crate) aws: &'a Arc<Aws>,
    pub(crate) stage: Stage<'a>,
    pub(crate) account: &'a Account,
    report: &'a Report,
    /// A key of the user's own, for the question about keys.
    pub(crate) kms_key: Option<&'a str>,
    pub(crate) limit: Duration,
}

const OTHER_RUNTIME: &str = "the local AWS runs functions of the runtime provided.al2023 only";
const NEW: &str = "the local AWS does not have it";

/// All groups.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        questions: &[
            Question {
                name: "unweighted",
                asks: "Do invocations through an alias without weights have metrics by ExecutedVersion?",
                expected: "yes",
                depends: "yes: a first release is judged by them; without them it has nothing to judge, and says so",
            },
            Question {
                name: "throttles",
                asks: "Are Throttles and Duration published by ExecutedVersion too?",
                expected: "yes, both",
                depends: "yes: `maxThrottleRatePercent` would see nothing without them",
            },
        ],
        limit: minutes(10),
        not_here: None,
        run: |probe| delays::dimensions(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "alias",
            asks: "How long after UpdateAlias do invocations follow?",
            expected: "within seconds, not at its answer",
            depends: "yes: \"back in seconds\" rests on it, and old versions are deleted only after a pause",
        }],
        limit: minutes(6),
        not_here: None,
        run: |probe| delays::alias(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "metrics",
            asks: "How long after an invocation's end can its metric be read?",
            expected: "1 to 3 minutes",
            depends: "yes: `settleSeconds` is to cover it, 60 by default",
        }],
        limit: minutes(10),
        not_here: None,
        run: |probe| delays::metrics(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "logs",
            asks: "How long after an invocation's end can its log line be read by FilterLogEvents?",
            expected: "seconds",
            depends: "no: only metrics and alarms are read",
        }],
        limit: minutes(6),
        not_here: None,
        run: |probe| delays::logs(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "subscription",
            asks: "How long after a log line was written does a subscription deliver it to a function?",
            expected: "seconds",
            depends: "no: only metrics and alarms are read",
        }],
        limit: minutes(8),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| delays::subscription(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "alarm-event",
            asks: "How long after an alarm's change does its event arrive?",
            expected: "within seconds",
            depends: "yes: the way back begins with it",
        }],
        limit: minutes(4),
        not_here: None,
        run: |probe| signals::alarm_event(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "thrown-rust",
            asks: "What status does an error that a handler returns have in the report, on provided.al2023?",
            expected: "text: none; JSON: success",
            depends: "no: its metric counts it as an error",
        }],
        limit: minutes(5),
        not_here: None,
        run: |probe| lambda::thrown_rust(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "thrown-python",
            asks: "The same, on python3.13?",
            expected: "text: none; JSON: success",
            depends: "no",
        }],
        limit: minutes(5),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| lambda::thrown_python(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "thrown-node",
            asks: "The same, on nodejs22.x?",
            expected: "text: none; JSON: success",
            depends: "no",
        }],
        limit: minutes(5),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| lambda::thrown_node(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "snapstart",
            asks: "In which state is a version with SnapStart when PublishVersion answers, and what does an alias on it answer meanwhile?",
            expected: "Pending; refused until it is Active, after minutes",
            depends: "no: nothing is pointed at a version that is not Active",
        }],
        limit: minutes(10),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| lambda::snapstart(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "vpc",
            asks: "The same of a function in a VPC?",
            expected: "Pending for seconds, or Active at once",
            depends: "no: nothing is pointed at a version that is not Active",
        }],
        limit: minutes(12),
        not_here: Some("the local AWS has no VPC"),
        run: |probe| lambda::vpc(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "inactive",
            asks: "In which state is a version published from a `$LATEST` that is Inactive?",
            expected: "Pending, or Inactive",
            depends: "no: an Inactive version is woken and waited for",
        }],
        limit: minutes(1),
        not_here: None,
        run: |probe| {
            never(
                probe,
                "inactive",
                "not run: needs weeks, for which a function is left idle",
            )
        },
    },
    Group {
        questions: &[Question {
            name: "kms",
            asks: "May a role without any right to a function's key update its code, and publish it?",
            expected: "refused, InvalidParameterValueException or AccessDenied with KMS's words",
            depends: "yes: the error is reported in AWS's words, and not as somebody's change of `$LATEST`",
        }],
        limit: minutes(4),
        not_here: None,
        run: |probe| lambda::kms(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "long",
            asks: "Does the answer of an invocation of 400 s reach a function outside a VPC, on a connection without keep-alive?",
            expected: "yes",
            depends: "yes: migrations and hooks of over five minutes that answer at their end",
        }],
        limit: minutes(12),
        not_here: Some("its connections do not idle long enough to be dropped"),
        run: |probe| lambda::long(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "guided",
            asks: "Does `sam deploy --guided` ask what docs/getting-started.md lists, in its order?",
            expected: "yes",
            depends: "the first deployment does",
        }],
        limit: minutes(1),
        not_here: None,
        run: |probe| {
            never(
                probe,
                "guided",
                "not run: it needs a person's answers; follow docs/getting-started.md once by hand",
            )
        },
    },
    Group {
        questions: &[
            Question {
                name: "pc-weight",
                asks: "Does an alias with provisioned concurrency accept a weight on a version that has its own?",
                expected: "yes",
                depends: "no: Crossfade provisions nothing, and warns beforehand",
            },
            Question {
                name: "pc-share",
                asks: "Which versions have the alias's provisioned concurrency while there are weights?",
                expected: "the primary version only",
                depends: "no: green's cold starts are expected, and a warning says so",
            },
            Question {
                name: "pc-change",
                asks: "Can an alias's provisioned concurrency be changed while there are weights?",
                expected: "no: InvalidParameterValueException",
                depends: "no: Crossfade does not change it",
            },
            Question {
                name: "pc-flip",
                asks: "What does GetAlias show after the alias was pointed at a version without any, and for how long?",
                expected: "weights that Lambda itself puts on the old version, for minutes",
                depends: "yes: such weights are to be told apart from somebody else's change",
            },
        ],
        limit: minutes(20),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| capacity::provisioned(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "durable",
            asks: "Can a version be deleted on which durable executions run?",
            expected: "no, or it is Deleting until they end",
            depends: "no: such versions are kept",
        }],
        limit: minutes(5),
        not_here: Some(OTHER_RUNTIME),
        run: |probe| capacity::durable(probe).boxed_local(),
    },
    Group {
        questions: &[
            Question {
                name: "web-weights",
                asks: "How long does a change of a Web Function endpoint's weights take?",
                expected: "seconds to minutes, asynchronously",
                depends: "no: Web Functions are not released yet",
            },
            Question {
                name: "web-two",
                asks: "What do two writers of one endpoint at once get?",
                expected: "one of them a ConflictException",
                depends: "no",
            },
            Question {
                name: "web-regions",
                asks: "Can the weights of a PerRegion endpoint be set for one Region?",
                expected: "only by a call in that Region, if at all",
                depends: "no",
            },
            Question {
                name: "web-metrics",
                asks: "Which dimensions do a Web Function's metrics have? Is the revision among them?",
                expected: "the function and the endpoint",
                depends: "no",
            },
        ],
        limit: minutes(15),
        not_here: Some(NEW),
        run: |probe| web::probe(probe).boxed_local(),
    },
    Group {
        questions: &[
            Question {
                name: "log-alarm",
                asks: "What does the event of a log alarm look like?",
                expected: "as a metric alarm's: detail.alarmName, detail.state.value",
                depends: "yes: log alarms in `analysis.alarms` roll back by it",
            },
            Question {
                name: "log-schedule",
                asks: "What is the shortest schedule of a log alarm?",
                expected: "rate(1 minute)",
                depends: "no: it says how late such an alarm is",
            },
        ],
        limit: minutes(10),
        not_here: Some(NEW),
        run: |probe| signals::log_alarm(probe).boxed_local(),
    },
    Group {
        questions: &[Question {
            name: "mute",
            asks: "Does a muted alarm still send its event?",
            expected: "yes: a mute rule is about actions",
            depends: "yes: a muted alarm rolls back all the same",
        }],
        limit: minutes(6),
        not_here: Some(NEW),
        run: |probe| signals::muted(probe).boxed_local(),
    },
];

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// Runs all groups at once.
pub(crate) async fn run(
    aws: &Arc<Aws>,
    stage: Stage<'_>,
    account: &Account,
    report: &Report,
    kms_key: Option<&str>,
) {
    let one = |group: &'static Group| async move {
        if stage.pace.local
            && let Some(why) = group.not_here
        {
            for question in group.questions {
                report.answer(question.name, plain(format!("not answerable here: {why}")));
            }
            return;
        }
        let probe = Probe {
            aws,
            stage,
            account,
            report,
            kms_key,
            limit: group.limit,
        };
        let going = AssertUnwindSafe((group.run)(&probe)).catch_unwind();
        let problem = match tokio::time::timeout(group.limit, going).await {
            Ok(Ok(Ok(()))) => "it was not reached".to_owned(),
            Ok(Ok(Err(problem))) => problem,
            Ok(Err(_)) => "the probe has an error, see the output".to_owned(),
            Err(_) => format!("nothing within {:?}", group.limit),
        };
        for question in group.questions {
            report.answer(question.name, plain(format!("failed: {problem}")));
        }
    };
    join_all(GROUPS.iter().map(one)).await;
}

/// What no run can answer.
fn never<'a>(
    probe: &Probe<'a>,
    name: &'static str,
    why: &str,
) -> LocalBoxFuture<'a, Result<(), String>> {
    probe.found(name, why.to_owned());
    ready(Ok(())).boxed_local()
}

fn plain(found: String) -> Answer {
    Answer {
        found,
        as_expected: None,
    }
}

impl Probe<'_> {
    /// Something was found that is neither as expected nor not.
    pub(crate) fn found(&self, question: &'static str, found: String) {
        self.report.answer(question, plain(found));
    }

    /// Something was found, and it is as expected or not.
    pub(crate) fn checked(&self, question: &'static str, as_expected: bool, found: String) {
        let as_expected = Some(as_expected);
        self.report.answer(question, Answer { found, as_expected });
    }

    /// The name of something that this probe makes.
    pub(crate) fn name(&self, name: &str) -> String {
        self.stage.run.probe(name)
    }

    /// Makes a function.
    pub(crate) async fn make<'b>(
        &'b self,
        name: &'b str,
        code: &Code,
        more: Value,
    ) -> Result<Function<'b>, Refusal> {
        let Stage {
            aws,
            run,
            pace,
            ground,
        } = self.stage;
        Function::make(aws, run, pace, ground, name, code, more).await
    }

    /// Tags in the form that most services have them in.
    pub(crate) fn tags(&self) -> Value {
        let tags = self.stage.run.tags();
        tags.iter()
            .map(|(k, v)| json!({"Key": k, "Value": v}))
            .collect()
    }

    /// Looks until there is something to see, for at most so long.
    pub(crate) async fn until<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, Refusal>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + patience.min(self.limit);
        loop {
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(format!("not within {patience:?}: {what}"));
            }
            tokio::time::sleep(self.stage.pace.look * 3).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn questions_have_names_of_their_own_and_fit_a_table() {
        let questions: Vec<_> = GROUPS.iter().flat_map(|group| group.questions).collect();
        let names: BTreeSet<_> = questions.iter().map(|question| question.name).collect();
        assert_eq!(names.len(), questions.len());
        for Question {
            asks,
            expected,
            depends,
            ..
        } in questions
        {
            assert!(asks.ends_with('?'), "{asks}");
            assert!(
                depends.starts_with("yes")
                    || depends.starts_with("no")
                    || depends.starts_with("the first"),
                "{depends}"
            );
            assert!(
                ![asks, expected, depends]
                    .iter()
                    .any(|text| text.contains(['|', '\n']))
            );
        }
    }
}
