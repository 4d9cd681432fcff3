//! Writes a first request from what the account has and what is answered.
//!
//! - `find`: what there is; thin. `draft`: what the request says; pure.

mod draft;
mod find;

use std::{fs, path::Path};

use crossfade::{
    domain::names::{AliasName, Application, FunctionName},
    wire::request::Request,
};
use serde_json::{Value, json};

use self::draft::{Draft, Found};
use crate::{
    args::Init,
    ask::{Terminal, list, terminal},
    error::CliError,
    exit_code::Exit,
    output::Output,
    stack::Aws,
};

/// What is proposed where no strategy is given: the shortest of CodeDeploy's that compares before it goes on.
const STRATEGY: &str = "Canary10Percent5Minutes";

/// Writes the request and the page beside it.
pub(crate) async fn init(aws: &Aws, told: &Init, screen: &Output) -> Result<Exit, CliError> {
    let page = told.file.with_extension("md");
    let files = [told.file.as_path(), page.as_path()];
    if !told.force {
        refuse_existing(&files)?;
    }
    // Questions are asked where there is a terminal, unless none are wanted.
    let mut asker = if told.yes { None } else { terminal() };
    let functions = functions(aws, told, asker.as_mut()).await?;
    let found = Box::pin(find::about(aws.config(), &functions)).await;
    let draft = draft(told, &functions, &found, asker.as_mut())?;
    let request = draft.request();
    if let Err(problems) = Request::parse(&request) {
        return Err(CliError::invalid("what was answered", &problems));
    }
    let name = told.file.display().to_string();
    write(&told.file, &format!("{request:#}\n"))?;
    write(&page, &draft.explained(&name, &found))?;
    if screen.is_json() {
        screen.object(&json!({"request": request, "files": [name, page.display().to_string()]}));
    }
    screen.say(&format!("wrote {name}, and {} about it", page.display()));
    let usual = told.file == Path::new("crossfade.json");
    let named = if usual {
        String::new()
    } else {
        format!(" {name}")
    };
    screen.say(&format!("next:  crossfade plan{named}"));
    Ok(Exit::Done)
}

fn refuse_existing(files: &[&Path]) -> Result<(), CliError> {
    match files.iter().find(|file| file.exists()) {
        Some(file) => Err(CliError::new(
            Exit::Usage,
            format!("{} is there already", file.display()),
        )
        .next("--force overwrites it, and --file writes elsewhere")),
        None => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let written = fs::write(file, text);
    written.map_err(|error| CliError::new(Exit::Failed, format!("{}: {error}", file.display())))
}

/// What is missing, and the option that gives it.
fn missing(what: &str, option: &str) -> CliError {
    CliError::new(Exit::Usage, what).next(format!("give {option}"))
}

fn unanswered(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Usage, format!("no answer: {error}"))
        .next("`crossfade init --help` lists an option for each question")
}

async fn functions(
    aws: &Aws,
    told: &Init,
    asker: Option<&mut Terminal>,
) -> Result<Vec<FunctionName>, CliError> {
    let parse = |names: &[String]| -> Result<Vec<FunctionName>, String> {
        let names = names.iter().map(|name| {
            FunctionName::try_from(name.clone()).map_err(|error| format!("{name}: {error}"))
        });
        names.collect()
    };
    let usage = |why: String| CliError::new(Exit::Usage, why);
    if !told.functions.is_empty() {
        return parse(&told.functions).map_err(usage);
    }
    let there = find::functions(aws).await?;
    let shown = there.join(", ");
    match (there.as_slice(), asker) {
        ([], _) => Err(missing(
            "there is no function whose name begins as the stack's TargetFunctionPrefix says",
            "--function NAME, or deploy the stack with another prefix",
        )),
        ([_], None) => parse(&there).map_err(usage),
        (_, None) => Err(missing(
            &format!(
                "there are {} functions that could be released: {shown}",
                there.len()
            ),
            "--function NAME, once for each that is released together",
        )),
        (_, Some(asker)) => {
            let only = (there.len() == 1).then_some(shown.as_str());
            let question = format!("Functions that are released together, of {shown}");
            let accept = |answer: &str| match list(answer) {
                none if none.is_empty() => Err("name at least one".to_owned()),
                names => parse(&names),
            };
            asker
                .ask(&question, only, accept)
                .map_err(|error| unanswered(&error))
        }
    }
}

/// Takes what was given, asks what was not, and proposes what was found.
fn draft(
    told: &Init,
    functions: &[FunctionName],
    found: &[Found],
    mut asker: Option<&mut Terminal>,
) -> Result<Draft, CliError> {
    let names: Vec<_> = functions.iter().map(ToString::to_string).collect();
    let mut one = |given: Option<&String>,
                   question: &str,
                   proposed: Option<String>,
                   otherwise: CliError,
                   accept: &dyn Fn(&str) -> Result<String, String>| {
        match (given, asker.as_mut()) {
            (Some(given), _) => accept(given).map_err(|why| CliError::new(Exit::Usage, why)),
            (None, Some(asker)) => asker
                .ask(question, proposed.as_deref(), accept)
                .map_err(|error| unanswered(&error)),
            (None, None) => proposed.ok_or(otherwise),
        }
    };
    let application = one(
        told.application.as_ref(),
        "Name of the application",
        draft::application(&names),
        missing(
            "the functions' names do not say what the application is called",
            "--application NAME",
        ),
        &|answer| {
            let name = Application::try_from(answer.to_owned());
            name.map(|name| name.to_string())
                .map_err(|error| format!("{answer:?}: {error}"))
        },
    )?;
    let aliases = found.iter().map(|one| {
        let names: Vec<_> = one.aliases.iter().map(|(name, _)| name.as_str()).collect();
        format!(
            "{} has {}",
            one.name,
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        )
    });
    let aliases = aliases.collect::<Vec<_>>().join("; ");
    let alias = one(
        told.alias.as_ref(),
        &format!("Alias that callers use ({aliases})"),
        draft::alias(found),
        missing(
            &format!("which alias callers use is not known: {aliases}"),
            "--alias NAME",
        ),
        &|answer| {
            let name = AliasName::try_from(answer.to_owned());
            name.map(|name| name.to_string())
                .map_err(|error| format!("{answer:?}: {error}"))
        },
    )?;
    let strategy = one(
        told.strategy.as_ref(),
        "Strategy (docs/strategies.md)",
        Some(STRATEGY.to_owned()),
        missing("no strategy is given", "--strategy NAME"),
        &|answer| is_strategy(answer).map(|()| answer.to_owned()),
    )?;
    let there = draft::alarms(found);
    let alarms = match asker {
        _ if told.no_alarms => Vec::new(),
        _ if !told.alarms.is_empty() => told.alarms.clone(),
        None => there,
        Some(asker) => {
            let shown = if there.is_empty() {
                "none".to_owned()
            } else {
                there.join(", ")
            };
            let accept = |answer: &str| match answer {
                "none" => Ok(Vec::new()),
                answer => Ok(list(answer)),
            };
            let asked = asker.ask("Alarms that guard it, or none", Some(&shown), accept);
            asked.map_err(|error| unanswered(&error))?
        }
    };
    Ok(Draft {
        application,
        functions: names,
        alias,
        alarms,
        strategy,
    })
}

/// Checks a strategy's name as a start would.
fn is_strategy(name: &str) -> Result<(), String> {
    let request: Value = json!({"application": "a", "strategy": name,
        "functions": [{"functionName": "a", "alias": "a", "smokeTests": [{"name": "a"}]}]});
    let problems = match Request::parse(&request) {
        Ok(_) => return Ok(()),
        Err(problems) => problems.into_vec(),
    };
    let problem = problems
        .into_iter()
        .find(|problem| problem.path.starts_with("strategy"));
    problem.map_or(Ok(()), |problem| Err(problem.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_a_strategy_as_a_start_does() {
        assert_eq!(is_strategy(STRATEGY), Ok(()));
        assert_eq!(is_strategy("prod"), Ok(()));
        assert!(is_strategy("canary").is_err());
        let error = is_strategy("AllAtOnec").unwrap_err();
        assert!(error.contains("AllAtOnce"), "{error}");
    }

    #[test]
    fn overwrites_nothing() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let there = here.join("Cargo.toml");
        assert_eq!(refuse_existing(&[&here.join("nothing")]), Ok(()));
        let trouble = refuse_existing(&[&here.join("nothing"), &there]).unwrap_err();
        assert!(
            trouble.what.ends_with("Cargo.toml is there already"),
            "{}",
            trouble.what
        );
    }
}
