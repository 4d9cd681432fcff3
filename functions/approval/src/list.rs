//! What the list of releases shows: pure.

use std::collections::BTreeMap;

use crossfade::{
    aws::executions::Listed,
    domain::{
        Timestamp,
        page_link::{Page, PageKey},
        record::Record,
    },
};

use crate::view::{name, state};

/// A release in the list.
pub(crate) struct Row {
    pub(crate) application: String,
    pub(crate) release: String,
    pub(crate) about: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) weight: String,
    pub(crate) began_at: Timestamp,
    pub(crate) is_open: bool,
    /// To its page; none where the ledger has nothing of it.
    pub(crate) link: Option<String>,
}

/// The executions that are to be shown, each once: those that run, and then the others, newest first.
pub(crate) fn merged(running: Vec<Listed>, newest: Vec<Listed>, most: usize) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    for one in running.into_iter().chain(newest) {
        if all.len() < most && !all.iter().any(|known| known.arn == one.arn) {
            all.push(one);
        }
    }
    all
}

/// The rows of `executions`, with links that work until `until` and no longer.
pub(crate) fn rows(
    executions: &[Listed],
    records: &[Record],
    key: &PageKey,
    until: Timestamp,
) -> Vec<Row> {
    let records: BTreeMap<_, _> = records
        .iter()
        .map(|record| (record.execution.as_str(), record))
        .collect();
    let mut rows: Vec<_> = executions
        .iter()
        .map(|one| match records.get(one.arn.as_str()) {
            Some(record) => of_record(record, key, until),
            None => Row {
                application: "–".to_owned(),
                release: name(&one.arn),
                about: None,
                state: if one.running {
                    "Running"
                } else {
                    "Took no locks"
                },
                weight: "–".to_owned(),
                began_at: one.began_at,
                is_open: one.running,
                link: None,
            },
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.began_at));
    rows
}

fn of_record(record: &Record, key: &PageKey, until: Timestamp) -> Row {
    let release = name(&record.execution);
    let page = Page::Release {
        application: record.application.clone(),
        release: release.clone(),
    };
    Row {
        application: record.application.to_string(),
        about: record.about().line(),
        state: state(record),
        weight: crate::view::weight(record).to_string(),
        began_at: record.began_at,
        is_open: record.status.is_open(),
        link: Some(key.link("", &page, until)),
        release,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use crossfade::domain::approval::QuestionKind;

    use super::*;
    use crate::fixtures;

    fn listed(name: &str, running: bool, minutes: i64) -> Listed {
        let record = fixtures::record(fixtures::asked(QuestionKind::Hold));
        let (machine, _) = record.execution.rsplit_once(':').unwrap();
        Listed {
            arn: format!("{machine}:{name}"),
            began_at: fixtures::now() - TimeDelta::minutes(minutes),
            running,
        }
    }

    #[test]
    fn shows_each_execution_once_and_those_that_run_first() {
        let running = vec![listed("old", true, 900)];
        let newest = vec![
            listed("a", false, 1),
            listed("old", true, 900),
            listed("b", false, 5),
        ];
        let names =
            |all: &[Listed]| -> Vec<String> { all.iter().map(|one| name(&one.arn)).collect() };
        assert_eq!(
            names(&merged(running.clone(), newest.clone(), 9)),
            ["old", "a", "b"]
        );
        assert_eq!(names(&merged(running, newest, 2)), ["old", "a"]);
    }

    #[test]
    fn links_no_longer_than_the_list_itself_works() {
        let key = PageKey::from_random([7; 32]);
        let record = fixtures::record(fixtures::asked(QuestionKind::Hold));
        let until = fixtures::now() + TimeDelta::hours(1);
        let executions = [
            listed("refused", false, 1),
            listed("chat-2026-11-21-42", true, 17),
        ];
        let rows = rows(&executions, &[record], &key, until);
        assert_eq!(rows[0].link, None);
        let link = rows[1].link.clone().unwrap();
        assert!(
            link.starts_with("?application=chat&release=chat-2026-11-21-42&until="),
            "{link}"
        );
        assert!(link.contains(&until.timestamp().to_string()), "{link}");
        assert_eq!((rows[1].state, rows[1].is_open), ("Held", true));
    }
}
