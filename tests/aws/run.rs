//! A run: its name, which everything that it makes begins with, and its record on this machine.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{account::Account, api::Aws};

/// What the names of all runs begin with. With the id behind it the stack's name has 20 letters:
/// CloudFormation cuts names of more than 25 where it makes others of them.
pub(crate) const PREFIX: &str = "crossfade-run-";

/// The tag that everything carries. Its value is the run's name.
pub(crate) const TAG: &str = "crossfade-run";

/// The tag that says since when, in seconds since 1970.
pub(crate) const SINCE: &str = "crossfade-run-since";

/// The longest that a run takes. What is older belongs to one that did not end.
pub(crate) const LONGEST: Duration = Duration::from_secs(75 * 60);

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The name that a resource's name belongs to: the prefix and six letters or digits.
pub(crate) fn run_of(resource: &str) -> Option<&str> {
    let at = resource.find(PREFIX)?;
    let name = resource.get(at..at + PREFIX.len() + 6)?;
    let id = &name[PREFIX.len()..];
    let ends = resource[at + name.len()..].chars().next();
    let whole = ends.is_none_or(|next| !next.is_ascii_alphanumeric());
    (whole && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
}

/// Times and rates: AWS's, or the local AWS's, whose waits are shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Whether an endpoint stands in for AWS.
    pub(crate) local: bool,
    /// How long CloudWatch is waited for before a verdict, seconds.
    pub(crate) settle_seconds: u32,
    /// Requests a second through the alias.
    pub(crate) rate: f64,
    /// How often something that changes in seconds is looked at.
    pub(crate) look: Duration,
    /// How long one release may take.
    pub(crate) release: Duration,
    /// How often a measurement is repeated.
    pub(crate) rounds: usize,
}

impl Pace {
    pub(crate) fn of(aws: &Aws) -> Self {
        if aws.endpoint().is_some() {
            Self {
                local: true,
                settle_seconds: 0,
                rate: 30.0,
                look: Duration::from_millis(50),
                release: Duration::from_secs(60),
                rounds: 5,
            }
        } else {
            Self {
                local: false,
                settle_seconds: 60,
                rate: 10.0,
                look: Duration::from_millis(300),
                release: Duration::from_secs(15 * 60),
                rounds: 20,
            }
        }
    }
}

/// A run, as its manifest has it. The manifest is written before anything is made, and removed when
/// listing shows that nothing is left; it says where to look, not what there is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Run {
    /// Such as `crossfade-run-k3v9x2`.
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) region: String,
    /// Since when, seconds since 1970.
    pub(crate) since: u64,
}

impl Run {
    /// A run of a new name.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is a time.
    pub(crate) fn new(account: &Account, aws: &Aws) -> Self {
        let since = now();
        // Microseconds since 1970 and the process: no two runs begin alike.
        let mut seed = (since * 1e6) as u64 ^ (u64::from(std::process::id()) << 20);
        let mut id = String::new();
        for _ in 0..6 {
            let digit = (seed % 36) as u8;
            let letter = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
            id.push(char::from(letter));
            seed /= 36;
        }
        Self {
            name: format!("{PREFIX}{id}"),
            account: account.id.clone(),
            region: aws.region.clone(),
            since: since as u64,
        }
    }

    /// The bucket of its artifacts. Names of buckets are the world's.
    pub(crate) fn bucket(&self) -> String {
        format!("{}-{}-{}", self.name, self.account, self.region)
    }

    /// The stack of what is not Crossfade's: bucket, roles, queue and rule.
    pub(crate) fn ground(&self) -> String {
        format!("{}-ground", self.name)
    }

    /// What the functions begin with that Crossfade releases.
    pub(crate) fn sample(&self, name: &str) -> String {
        format!("{}-app-{name}", self.name)
    }

    /// The name of something that a probe makes.
    pub(crate) fn probe(&self, name: &str) -> String {
        format!("{}-probe-{name}", self.name)
    }

    /// The tags of what it makes.
    pub(crate) fn tags(&self) -> [(&'static str, String); 2] {
        [(TAG, self.name.clone()), (SINCE, self.since.to_string())]
    }
}

/// A manifest that this process holds: no other takes the run for left behind.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    _file: File,
}

impl Held {
    /// Writes the manifest of a run.
    pub(crate) fn write(folder: &Path, run: &Run) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let path = folder.join(format!("{}.json", run.name));
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = File::create_new(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let text = serde_json::to_string_pretty(run).expect("a run is JSON");
        fs::write(&path, text + "\n").map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self { path, _file: file })
    }

    /// Removes it, as nothing is left.
    pub(crate) fn remove(self) -> Result<(), String> {
        fs::remove_file(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// The runs of this account and Region whose manifests are here and that no process holds.
pub(crate) fn abandoned(folder: &Path, account: &str, region: &str) -> Vec<(Run, Held)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            continue;
        }
        let read = fs::read(&path).ok();
        let run = read.and_then(|text| serde_json::from_slice::<Run>(&text).ok());
        if let Some(run) = run
            && run.account == account
            && run.region == region
            && run_of(&run.name) == Some(run.name.as_str())
        {
            found.push((run, Held { path, _file: file }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_run_in_a_name() {
        for (resource, run) in [
            ("crossfade-run-abc123", Some("crossfade-run-abc123")),
            (
                "crossfade-run-abc123-Ledger-X1",
                Some("crossfade-run-abc123"),
            ),
            (
                "/aws/lambda/crossfade-run-abc123-app-chat",
                Some("crossfade-run-abc123"),
            ),
            ("crossfade-run-abc1234", None),
            ("crossfade-run-abc", None),
            ("crossfade-run-abc-12", None),
            ("crossfade", None),
        ] {
            assert_eq!(run_of(resource), run, "{resource}");
        }
    }

    #[test]
    fn leaves_a_run_that_a_process_holds() {
        let folder = std::env::temp_dir().join(format!("crossfade-aws-{}", std::process::id()));
        let run = Run {
            name: format!("{PREFIX}abc123"),
            account: "1".into(),
            region: "r".into(),
            since: 5,
        };
        let held = Held::write(&folder, &run).expect("it can be written");
        assert!(abandoned(&folder, "1", "r").is_empty());
        drop(held);
        assert!(abandoned(&folder, "2", "r").is_empty(), "another account's");
        let found = abandoned(&folder, "1", "r");
        assert_eq!(found.len(), 1);
        for (seen, held) in found {
            assert_eq!(seen, run);
            held.remove().expect("it can be removed");
        }
        assert!(abandoned(&folder, "1", "r").is_empty());
        fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
