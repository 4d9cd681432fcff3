//! Plain technical English, as far as a list of words can hold it: in documents, doc comments and messages.

/// Words and phrases that technical English does not use so, each with what it uses instead.
const PRIVATE_WORDS: [(&str, &str); 38] = [
    ("told", "reported, published, shown"),
    ("tell", "report, publish, show"),
    ("tells", "reports, publishes, shows"),
    ("telling", "reporting, publishing"),
    ("untold", "undelivered"),
    ("owed", "undelivered, pending"),
    ("owe", "have pending"),
    ("owes", "has pending"),
    ("heard", "received"),
    ("hear", "receive"),
    ("hears", "receives"),
    ("doomed", "marked for deletion"),
    ("dooms", "marks for deletion"),
    ("wish", "request"),
    ("wishes", "requests"),
    ("wished", "requested"),
    (
        "whoever",
        "the noun that is meant: the caller, the operator",
    ),
    ("nobody", "the noun that is meant: no operator, no request"),
    ("somebody", "another writer, an operator"),
    ("anybody", "the noun that is meant: any client"),
    ("people", "operators, users, readers"),
    ("asked for", "requested, required"),
    ("asks for", "requests, requires"),
    ("goes back", "returns, rolls back"),
    ("go back to blue", "return to blue, roll back"),
    ("gone back", "returned, rolled back"),
    ("put back", "restored, moved to blue"),
    ("puts back", "restores, moves to blue"),
    ("made whole", "moved to one version"),
    ("make whole", "move to one version"),
    ("makes whole", "moves to one version"),
    (
        "what goes",
        "the noun that is meant: the traffic, the version",
    ),
    ("its own word", "its own value"),
    ("a person's word", "an operator's decision"),
    ("a word for it", "a field, a parameter"),
    ("can be had", "is available"),
    ("is had", "is available"),
    ("to be had", "available"),
];

/// Returns the private words in prose, each with the text around it. What stands in backquotes is code.
pub(crate) fn private_words(prose: &str) -> Vec<String> {
    let spoken = prose.split('`').step_by(2).collect::<Vec<_>>().join(" x ");
    let spoken = spoken.to_lowercase().replace('\n', " ");
    let words: Vec<&str> = spoken
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = vec![];
    for (phrase, instead) in PRIVATE_WORDS {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        for (nth, window) in words.windows(phrase.len()).enumerate() {
            if window == phrase {
                let around = &words[nth.saturating_sub(4)..words.len().min(nth + 5)];
                found.push(format!("\"{}\"; write {instead}", around.join(" ")));
            }
        }
    }
    found
}
