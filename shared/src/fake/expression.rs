//! DynamoDB's expressions, as far as the ledger uses them.

use std::collections::BTreeMap;

use crate::ports::{Item, RowWrite, Value};

/// The names and values that an expression uses.
struct Terms<'a> {
    names: &'a BTreeMap<&'static str, &'static str>,
    values: &'a BTreeMap<&'static str, Value>,
}

/// What is left of an expression.
struct Tokens<'a> {
    left: Vec<&'a str>,
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Self {
        let mut left = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "#:_".contains(c);
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let len = match word {
                0 if rest.starts_with("<=") => 2,
                0 => 1,
                word => word,
            };
            let (token, after) = rest.split_at(len);
            left.push(token);
            rest = after.trim_start();
        }
        left.reverse();
        Self { left }
    }

    fn peek(&self) -> Option<&'a str> {
        self.left.last().copied()
    }

    fn next(&mut self) -> &'a str {
        self.left.pop().expect("the expression goes on")
    }

    fn expect(&mut self, token: &str) {
        let found = self.next();
        assert_eq!(found, token, "an expression that this fake knows");
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.left.pop();
        }
        found
    }
}

impl Terms<'_> {
    fn name(&self, token: &str) -> String {
        if token.starts_with('#') {
            self.names[token].to_owned()
        } else {
            token.to_owned()
        }
    }

    fn or(&self, tokens: &mut Tokens<'_>, row: Option<&Item>) -> bool {
        let mut holds = self.and(tokens, row);
        while tokens.skip("OR") {
            holds |= self.and(tokens, row);
        }
        holds
    }

    fn and(&self, tokens: &mut Tokens<'_>, row: Option<&Item>) -> bool {
        let mut holds = self.one(tokens, row);
        while tokens.skip("AND") {
            holds &= self.one(tokens, row);
        }
        holds
    }

    fn one(&self, tokens: &mut Tokens<'_>, row: Option<&Item>) -> bool {
        match tokens.next() {
            "(" => {
                let holds = self.or(tokens, row);
                tokens.expect(")");
                holds
            }
            function @ ("attribute_exists" | "attribute_not_exists") => {
                tokens.expect("(");
                let name = self.name(tokens.next());
                tokens.expect(")");
                let exists = row.is_some_and(|row| row.contains_key(&name));
                exists == (function == "attribute_exists")
            }
            name => {
                let name = self.name(name);
                let is = row.and_then(|row| row.get(&name));
                match tokens.next() {
                    "IN" => {
                        tokens.expect("(");
                        let mut holds = false;
                        loop {
                            holds |= is == Some(&self.values[tokens.next()]);
                            if !tokens.skip(",") {
                                break;
                            }
                        }
                        tokens.expect(")");
                        holds
                    }
                    "=" => is == Some(&self.values[tokens.next()]),
                    "<=" => match (is, &self.values[tokens.next()]) {
                        (Some(Value::N(is)), Value::N(than)) => {
                            let number = |text: &str| text.parse::<f64>().expect("it is a number");
                            number(is) <= number(than)
                        }
                        _ => false,
                    },
                    other => panic!("this fake does not know {other}"),
                }
            }
        }
    }

    fn set(&self, tokens: &mut Tokens<'_>, before: &Item) -> Value {
        match tokens.next() {
            "if_not_exists" => {
                tokens.expect("(");
                let name = self.name(tokens.next());
                tokens.expect(",");
                let value = self.values[tokens.next()].clone();
                tokens.expect(")");
                before.get(&name).cloned().unwrap_or(value)
            }
            value => self.values[value].clone(),
        }
    }
}

/// Returns whether the condition of a write holds for a row.
pub(super) fn holds(write: &RowWrite, row: Option<&Item>) -> bool {
    let Some(condition) = &write.condition else {
        return true;
    };
    let terms = Terms {
        names: &write.names,
        values: &write.values,
    };
    let mut tokens = Tokens::of(condition);
    let holds = terms.or(&mut tokens, row);
    assert_eq!(tokens.peek(), None, "the end of {condition}");
    holds
}

/// Updates a row by an expression. Returns the names that it updates.
pub(super) fn update(write: &RowWrite, expression: &str, row: &mut Item) -> Vec<String> {
    let terms = Terms {
        names: &write.names,
        values: &write.values,
    };
    let before = row.clone();
    let mut tokens = Tokens::of(expression);
    let mut updated = Vec::new();
    while let Some(clause) = tokens.peek() {
        tokens.next();
        loop {
            let name = terms.name(tokens.next());
            match clause {
                "SET" => {
                    tokens.expect("=");
                    row.insert(name.clone(), terms.set(&mut tokens, &before));
                }
                "REMOVE" => {
                    row.remove(&name);
                }
                other => panic!("this fake does not know {other}"),
            }
            updated.push(name);
            if !tokens.skip(",") {
                break;
            }
        }
    }
    updated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Key;

    fn s(text: &str) -> Value {
        Value::S(text.into())
    }

    fn row(status: &str, attempt: &str) -> Item {
        Item::from([
            ("status".to_owned(), s(status)),
            ("attempt".to_owned(), Value::N(attempt.into())),
        ])
    }

    fn write(condition: &str) -> RowWrite {
        RowWrite::update(Key::new("a", "b"), "SET x = :p")
            .condition(condition)
            .name("#status", "status")
            .value(":p", s("P"))
            .value(":f", s("F"))
            .value(":n", Value::N("2".into()))
    }

    #[test]
    fn evaluates_conditions_as_dynamodb_does() {
        let held = |condition: &str, row: Option<&Item>| holds(&write(condition), row);
        let either = "#status = :p OR (#status = :f AND attempt <= :n)";
        for (status, attempt, holds) in [
            ("P", "9", true),
            ("F", "2", true),
            ("F", "10", false),
            ("X", "1", false),
        ] {
            assert_eq!(held(either, Some(&row(status, attempt))), holds, "{status}");
        }
        assert!(!held(either, None), "a row that is not there");
        assert!(held("attribute_not_exists(pk) OR #status = :f", None));
        assert!(held("#status IN (:p, :f)", Some(&row("F", "1"))));
        assert!(!held("#status IN (:p, :f)", Some(&row("X", "1"))));
        assert!(!held(
            "#status IN (:p) AND attribute_not_exists(attempt)",
            Some(&row("P", "1"))
        ));
    }

    #[test]
    fn updates_as_dynamodb_does() {
        let mut now = row("P", "1");
        let write = write("#status = :p");
        let expression = "SET #status = :f, why = if_not_exists(why, :p) REMOVE attempt, gone";
        let updated = update(&write, expression, &mut now);
        assert_eq!(updated, ["status", "why", "attempt", "gone"]);
        let after = Item::from([("status".to_owned(), s("F")), ("why".to_owned(), s("P"))]);
        assert_eq!(now, after);
        update(&write, "SET why = if_not_exists(why, :f)", &mut now);
        assert_eq!(now, after, "the first stays");
    }
}
