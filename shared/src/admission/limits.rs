//! What the stack was deployed for: its parameters, against a request.

use crate::admission::{Admission, Seen, Stage, callees};
use crate::{
    domain::{
        Timestamp,
        health::{AllowedHosts, HealthCheck},
        override_freeze::OverrideFreeze,
        release_window::{Opening, Windows},
    },
    wire::request::{Alb, Code, ReleaseRequest, Repository, Traffic},
};

/// Says where the stack is. Each part is empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Such as `aws`.
    pub partition: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// Its 12 digits.
    pub account: String,
}

impl Place {
    /// Reads it from the ARN of anything that is there.
    #[must_use]
    pub fn of(arn: &str) -> Self {
        let mut parts = arn.split(':').skip(1);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (partition, _, region, account) = (next(), next(), next(), next());
        Self {
            partition,
            region,
            account,
        }
    }

    fn is_known(&self) -> bool {
        !self.account.is_empty() && !self.region.is_empty()
    }
}

/// Holds what the stack was deployed for, as its parameters say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    function_prefixes: Vec<String>,
    artifact_buckets: Vec<String>,
    repository_prefixes: Vec<String>,
    repository_arns: Vec<String>,
    hosted_zones: Vec<String>,
    load_balancer_prefix: String,
    health_check_hosts: AllowedHosts,
    release_windows: String,
}

impl Limits {
    /// The same without release windows: a rollback is never refused by the time of day.
    #[must_use]
    pub fn at_any_time(self) -> Self {
        Self {
            release_windows: String::new(),
            ..self
        }
    }

    /// Reads them from the stack's parameters, by their names in the template.
    #[must_use]
    pub fn of(parameter: impl Fn(&str) -> String) -> Self {
        let list = |name: &str| -> Vec<String> {
            let text = parameter(name);
            let entries = text.split(',').map(str::trim);
            entries
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Self {
            function_prefixes: list("TargetFunctionPrefix"),
            artifact_buckets: list("ArtifactBucket"),
            repository_prefixes: list("ImageRepositoryPrefix"),
            repository_arns: list("ImageRepositoryArns"),
            hosted_zones: list("HostedZoneArns"),
            load_balancer_prefix: parameter("LoadBalancerPrefix"),
            health_check_hosts: AllowedHosts::parse(&parameter("HealthCheckHosts")),
            release_windows: parameter("ReleaseWindows"),
        }
    }

    /// Reads them from the environment of the stack's own functions, where `TargetFunctionPrefix` is
    /// `TARGET_FUNCTION_PREFIX`.
    #[must_use]
    pub fn of_variables(variable: impl Fn(&str) -> String) -> Self {
        Self::of(|parameter| {
            let mut name = String::new();
            for (index, letter) in parameter.char_indices() {
                if index > 0 && letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            variable(&name)
        })
    }

    pub(super) fn check(
        &self,
        request: &ReleaseRequest,
        seen: &Seen,
        now: Timestamp,
        admission: &mut Admission,
    ) {
        let place = &seen.place;
        self.functions(request, admission);
        self.code(request, place, admission);
        match &request.traffic {
            Traffic::Alias => {}
            Traffic::Route53(records) => {
                let zone = records.hosted_zone_id.as_ref();
                let listed = |arn: &String| arn.rsplit('/').next() == Some(zone);
                if !self.hosted_zones.iter().any(listed) {
                    let message = format!(
                        "hosted zone {zone} is not listed in the stack's parameter HostedZoneArns; add its ARN there"
                    );
                    admission.invalid(Stage::Stack, "traffic.hostedZoneId", message);
                }
            }
            Traffic::Alb(alb) => self.load_balancer(alb, place, admission),
        }
        for (index, check) in request.analysis.health_checks.iter().enumerate() {
            if let HealthCheck::Url { url, .. } = check
                && !self.health_check_hosts.allows(url)
            {
                let path = format!("analysis.healthChecks[{index}].url");
                admission.invalid(Stage::Stack, path, url.not_allowed());
            }
        }
        match outside_windows(&self.release_windows, now, request.override_freeze.as_ref()) {
            Ok(None) => {}
            Ok(Some(told)) => {
                admission.overrides_windows = true;
                admission.warnings.push(told);
            }
            // What was begun inside of the windows is not left half done outside of them.
            Err(_) if seen.wired => {}
            Err(why) => admission.invalid(Stage::Stack, "overrideFreeze", why),
        }
    }

    fn functions(&self, request: &ReleaseRequest, admission: &mut Admission) {
        let released = request.functions.iter().enumerate().map(|(index, asked)| {
            let path = format!("functions[{index}].functionName");
            (path, asked.function_name.to_string())
        });
        let called = callees(request)
            .into_iter()
            .map(|(path, callee)| (path.to_owned(), callee.to_string()));
        for (path, function) in released.chain(called) {
            let begins = |prefix: &String| function.starts_with(prefix.as_str());
            if !self.function_prefixes.is_empty() && !self.function_prefixes.iter().any(begins) {
                let message = format!(
                    "\"{function}\" does not begin with {}, the stack's parameter TargetFunctionPrefix",
                    any_of(&self.function_prefixes)
                );
                admission.invalid(Stage::Stack, path, message);
            }
        }
    }

    fn code(&self, request: &ReleaseRequest, place: &Place, admission: &mut Admission) {
        for (index, asked) in request.functions.iter().enumerate() {
            match &asked.code {
                Some(Code::S3 { s3_bucket, .. }) => {
                    let bucket = s3_bucket.as_ref();
                    if self.artifact_buckets.iter().any(|one| one == bucket) {
                        continue;
                    }
                    let message = if self.artifact_buckets.is_empty() {
                        format!(
                            "the stack takes code from no bucket; name \"{bucket}\" in its parameter ArtifactBucket"
                        )
                    } else {
                        format!(
                            "the stack takes code from {}, its parameter ArtifactBucket, and not from \"{bucket}\"",
                            any_of(&self.artifact_buckets)
                        )
                    };
                    let path = format!("functions[{index}].code.s3Bucket");
                    admission.invalid(Stage::Stack, path, message);
                }
                Some(Code::Image { image_uri }) => {
                    if let Err(message) = self.image(&image_uri.repository(), place) {
                        let path = format!("functions[{index}].code.imageUri");
                        admission.invalid(Stage::Stack, path, message);
                    }
                }
                Some(Code::Version { .. }) | None => {}
            }
        }
    }

    fn image(&self, repository: &Repository<'_>, place: &Place) -> Result<(), String> {
        let Repository {
            account,
            region,
            name,
        } = *repository;
        let shown = format!("repository \"{name}\" of account {account} in {region}");
        if !place.region.is_empty() && region != place.region {
            return Err(format!(
                "{shown} is in another Region than the function, which is in {}; push the image to a repository there",
                place.region
            ));
        }
        let own = place.account.is_empty() || account == place.account;
        let begins = |prefix: &String| name.starts_with(prefix.as_str());
        let arn = format!("arn:{}:ecr:{region}:{account}:repository/{name}", {
            if place.partition.is_empty() {
                "aws"
            } else {
                place.partition.as_str()
            }
        });
        let listed = |pattern: &String| matches(pattern, &arn);
        if own && self.repository_prefixes.iter().any(begins)
            || self.repository_arns.iter().any(listed)
        {
            return Ok(());
        }
        if own {
            let expected = if self.repository_prefixes.is_empty() {
                "the stack takes images from none of its account".to_owned()
            } else {
                format!(
                    "its name does not begin with {}",
                    any_of(&self.repository_prefixes)
                )
            };
            Err(format!(
                "{shown} is not among those that the stack takes images from: {expected}, the stack's parameter ImageRepositoryPrefix"
            ))
        } else {
            Err(format!(
                "{shown} is not among those that the stack takes images from: list {arn} in its parameter ImageRepositoryArns"
            ))
        }
    }

    fn load_balancer(&self, alb: &Alb, place: &Place, admission: &mut Admission) {
        for (path, arn, what) in named(alb) {
            let there = Place::of(arn);
            if place.is_known()
                && (&there.account, &there.region) != (&place.account, &place.region)
            {
                let message = format!(
                    "{arn} is in account {} and Region {}, and the stack is in account {} and Region {}",
                    there.account, there.region, place.account, place.region
                );
                admission.invalid(Stage::Stack, path, message);
                continue;
            }
            // arn:…:listener-rule/app/NAME/… and arn:…:targetgroup/NAME/…
            let mut parts = arn.split('/').skip(1);
            let first = parts.next().unwrap_or_default();
            let name = if first == "app" {
                parts.next().unwrap_or_default()
            } else {
                first
            };
            let message = if self.load_balancer_prefix.is_empty() {
                format!(
                    "the stack moves no load balancer's traffic; set its parameter LoadBalancerPrefix to what \"{name}\" begins with"
                )
            } else if name.starts_with(&self.load_balancer_prefix) {
                continue;
            } else {
                format!(
                    "{what} \"{name}\" does not begin with \"{}\", the stack's parameter LoadBalancerPrefix",
                    self.load_balancer_prefix
                )
            };
            admission.invalid(Stage::Stack, path, message);
        }
    }
}

/// Returns the load balancer's parts that a request names: path, ARN, and what the name in it is of.
fn named(alb: &Alb) -> Vec<(String, &str, &'static str)> {
    let rule = alb.rule_arn.iter().map(|arn| {
        let path = "traffic.ruleArn".to_owned();
        (path, arn.as_ref(), "load balancer")
    });
    let rules = alb.rule_arns.iter().enumerate().map(|(index, arn)| {
        let path = format!("traffic.ruleArns[{index}]");
        (path, arn.as_ref(), "load balancer")
    });
    let listener = alb.listener_arn.iter().map(|arn| {
        let path = "traffic.listenerArn".to_owned();
        (path, arn.as_ref(), "load balancer")
    });
    let groups = alb
        .target_group_arns
        .iter()
        .enumerate()
        .map(|(index, arn)| {
            let path = format!("traffic.targetGroupArns[{index}]");
            (path, arn.as_ref(), "target group")
        });
    rule.chain(rules).chain(listener).chain(groups).collect()
}

/// Checks whether the stack's windows allow a release at `now`. Returns a warning where an override allows
/// it.
///
/// # Errors
/// The reason: outside of the windows, with the next opening; or windows that cannot be read, because
/// what they were meant to forbid is unknown.
pub fn outside_windows(
    windows: &str,
    now: Timestamp,
    overridden: Option<&OverrideFreeze>,
) -> Result<Option<String>, String> {
    let why = match windows.parse::<Windows>().map(|all| all.opening(now)) {
        Ok(Opening::Open) => return Ok(None),
        Ok(Opening::Closed(why)) => why,
        Err(wrong) => {
            format!(
                "the stack's parameter ReleaseWindows cannot be read, so nothing is released: {wrong}"
            )
        }
    };
    match overridden {
        Some(OverrideFreeze { by, reason }) => Ok(Some(format!(
            "the release windows were overridden by {by}: {reason} ({why})"
        ))),
        None => Err(format!(
            "{why}; what cannot wait is released with overrideFreeze, which names an operator and a reason"
        )),
    }
}

/// Matches as IAM does: `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Lists names as operators do: `"a", "b" or "c"`.
fn any_of(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_iam_does() {
        let arn = "arn:aws:ecr:eu-west-1:755283537543:repository/team/base";
        for (pattern, is) in [
            (arn, true),
            ("arn:aws:ecr:eu-west-1:755283537543:repository/team/*", true),
            ("arn:aws:ecr:eu-west-1:755283537543:repository/*/bas?", true),
            ("*", true),
            ("arn:aws:ecr:eu-west-1:755283537543:repository/team", false),
            ("arn:aws:ecr:us-east-1:755283537543:repository/*", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, arn), is, "{pattern}");
        }
    }

    #[test]
    fn names_each_variable_after_its_parameter() {
        let asked = std::cell::RefCell::new(Vec::new());
        let _ = Limits::of_variables(|name| {
            asked.borrow_mut().push(name.to_owned());
            String::new()
        });
        let asked = asked.into_inner();
        assert!(
            asked.contains(&"TARGET_FUNCTION_PREFIX".to_owned()),
            "{asked:?}"
        );
        assert!(asked.contains(&"HOSTED_ZONE_ARNS".to_owned()), "{asked:?}");
    }
}
