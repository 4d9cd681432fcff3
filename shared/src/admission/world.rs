//! What the account has, against a request.

use chrono::SecondsFormat;

use crate::admission::{Admission, Kind, Read, Seen, Stage, callees};
use crate::{
    domain::{
        Timestamp,
        analysis::{
            PreexistingAlarms,
            alarm::{self, AlarmState, Reading},
            source::Before,
        },
        budget::Load,
        migration::Phase,
        reachable::admit,
    },
    wire::request::{Code, ReleaseRequest, Traffic},
};

/// Says what a function's code is delivered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// A zip archive.
    Zip,
    /// A container image.
    Image,
}

/// Holds what a release depends on of a version's settings: two versions that share an alias's traffic
/// must have the same role and dead-letter queue
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The execution role's ARN.
    pub role: String,
    /// The dead-letter queue's or topic's ARN; empty without one.
    pub dead_letter: String,
    /// Whether it runs durable executions.
    pub is_durable: bool,
}

/// Describes a function, or a version of it, that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its code is delivered as.
    pub package: Package,
    /// The ARN of the KMS key that encrypts its zip, where that is the customer's.
    pub source_key: Option<String>,
    /// Its settings.
    pub settings: Settings,
    /// How long one invocation may take, seconds.
    pub timeout_seconds: u32,
}

/// Says what is there of the code that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// All of it.
    There,
    /// The bucket or repository is not.
    NoStore,
    /// The object or image is not.
    Missing,
    /// The object has no such version.
    NoVersion,
    /// The bucket is in another Region.
    Elsewhere(String),
}

/// Describes what an earlier release keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// That release's name.
    pub release: String,
    /// Until when its blue is kept.
    pub until: Timestamp,
}

/// Returns why two versions cannot share an alias's traffic; nothing where they can.
#[must_use]
pub fn fit(green: &Settings, blue: &Settings) -> Option<String> {
    fn shown(text: &str) -> &str {
        if text.is_empty() { "none" } else { text }
    }
    let differs = [
        ("role", &green.role, &blue.role),
        ("dead-letter queue", &green.dead_letter, &blue.dead_letter),
    ];
    let differs: Vec<_> = differs
        .into_iter()
        .filter(|(_, green, blue)| green != blue)
        .map(|(what, green, blue)| format!("{what} {} instead of {}", shown(green), shown(blue)))
        .collect();
    (!differs.is_empty()).then(|| {
        format!(
            "green has {}; Lambda shares an alias's traffic only between versions that have the same: \
             point the alias at a version with the changed configuration first, then release code",
            differs.join(" and ")
        )
    })
}

pub(super) fn check(request: &ReleaseRequest, seen: &Seen, admission: &mut Admission) {
    functions(request, seen, admission);
    for (index, read) in seen.artifacts.iter().enumerate() {
        let Some(code) = request.functions.get(index).and_then(|it| it.code.as_ref()) else {
            continue;
        };
        artifact(index, code, read, admission);
    }
    for (path, callee) in callees(request) {
        let read = seen.callees.get(callee).unwrap_or(&Read::NotAsked);
        let exists = admission.known(read, || format!("whether there is a function \"{callee}\""));
        if exists == Some(&false) {
            let message = match callee.qualifier() {
                Some(qualifier) => format!(
                    "there is no function \"{}\"{} with an alias or a version {qualifier}",
                    callee.function(),
                    here(seen)
                ),
                None => format!("there is no function \"{callee}\"{}", here(seen)),
            };
            admission.invalid(Stage::World, path, message);
        }
    }
    if let Some(readings) = admission.known(&seen.alarms, || "how the alarms stand".to_owned()) {
        alarms(request, readings, admission);
    }
    let promise = admission.known(&seen.promise, || {
        "whether blue of the last release is still kept".to_owned()
    });
    let contracts = request
        .migration
        .as_ref()
        .is_some_and(|migration| migration.phase == Phase::Contract);
    if let Some(Some(Promise { release, until })) = promise
        && contracts
    {
        let message = format!(
            "\"contract\" takes away what older versions needed, and blue of release {release} is kept until {}: release this after that",
            until.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        let kind = Kind::ValidationFailed;
        admission.problem(Stage::World, kind, "migration.phase", message);
    }
}

/// Says where, behind a name.
fn here(seen: &Seen) -> String {
    if seen.place.region.is_empty() {
        String::new()
    } else {
        format!(" in {}", seen.place.region)
    }
}

fn functions(request: &ReleaseRequest, seen: &Seen, admission: &mut Admission) {
    for (index, asked) in request.functions.iter().enumerate() {
        let name = &asked.function_name;
        let read = seen.functions.get(index).unwrap_or(&Read::NotAsked);
        let found = admission.known(read, || format!("whether there is a function \"{name}\""));
        let Some(found) = found else { continue };
        let Some(found) = found else {
            let message = format!("there is no function \"{name}\"{}", here(seen));
            admission.invalid(
                Stage::World,
                format!("functions[{index}].functionName"),
                message,
            );
            continue;
        };
        slow_invocations(request, name.as_ref(), found.timeout_seconds, admission);
        match (&asked.code, found.package) {
            (Some(Code::S3 { .. }), Package::Image) => admission.invalid(
                Stage::World,
                format!("functions[{index}].code.s3Bucket"),
                format!("\"{name}\" is made of a container image, not of a zip; give imageUri"),
            ),
            (Some(Code::Image { .. }), Package::Zip) => admission.invalid(
                Stage::World,
                format!("functions[{index}].code.imageUri"),
                format!(
                    "\"{name}\" is made of a zip, not of a container image; give s3Bucket and s3Key"
                ),
            ),
            _ => {}
        }
        if let Some(Code::Version { version }) = &asked.code {
            let read = seen.versions.get(index).unwrap_or(&Read::NotAsked);
            let there = admission.known(read, || {
                format!("whether \"{name}\" has a version {version}")
            });
            if there == Some(&None) {
                admission.invalid(
                    Stage::World,
                    format!("functions[{index}].code.version"),
                    format!(
                        "\"{name}\" has no version {version}; it was never published, or has been deleted"
                    ),
                );
            }
        }
    }
}

/// Warns of a last bake that lasts longer than planned, so that slow invocations are counted in it.
fn slow_invocations(
    request: &ReleaseRequest,
    name: &str,
    slowest_seconds: u32,
    admission: &mut Admission,
) {
    let plan = request.plan();
    let load = Load {
        slowest_seconds,
        ..request.load(&plan)
    };
    let Some((index, step)) = plan
        .last_judged()
        .and_then(|last| Some((last, plan.step(last)?)))
    else {
        return;
    };
    let bakes = load
        .bounds(index)
        .map_or(0, |bounds| bounds.planned_seconds);
    if bakes > step.bake_seconds {
        admission.warnings.push(format!(
            "{name} may run {slowest_seconds} s, and an invocation is counted once it has ended: the bake at {} lasts \
             {bakes} s instead of {} s",
            step.weight, step.bake_seconds
        ));
    }
}

fn artifact(index: usize, code: &Code, read: &Read<Artifact>, admission: &mut Admission) {
    let at = |field: &str| format!("functions[{index}].code.{field}");
    match code {
        Code::S3 {
            s3_bucket,
            s3_key,
            s3_object_version,
        } => {
            let what = || format!("whether \"{s3_key}\" is in bucket \"{s3_bucket}\"");
            let (field, message) = match admission.known(read, what) {
                None | Some(Artifact::There) => return,
                Some(Artifact::NoStore) => {
                    ("s3Bucket", format!("there is no bucket \"{s3_bucket}\""))
                }
                Some(Artifact::Missing) => (
                    "s3Key",
                    format!("there is no object \"{s3_key}\" in bucket \"{s3_bucket}\""),
                ),
                Some(Artifact::NoVersion) => (
                    "s3ObjectVersion",
                    format!(
                        "\"{s3_key}\" in bucket \"{s3_bucket}\" has no version \"{}\"",
                        s3_object_version.as_ref().map_or("", AsRef::as_ref)
                    ),
                ),
                Some(Artifact::Elsewhere(region)) => (
                    "s3Bucket",
                    format!(
                        "bucket \"{s3_bucket}\" is in {region}, and Lambda takes code from buckets of the function's own Region"
                    ),
                ),
            };
            admission.invalid(Stage::World, at(field), message);
        }
        Code::Image { image_uri } => {
            let repository = image_uri.repository().name;
            let message = match admission.known(read, || format!("whether there is {image_uri}")) {
                None | Some(Artifact::There | Artifact::Elsewhere(_)) => return,
                Some(Artifact::NoStore) => {
                    format!("there is no repository \"{repository}\" for {image_uri}")
                }
                Some(Artifact::Missing | Artifact::NoVersion) => {
                    format!("repository \"{repository}\" has no image {image_uri}")
                }
            };
            admission.invalid(Stage::World, at("imageUri"), message);
        }
        Code::Version { .. } => {}
    }
}

fn alarms(request: &ReleaseRequest, readings: &[Reading], admission: &mut Admission) {
    let analysis = &request.analysis;
    for reading in readings {
        let Reading { name, state, .. } = reading;
        let index = analysis.alarms.iter().position(|alarm| alarm == name);
        let path = format!("analysis.alarms[{}]", index.unwrap_or_default());
        if reading.kind == alarm::Kind::Log {
            // That it is and what it is called is not documented (the rule takes any name).
            admission.warnings.push(format!(
                "alarm {name} is a log alarm: it is seen while a step bakes, but whether CloudWatch sends an event when \
                 it fires is not documented; watch an alarm of another kind beside it during approvals, holds and \
                 after the promotion"
            ));
        }
        match (state, analysis.preexisting_alarms) {
            (AlarmState::Ok, _) if reading.is_proof() => {}
            // It refuses nothing: a new alarm has no data yet.
            (AlarmState::Ok | AlarmState::InsufficientData, _) => admission.warnings.push(format!(
                "alarm {name} has {}; as long as that is so, no bake passes",
                reading.shown()
            )),
            (AlarmState::UnknownKind, _) => admission.invalid(
                Stage::World,
                path,
                format!(
                    "alarm \"{name}\" is of a kind that Crossfade does not know; name a metric, PromQL, composite or log alarm"
                ),
            ),
            (AlarmState::Missing, _) => admission.invalid(
                Stage::World,
                path,
                format!(
                    "no alarm of the name \"{name}\" exists; name a metric, PromQL, composite or log alarm of this account and Region"
                ),
            ),
            (AlarmState::Alarm, PreexistingAlarms::Refuse) => admission.problem(
                Stage::World,
                Kind::ValidationFailed,
                path,
                format!(
                    "\"{name}\" is in ALARM before the release: it would roll the release back; wait until it is OK, or release with analysis.preexistingAlarms = ignore"
                ),
            ),
            (AlarmState::Alarm, PreexistingAlarms::Ignore) => {
                admission.warnings.push(format!(
                    "alarm {name} is in ALARM, and counts only once it fires anew"
                ));
                admission.preexisting_alarms.push(name.clone());
            }
        }
    }
}

/// Notes what a start learns once it has its locks.
pub(super) fn check_locked(
    request: &ReleaseRequest,
    seen: &Seen,
    takes_over: bool,
    admission: &mut Admission,
) {
    let splitter = admission.known(&seen.splitter, || "what serves".to_owned());
    for (path, kind, message) in splitter.into_iter().flatten() {
        if takes_over && *kind == Kind::ChangedOutside {
            let told = format!("{path}: {message} (unless a release that is taken over put it so)");
            admission.warnings.push(told);
        } else {
            admission.problem(Stage::Locked, *kind, path.clone(), message.clone());
        }
    }
    for (asked, capacity) in request.functions.iter().zip(&seen.capacity) {
        let name = &asked.function_name;
        let what = || format!("what stands ready for {name}");
        if let Some(capacity) = admission.known(capacity, what) {
            let told = capacity.warnings(name, asked.alias.as_ref());
            admission.warnings.extend(told);
        }
    }
    let what = || "what has been counted of responses and metrics".to_owned();
    if let Some(counted) = admission.known(&seen.counted, what) {
        admission.counted = counted.iter().map(Before::told).collect();
        // It refuses nothing: a new metric has no data yet.
        let silent = counted.iter().filter_map(Before::warning);
        admission.warnings.extend(silent);
    }
    if request.traffic != Traffic::Alias {
        return;
    }
    for (index, blue) in seen.blues.iter().enumerate() {
        let Some(asked) = request.functions.get(index) else {
            continue;
        };
        let name = &asked.function_name;
        let Some(blue) = admission.known(blue, || format!("the settings of what serves of {name}"))
        else {
            continue;
        };
        let made_of = match &asked.code {
            Some(Code::Version { .. }) => seen.versions.get(index),
            Some(Code::S3 { .. } | Code::Image { .. }) | None => seen.functions.get(index),
        };
        let green = made_of.and_then(Read::seen).and_then(Option::as_ref);
        if let Some(message) = green.and_then(|green| fit(&green.settings, blue)) {
            let path = format!("functions[{index}].functionName");
            admission.problem(Stage::Locked, Kind::ValidationFailed, path, message);
        }
    }
}

/// Notes what can reach the idle side: it is refused, waited out, or accepted by name.
pub(super) fn check_reachable(
    request: &ReleaseRequest,
    seen: &Seen,
    now: Timestamp,
    admission: &mut Admission,
) {
    let ways = admission.known(&seen.ways, || "what can reach the idle side".to_owned());
    let Some(ways) = ways else { return };
    let admitted = admit(ways, request.traffic.accepts(), now);
    for refused in admitted.refused {
        let message = format!("the idle side can be reached: {refused}");
        admission.problem(Stage::Locked, Kind::ValidationFailed, "traffic", message);
    }
    admission.warnings.extend(admitted.warnings);
    admission.idle_wait_seconds = admitted.wait_seconds;
    admission.accepted_reachable = admitted.accepted;
}
