//! The approval page, as who has a link to it comes to it.

use crate::{LocalAws, http};

/// A link that people were told, on the local AWS: the name of its host is not known to any DNS.
#[derive(Clone, Debug)]
pub struct Page {
    /// The first label of the function URL's host.
    id: String,
    address: String,
    /// What follows the `?`.
    query: String,
}

/// What the page's server says.
#[derive(Clone, Debug)]
pub struct Said {
    /// HTTP's status.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The page.
    pub text: String,
}

impl Said {
    /// A header; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Page {
    /// The page that `link` leads to.
    ///
    /// # Panics
    /// When it is no link of a function's URL.
    #[must_use]
    pub fn of(local: &LocalAws, link: &str) -> Self {
        let (url, query) = link.split_once('?').unwrap_or((link, ""));
        let host = url
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_suffix('/'));
        let id = host.and_then(|host| host.strip_suffix(".lambda-url.us-east-1.on.aws"));
        Self {
            id: id
                .unwrap_or_else(|| panic!("{link} is no function's URL"))
                .to_owned(),
            address: local.address(),
            query: query.to_owned(),
        }
    }

    /// The same page with another query.
    #[must_use]
    pub fn with(&self, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..self.clone()
        }
    }

    /// A field of the link.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let fields = self
            .query
            .split('&')
            .filter_map(|field| field.split_once('='));
        fields
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default()
    }

    /// The link as a browser on this machine can open it: every name under `localhost` is loopback.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        format!(
            "http://{}.lambda-url.us-east-1.localhost:{port}/?{}",
            self.id, self.query
        )
    }

    /// Asks for it in some way.
    pub async fn ask(&self, method: &str) -> Said {
        self.send(method, &format!("/?{}", self.query), "").await
    }

    /// Sends the form.
    pub async fn post(&self, decision: &str, by: &str, reason: &str) -> Said {
        let form = url::form_urlencoded::Serializer::new(self.query.clone())
            .append_pair("decision", decision)
            .append_pair("by", by)
            .append_pair("reason", reason)
            .finish();
        self.send("POST", "/", &form).await
    }

    /// Sends any text as a form.
    pub async fn send(&self, method: &str, path: &str, form: &str) -> Said {
        let host = format!("{}.lambda-url.us-east-1.on.aws", self.id);
        let kind = "application/x-www-form-urlencoded";
        let headers = [("host", host.as_str()), ("content-type", kind)];
        let answer = http::send(&self.address, method, path, &headers, form.as_bytes());
        let answer = answer.await.expect("the local AWS answers");
        Said {
            status: answer.status,
            headers: answer.headers,
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }
}
