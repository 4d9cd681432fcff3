//! For a channel: the JSON that Amazon Q Developer in chat applications takes for a message of one's
//! own (<https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>), in one thread for each release.

use serde_json::{Map, Value, json};

use crate::{
    display::truncate,
    notice::{Kind, Notice, sentences, truncate::truncate_detail},
};

/// What is laid out, as bytes of JSON. SNS takes 256 KiB; how much a channel shows is not documented,
/// so there is little of everything.
const MAX_FACTS: usize = 32 * 1024;
/// The most characters of the reason.
const MAX_REASON: usize = 1200;
/// The most functions, alarms and warnings that are named.
const FEW: usize = 5;

/// The notice as a message for a channel. It never has the task token in it.
#[must_use]
pub fn chat(notice: &Notice) -> Value {
    let facts = truncate_detail(&notice.facts, MAX_FACTS);
    let application = sentences::application(&facts);
    let title = format!(
        "{} {} {application} ({})",
        sign(facts.kind),
        sentences::label(&facts),
        facts.release
    );
    let mut parts = vec![plain(&truncate(facts.reason.trim(), MAX_REASON))];
    parts.extend(facts.about.line().map(|about| plain(&about)));
    parts.extend(sentences::met(&facts));
    if let Some((heading, test)) = sentences::judged(&facts) {
        parts.push(format!("*{}*", plain(&heading)));
        parts.extend(bullets(&sentences::table(&facts)));
        parts.push(format!("- {test}"));
    }
    let functions: Vec<_> = facts
        .functions
        .iter()
        .map(|one| {
            let blue = one.blue_version.as_ref();
            let blue = blue.map_or("none".to_owned(), ToString::to_string);
            let serving = one.serving.as_ref();
            let serving = serving.map(|version| format!(", {version} serves"));
            let serving = serving.unwrap_or_default();
            format!(
                "{} {blue} → {}{serving}",
                one.function_name, one.green_version
            )
        })
        .collect();
    if !functions.is_empty() {
        parts.push(format!("Functions: {}", sentences::list(&functions, FEW)));
    }
    if let Some(sides) = &facts.sides {
        parts.push(plain(&format!("In this release: {sides}")));
    }
    if !facts.served_by.is_empty() {
        let by: Vec<_> = facts.served_by.iter().map(|by| plain(by)).collect();
        parts.push(format!(
            "All traffic goes to: {}",
            sentences::list(&by, FEW)
        ));
    }
    let alarms: Vec<_> = facts
        .evidence
        .alarms
        .iter()
        .map(|alarm| plain(alarm.name.as_ref()))
        .collect();
    if !alarms.is_empty() {
        parts.push(format!("Alarms not OK: {}", sentences::list(&alarms, FEW)));
    }
    parts.extend(
        facts
            .warnings
            .iter()
            .take(FEW)
            .map(|warning| format!("⚠️ {}", plain(warning))),
    );

    let mut context = Map::new();
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            context.insert(name.to_owned(), json!(value));
        }
    };
    // What the buttons of docs/recipes/chat-actions.yaml are chosen by.
    tell("kind", Some(facts.kind.to_string()));
    tell("application", Some(application.to_owned()));
    tell("release", Some(facts.release.clone()));
    tell(
        "greenPercent",
        facts.weight.map(|weight| weight.percent().to_string()),
    );
    let status = facts.deployment_status.map(<&'static str>::from);
    tell("deploymentStatus", status.map(str::to_owned));
    json!({
        "version": "1.0",
        "source": "custom",
        "id": facts.id,
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": parts.join("\n"),
            "nextSteps": next_steps(notice),
            "keywords": [application, facts.kind],
        },
        "metadata": {
            "threadId": facts.release,
            "summary": plain(&truncate(facts.reason.trim(), 200)),
            "eventType": facts.kind,
            "relatedResources": [facts.execution],
            "additionalContext": context,
        },
    })
}

fn next_steps(notice: &Notice) -> Vec<String> {
    let facts = &notice.facts;
    let mut steps = Vec::new();
    if let Some(ahead) = &facts.next {
        let at = ahead.at.map(sentences::time);
        match (&ahead.without_an_answer, at) {
            (Some(silence), Some(at)) => {
                steps.push(plain(&ahead.what));
                steps.push(plain(&format!("Without an answer until {at}: {silence}")));
            }
            (_, Some(at)) => steps.push(plain(&format!("{}, at {at}", ahead.what))),
            (_, None) => steps.push(plain(&ahead.what)),
        }
    }
    if let Some(ways) = &notice.ways {
        if let Some(link) = &ways.link {
            steps.push(format!("[Look and answer]({link})"));
        }
        let verbs = ways.words.iter();
        let verbs: Vec<_> = verbs.map(|(word, _)| sentences::verb(*word)).collect();
        steps.push(format!(
            "or `crossfade {} {} --by YOU`",
            verbs.join("|"),
            facts.release
        ));
    }
    if let Some(page) = &facts.page {
        steps.push(format!("[The release's page]({page})"));
    }
    if let Some(help) = &facts.help {
        steps.push(format!("What it means, and what to do: {help}"));
    }
    if let Some(url) = &facts.about.url {
        // In a channel an @ may call someone.
        let url = url.as_ref().replace('@', "%40");
        steps.push(format!("[What is released]({url})"));
    }
    if let Some(link) = sentences::console(&facts.execution) {
        steps.push(format!("[The execution]({link})"));
    }
    steps
}

/// The evidence's rows as a list: a channel's letters are not all of one width.
fn bullets(rows: &[sentences::Row]) -> Vec<String> {
    let Some((heading, rows)) = rows.split_first() else {
        return Vec::new();
    };
    let cell = |colour: &str, number: &str, share: &str| {
        if share.is_empty() {
            format!("{colour}: {number}")
        } else {
            format!("{colour}: {number} ({share})")
        }
    };
    rows.iter()
        .map(|[what, blue, blue_share, green, green_share]| {
            format!(
                "- {what} {}, {}",
                cell(&heading[1], blue, blue_share),
                cell(&heading[3], green, green_share)
            )
        })
        .collect()
}

fn sign(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "🚀",
        Kind::Shifted => "➡️",
        Kind::ApprovalNeeded => "🙋",
        Kind::Held => "⏸️",
        Kind::Promoted => "✅",
        Kind::RolledBack => "↩️",
        Kind::Rejected => "⛔",
        Kind::Unchanged => "💤",
        Kind::Wired => "🔌",
        Kind::Stuck | Kind::RetentionFailed => "🆘",
    }
}

/// Escapes a foreign text: in the result nothing mentions a whole channel or makes a link: a name of an
/// alarm or a reason must not write to the channel in Crossfade's name.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => '‹',
            '>' => '›',
            '`' => '\'',
            '[' => '(',
            ']' => ')',
            '@' => '＠',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mentions_and_links() {
        assert_eq!(
            plain("<!channel> [approve](https://evil.example) @here `x`"),
            "‹!channel› (approve)(https://evil.example) ＠here 'x'"
        );
    }
}
