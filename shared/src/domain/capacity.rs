//! What stands ready for a function's alias, and what that means for a release.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{AliasName, FunctionName, Version};

/// What the account keeps for functions without a reservation.
const KEPT_FREE: u32 = 100;

/// How far provisioned concurrency is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// All of it stands ready.
    Ready,
    /// Lambda is at it.
    InProgress,
    /// Lambda gave up: why.
    Failed(String),
    /// Something else, in Lambda's word.
    Unknown(String),
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY"),
            Self::InProgress => f.write_str("IN_PROGRESS"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::Unknown(word) => f.write_str(word),
        }
    }
}

/// An alias's provisioned concurrency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// How many executions are to stand ready.
    pub executions: u32,
    /// How far that is.
    pub allocation: Allocation,
}

impl Provisioned {
    /// Whether a weight on the alias may be Lambda's own. Moving such an alias to another version, Lambda
    /// keeps the former one serving until what is to stand ready does; and for good where that fails.
    #[must_use]
    pub fn may_hold_weights(&self) -> bool {
        self.allocation != Allocation::Ready
    }
}

/// How many executions the function, or the account, may run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The function's own reservation.
    Reserved(u32),
    /// What all functions without a reservation share.
    Shared(u32),
}

/// How many durable executions run on a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// So many.
    pub running: u32,
    /// Whether there are more, which were not counted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Running {
    fn verb(self) -> &'static str {
        if self.running == 1 { "runs" } else { "run" }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { " or more" } else { "" };
        let plural = if self.running == 1 { "" } else { "s" };
        write!(f, "{}{more} durable execution{plural}", self.running)
    }
}

/// Durable executions that began on green: they stay there, whatever serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftBehind {
    /// The function.
    pub function: FunctionName,
    /// Its green.
    pub version: Version,
    /// How many.
    #[serde(flatten)]
    pub count: Running,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.count.verb();
        write!(
            f,
            "{}: {} that began on version {} {runs} on",
            self.function, self.count, self.version
        )
    }
}

/// What was read of a function before a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The provisioned concurrency of its alias.
    pub provisioned: Option<Provisioned>,
    /// Where more of it has to find room; read only where there is some.
    pub room: Option<Room>,
    /// The durable executions on the version that serves, where it has any.
    pub durable: Option<(Version, Running)>,
}

impl Capacity {
    /// What operators should know before a release, a sentence each.
    ///
    /// Whether green gets a part of the alias's provisioned concurrency while it has a weight, and whether
    /// both versions have theirs while Lambda moves it, is not documented: this assumes the worse case.
    #[must_use]
    pub fn warnings(&self, function: &FunctionName, alias: Option<&AliasName>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (Some(alias), Some(provisioned)) = (alias, &self.provisioned) {
            let Provisioned {
                executions,
                allocation,
            } = provisioned;
            warnings.push(format!(
                "{function}:{alias} has provisioned concurrency of {executions} ({allocation}): green starts cold until \
                 Lambda moves it after the promotion, which takes minutes; it cannot be changed while the alias has weights"
            ));
            let twice = executions.saturating_mul(2);
            let tight = match self.room {
                Some(Room::Reserved(room)) if room < twice => {
                    Some(format!("{room} are reserved for it"))
                }
                Some(Room::Shared(room)) if room < twice.saturating_add(KEPT_FREE) => {
                    Some(format!("the account has {room} for all such functions"))
                }
                Some(_) | None => None,
            };
            if let Some(tight) = tight {
                warnings.push(format!(
                    "{function}:{alias} may find no room for {executions} more executions while Lambda moves its \
                     provisioned concurrency: {tight}"
                ));
            }
        }
        if let Some((version, running)) = &self.durable {
            let runs = running.verb();
            warnings.push(format!(
                "{function}: {running} {runs} on version {version}, and stay there; it is kept for them"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(capacity: &Capacity) -> Vec<String> {
        capacity.warnings(&"chat".parse().unwrap(), Some(&"live".parse().unwrap()))
    }

    fn provisioned(executions: u32, room: Room) -> Capacity {
        Capacity {
            provisioned: Some(Provisioned {
                executions,
                allocation: Allocation::Failed("FUNCTION_ERROR_INIT_FAILURE".into()),
            }),
            room: Some(room),
            durable: None,
        }
    }

    #[test]
    fn tells_what_provisioned_concurrency_means() {
        assert!(warnings(&Capacity::default()).is_empty());
        let told = warnings(&provisioned(20, Room::Shared(140)));
        assert_eq!(told.len(), 1);
        let begins =
            "chat:live has provisioned concurrency of 20 (FAILED: FUNCTION_ERROR_INIT_FAILURE)";
        assert!(told[0].starts_with(begins), "{told:?}");
    }

    #[test]
    fn tells_where_there_may_be_no_room() {
        for (room, tight) in [
            (
                Room::Shared(139),
                Some("the account has 139 for all such functions"),
            ),
            (Room::Reserved(40), None),
            (Room::Reserved(39), Some("39 are reserved for it")),
        ] {
            let told = warnings(&provisioned(20, room));
            assert_eq!(told.len(), 1 + usize::from(tight.is_some()), "{told:?}");
            if let Some(tight) = tight {
                assert!(told[1].ends_with(tight), "{told:?}");
            }
        }
    }

    #[test]
    fn tells_of_durable_executions() {
        let running = |running, more| Capacity {
            durable: Some(("7".parse().unwrap(), Running { running, more })),
            ..Capacity::default()
        };
        let told = warnings(&running(1, false));
        assert!(told[0].starts_with("chat: 1 durable execution runs on version 7"));
        let told = warnings(&running(1000, true));
        assert!(told[0].starts_with("chat: 1000 or more durable executions run on"));
    }
}
