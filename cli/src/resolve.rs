//! Which release is meant.

use crossfade::{
    aws::ledger::Ledger,
    domain::{names::Application, record::Record},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{error::CliError, executions::Run, exit_code::Exit, name::is_valid, stack::Aws};

/// How many rows of the ledger are read at a time.
const AT_ONCE: usize = 25;

/// The release that `said` names: an ARN, an execution's name, or an application, whose release in flight
/// it is, or else the newest one, however that ended. Without a word, the only one in flight.
pub(crate) async fn resolve(aws: &Aws, said: Option<&str>) -> Result<Run, CliError> {
    let Some(said) = said else {
        return only(&aws.ledger().await?).await;
    };
    if let Some(run) = named(aws, said).await? {
        return Ok(run);
    }
    let latest = match Application::try_from(said.to_owned()) {
        Ok(application) => latest(aws, &application).await?,
        Err(_) => None,
    };
    latest.map(|arn| Run { arn }).ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            format!("{said} is neither a release nor an application that has one"),
        )
        .next("`crossfade status` has those in flight")
    })
}

/// The release of an application that is in flight, or else the newest one. The ledger has by application what is in
/// flight and what was promoted last; what was rolled back since is found by its execution, where the caller may list those.
async fn latest(aws: &Aws, application: &Application) -> Result<Option<String>, CliError> {
    let ledger = aws.ledger().await?;
    let known = ledger.latest(application).await?;
    if let Some(arn) = &known
        && let Some(record) = ledger.get(arn).await?
        && record.status.is_open()
    {
        return Ok(known);
    }
    match (newest(aws, Some(application)).await, known) {
        (Ok(records), known) => {
            let newest = records.into_iter().next();
            Ok(newest.map(|record| record.execution).or(known))
        }
        (Err(_), Some(known)) => Ok(Some(known)),
        (Err(trouble), None) => Err(trouble),
    }
}

/// The rows of the newest executions, newest first; of one application where one is named. What took no locks has none.
pub(crate) async fn newest(aws: &Aws, of: Option<&Application>) -> Result<Vec<Record>, CliError> {
    let ledger = &aws.ledger().await?;
    let runs = aws.runs().newest(&aws.machine().await?).await?;
    let rows = stream::iter(runs).map(|run| async move { ledger.get(&run.arn).await });
    let rows: Vec<_> = rows.buffered(AT_ONCE).try_collect().await?;
    let records = rows.into_iter().flatten();
    Ok(records
        .filter(|record| of.is_none_or(|application| record.application == *application))
        .collect())
}

/// The execution that has this name or ARN; none where there is none of this name.
///
/// # Errors
/// With [`Exit::Usage`], an ARN of something else.
pub(crate) async fn named(aws: &Aws, said: &str) -> Result<Option<Run>, CliError> {
    if said.starts_with("arn:") {
        return run_of(said).map(Some);
    }
    if !is_valid(said) {
        return Ok(None);
    }
    let run = Run::of(&aws.machine().await?, said);
    Ok(aws.runs().exists(&run).await?.then_some(run))
}

/// The execution whose ARN this is.
fn run_of(arn: &str) -> Result<Run, CliError> {
    let parts: Vec<_> = arn.split(':').collect();
    match parts.as_slice() {
        [
            "arn",
            _,
            "states",
            region,
            account,
            "execution",
            machine,
            name,
        ] if [region, account, machine]
            .iter()
            .all(|part| !part.is_empty())
            && is_valid(name) =>
        {
            Ok(Run {
                arn: arn.to_owned(),
            })
        }
        _ => Err(CliError::new(
            Exit::Usage,
            format!(
                "{arn} is not the ARN of an execution, which is \
                 arn:aws:states:REGION:ACCOUNT:execution:STATE-MACHINE:NAME"
            ),
        )
        .next("`crossfade status` has those in flight")),
    }
}

/// The only release in flight.
async fn only(ledger: &Ledger) -> Result<Run, CliError> {
    choose(ledger.running().await?)
}

fn choose(mut running: Vec<String>) -> Result<Run, CliError> {
    match (running.pop(), running.len()) {
        (Some(arn), 0) => Ok(Run { arn }),
        (None, _) => Err(CliError::new(Exit::Usage, "no release is in flight")
            .next("name one: its execution's name or ARN, or its application")),
        (Some(last), _) => {
            running.push(last);
            running.sort();
            let names: Vec<_> = running
                .into_iter()
                .map(|arn| Run { arn }.name().to_owned())
                .collect();
            Err(CliError::new(
                Exit::Usage,
                format!(
                    "{} releases are in flight: {}",
                    names.len(),
                    names.join(", ")
                ),
            )
            .next("name one of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_the_arn_of_something_else() {
        let arn = "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-1";
        assert_eq!(run_of(arn).unwrap().name(), "chat-1");
        for wrong in [
            "arn:",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment",
            "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment",
            "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:a b",
            "arn:aws:lambda:eu-west-1:123456789012:function:chat:1",
        ] {
            assert_eq!(run_of(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn requires_a_name_if_several_releases_run() {
        let arn = |name: &str| format!("arn:aws:states:r:1:execution:m:{name}");
        assert_eq!(choose(vec![arn("a")]).unwrap().name(), "a");
        assert_eq!(choose(vec![]).unwrap_err().exit, Exit::Usage);
        let two = choose(vec![arn("b"), arn("a")]).unwrap_err();
        assert_eq!(two.what, "2 releases are in flight: a, b");
    }
}
