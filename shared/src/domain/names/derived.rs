//! Names that are made from other names, each within its service's limit.
//!
//! The parts may be as long as their own services allow, so what is made of them may not fit. A name that
//! fits stays readable; one that does not, or that another input could also make, is cut and ends in a hash
//! of all its parts, so that distinct inputs keep distinct names. Every derivation is here, and one property
//! test holds for all of them.

use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::{AlarmName, AliasName, Application, FunctionName, NameError};
use crate::domain::{
    Timestamp,
    names::{
        api::{ApiId, StageName},
        resources::{SetIdentifier, TargetGroupArn},
    },
};

/// The longest key of a stage variable (API Gateway's quotas).
pub const STAGE_VARIABLE: usize = 64;
/// The longest id of a statement of a function's policy (Lambda, AddPermission).
pub const STATEMENT_ID: usize = 100;
/// The longest name of an alias (Lambda).
pub const ALIAS: usize = 128;
/// The longest name of an execution (Step Functions, StartExecution).
pub const EXECUTION: usize = 80;
/// The longest subject of a message: SNS takes fewer than 100 characters (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
pub const SUBJECT: usize = 99;
/// The longest description of a deployment (API Gateway).
pub const DESCRIPTION: usize = 255;
/// The longest partition key, in bytes (DynamoDB).
pub const PARTITION_KEY: usize = 2048;
/// The longest sort key, in bytes (DynamoDB).
pub const SORT_KEY: usize = 1024;

/// What the names of subscription filters begin with.
const LIVE: &str = "crossfade-live";

/// How many characters a hash has: 64 bits.
const HASH: usize = 16;

/// A text, or where it is longer than `most` bytes, its beginning and a hash of the whole.
fn fitted(text: String, most: usize, separator: char) -> String {
    if text.len() <= most {
        text
    } else {
        hashed(&text, &text, most, separator)
    }
}

/// As much of a text as there is room for, and a hash of what makes it unlike others.
fn hashed(text: &str, whole: &str, most: usize, separator: char) -> String {
    let digest = Sha256::digest(whole);
    let mut first = [0; HASH / 2];
    first.copy_from_slice(&digest[..HASH / 2]);
    let hash = format!("{:0HASH$x}", u64::from_be_bytes(first));
    let mut room = text.len().min(most - HASH - separator.len_utf8());
    while !text.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{separator}{hash}", &text[..room])
}

/// Returns the key of the stage variable that says by which alias a function is called. The `nth` of several
/// that are tried, from 1 on; keys are letters, digits and `_`.
#[must_use]
pub fn stage_variable(function: &FunctionName, nth: u32) -> String {
    let name = function.as_ref();
    let tail = match nth {
        0 | 1 => "_alias".to_owned(),
        nth => format!("_alias_{nth}"),
    };
    let room = STAGE_VARIABLE - tail.len();
    let word = name.replace('-', "_");
    // "a_b" would have the key of "a-b".
    let word = if name.len() > room || name.contains('_') {
        hashed(&word, name, room, '_')
    } else {
        word
    };
    word + &tail
}

/// What a statement of an alias's policy lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller<'a> {
    /// One stage's operations.
    Stage(&'a StageName),
    /// An authorizer, by its id, on every stage.
    Authorizer(&'a str),
    /// All of the API.
    Any,
}

/// Returns the id of the statement that lets an API call an alias.
#[must_use]
pub fn stage_statement(api_id: &ApiId, caller: Caller<'_>) -> String {
    const ANY: &str = "any";
    const AUTHORIZER: &str = "authorizer-";
    let (kind, caller, is_plain) = match caller {
        Caller::Any => ("api", ANY.to_owned(), true),
        Caller::Authorizer(id) => {
            let plain = id.bytes().all(|b| b.is_ascii_alphanumeric());
            ("authorizer", format!("{AUTHORIZER}{id}"), plain)
        }
        // A stage may be called as the others are.
        Caller::Stage(stage) => {
            let stage = stage.as_ref();
            let plain = stage != ANY && !stage.starts_with(AUTHORIZER) && !stage.contains('$');
            ("stage", stage.to_owned(), plain)
        }
    };
    let text = format!("crossfade-{api_id}-{caller}");
    if is_plain && text.len() <= STATEMENT_ID {
        return text;
    }
    let word = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let shown: String = text.chars().map(word).collect();
    hashed(&shown, &format!("{kind} {text}"), STATEMENT_ID, '-')
}

/// Returns the id of the statement that lets a load balancer call a version, through one target group.
#[must_use]
pub fn target_group_statement(group: &TargetGroupArn) -> String {
    let id = group.as_ref().rsplit('/').next().unwrap_or_default();
    fitted(format!("crossfade-{id}"), STATEMENT_ID, '-')
}

/// Returns the alias behind a record: `production` and `blue` make `production-blue`. What stands behind the
/// record calls it by this name, so it is never cut.
///
/// # Errors
/// [`NameError`] when there is no such alias, because it would be longer than [`ALIAS`].
pub fn colour(alias: &AliasName, identifier: &SetIdentifier) -> Result<AliasName, NameError> {
    AliasName::try_from(format!("{alias}-{identifier}"))
}

/// Returns the name of an execution: what it is of, when it starts, and four digits for two at the same time.
#[must_use]
pub fn execution(application: &str, at: Timestamp, digits: u16) -> String {
    let tail = format!("-{}-{digits:04x}", at.format("%Y%m%dT%H%M%SZ"));
    fitted(application.to_owned(), EXECUTION - tail.len(), '-') + &tail
}

/// Returns the name of the subscription filters of a release: by its execution, so that none is another's.
#[must_use]
pub fn live_filter(execution: &str) -> String {
    hashed(LIVE, execution, LIVE.len() + 1 + HASH, '-')
}

/// Returns the subject of a mail: printable ASCII on one line.
#[must_use]
pub fn subject(label: impl Display, application: impl Display, reason: impl Display) -> String {
    let printable = |c: char| match c {
        ' '..='~' => c,
        _ => ' ',
    };
    let text = format!("[{label}] {application}: {reason}");
    text.chars().map(printable).take(SUBJECT).collect()
}

/// Returns what a deployment of an API is described by.
#[must_use]
pub fn deployment_description(function: &FunctionName, alias: &AliasName) -> String {
    fitted(
        format!("Crossfade: {function} and its alias {alias}"),
        DESCRIPTION,
        ' ',
    )
}

/// Keys of the ledger's rows. One that is cut is still found: it is made in the same way again.
pub mod keys {
    use super::{
        AlarmName, ApiId, Application, FunctionName, PARTITION_KEY, SORT_KEY, StageName, fitted,
    };

    /// A partition key.
    fn pk(kind: &str, of: impl std::fmt::Display) -> String {
        fitted(format!("{kind}#{of}"), PARTITION_KEY, '#')
    }

    /// A lock's row, by the lock's name.
    #[must_use]
    pub fn lock(name: &str) -> String {
        pk("LOCK", name)
    }

    /// The row of when a traffic splitter's weights were moved last, by the splitter's lock.
    #[must_use]
    pub fn splitter(lock: &str) -> String {
        pk("SPLITTER", lock)
    }

    /// A release's row, by its execution.
    #[must_use]
    pub fn deployment(execution: &str) -> String {
        pk("DEPLOYMENT", execution)
    }

    /// The rows of the releases that watch an alarm.
    #[must_use]
    pub fn watched(alarm: &AlarmName) -> String {
        pk("ALARM", alarm)
    }

    /// The row of what was promoted last.
    #[must_use]
    pub fn promoted(application: &Application) -> String {
        pk("PROMOTED", application)
    }

    /// The rows of the versions of a function that are promised.
    #[must_use]
    pub fn retained(function: &FunctionName) -> String {
        pk("RETAINED", function)
    }

    /// The rows of an application's retentions.
    #[must_use]
    pub fn retentions(application: &Application) -> String {
        pk("RETENTIONS", application)
    }

    /// The rows of the versions of a function that are going to be deleted.
    #[must_use]
    pub fn doomed(function: &FunctionName) -> String {
        pk("DOOMED", function)
    }

    /// The rows of an execution's migrations.
    #[must_use]
    pub fn migration(execution: &str) -> String {
        pk("MIGRATION", execution)
    }

    /// The rows of what is listened to during a release, by the name of its subscription filters.
    #[must_use]
    pub fn lane(filter: &str) -> String {
        pk("LANE", filter)
    }

    /// The row of an execution environment that is listened to, by its log group and stream.
    #[must_use]
    pub fn environment(group: &str, stream: &str) -> String {
        fitted(format!("ENVIRONMENT#{group}#{stream}"), SORT_KEY, '#')
    }

    /// The rows of an API's wirings.
    #[must_use]
    pub fn stage_wirings(api_id: &ApiId) -> String {
        pk("FRONTDOOR", api_id)
    }

    /// The row of one wiring. Neither a stage's name nor a function's has this separator.
    #[must_use]
    pub fn wiring(stage: &StageName, function: &FunctionName) -> String {
        fitted(format!("{stage}#{function}"), SORT_KEY, '#')
    }
}

#[cfg(test)]
mod tests;
