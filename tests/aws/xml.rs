//! The little that has to be read of XML answers: elements by name, without attributes.

/// An answer, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Xml(String);

impl Xml {
    /// Takes the text of an answer.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The parts that are elements of this name. One within another of the same name is not seen.
    pub(crate) fn parts(&self, name: &str) -> Vec<Self> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let after = self.0.split(&open).skip(1);
        let inner = after.filter_map(|rest| rest.split_once(&close));
        inner.map(|(inner, _)| Self(inner.to_owned())).collect()
    }

    /// The texts of all elements of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let parts = self.parts(name).into_iter();
        parts.map(|part| unescaped(part.0.trim())).collect()
    }

    /// The text of the first element of this name.
    pub(crate) fn first(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The values that stand beside a key: tags, outputs.
    pub(crate) fn beside(&self, element: &str, key: (&str, &str), value: &str) -> Option<String> {
        let parts = self.parts(element).into_iter();
        let mut found = parts.filter(|part| part.first(key.0).as_deref() == Some(key.1));
        found.find_map(|part| part.first(value))
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_elements_by_name() {
        let xml = Xml::new(
            "<R>\n <Tags>\n  <member><Value>a&amp;b</Value>\n<Key>x</Key></member>\
             <member><Key>y</Key><Value>c</Value></member></Tags><Next>1</Next></R>",
        );
        assert_eq!(xml.all("Value"), ["a&b", "c"]);
        assert_eq!(xml.first("Next").as_deref(), Some("1"));
        assert_eq!(xml.first("None"), None);
        let beside = |key| xml.beside("member", ("Key", key), "Value");
        assert_eq!(beside("x").as_deref(), Some("a&b"));
        assert_eq!(beside("y").as_deref(), Some("c"));
        assert_eq!(beside("z"), None);
    }
}
