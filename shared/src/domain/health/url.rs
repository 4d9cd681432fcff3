//! The URL of a health check, and the hosts that one may have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::address::is_reserved;
use crate::{
    domain::names::{NameError, ensure, name},
    parse::bounds::quoted,
};

/// An HTTPS URL with a host: at most 512 characters, without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^https://[^/?#@\\\\\\s]+([/?][^#\\s]*)?$",
    "maxLength" = 512,
    "examples" = ["https://green.example.com/health"]
))]
pub struct HealthUrl(String);
name!(HealthUrl, check_url);

fn check_url(text: &str) -> Result<(), NameError> {
    let refused = |why: &str| Err(NameError::new(format!("{} {why}", quoted(text))));
    ensure(text.len() <= 512, || {
        "is longer than 512 characters".to_owned()
    })?;
    // A browser would look for the host behind any number of slashes.
    let parsed = Url::parse(text)
        .ok()
        .filter(|_| !text.starts_with("https:///"));
    let Some(url) = parsed else {
        return refused("is not a URL; give one such as \"https://green.example.com/health\"");
    };
    if url.scheme() != "https" || !text.starts_with("https://") {
        return refused("is not an HTTPS URL; give one that begins with \"https://\"");
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return refused("has a user or a password; give the URL without");
    }
    if url.fragment().is_some() {
        return refused("has a fragment, which no server is sent; give the URL without");
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) | None => None,
    };
    if address.is_some_and(is_reserved) {
        return refused(
            "is of an address that no server of yours has: the machine's own, AWS's, or many at once",
        );
    }
    // What a URL may be written as and is not: what is shown is what is asked.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return refused("has a space, a control character or a backslash in it");
    }
    Ok(())
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: Host<String>,
    port: u16,
}

impl Place {
    fn of(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl HealthUrl {
    fn place(&self) -> Option<Place> {
        Place::of(&Url::parse(&self.0).ok()?)
    }

    /// The host, with its port where that is not HTTPS's own.
    #[must_use]
    pub fn host(&self) -> String {
        match self.place() {
            Some(Place { host, port: 443 }) => host.to_string(),
            Some(Place { host, port }) => format!("{host}:{port}"),
            None => String::new(),
        }
    }
}

impl HealthUrl {
    /// Says that the stack does not let a health check ask this URL, and what to do.
    #[must_use]
    pub fn not_allowed(&self) -> String {
        format!(
            "host {} is not allowed; list it in the stack's parameter HealthCheckHosts",
            self.host()
        )
    }
}

/// The hosts that the stack lets health checks ask: its operator's word, against an input's.
///
/// A host stands for itself alone, and for HTTPS's port unless it names another. An address is a host
/// of its own: a name never stands for a private one, and `10.0.0.1` is asked only when it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Place>);

impl AllowedHosts {
    /// Reads a list with commas between. What is no host in it allows nothing.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let places = entries.filter_map(|entry| {
            let text = format!("https://{entry}/");
            check_url(&text).ok()?;
            let url = Url::parse(&text).ok()?;
            let bare = url.path() == "/" && url.query().is_none();
            bare.then(|| Place::of(&url)).flatten()
        });
        Self(places.collect())
    }

    /// Whether a URL's host is listed.
    #[must_use]
    pub fn allows(&self, url: &HealthUrl) -> bool {
        url.place().is_some_and(|place| self.0.contains(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_ambiguous_urls() {
        for right in [
            "https://green.example.com",
            "https://green.example.com/health?deep=1",
            "https://green.example.com:8443/",
            "https://[2600:1f18::1]/health",
        ] {
            assert!(right.parse::<HealthUrl>().is_ok(), "{right}");
        }
        for (wrong, says) in [
            ("http://green.example.com/", "HTTPS"),
            ("file:///etc/passwd", "HTTPS"),
            ("HTTPS://green.example.com/", "HTTPS"),
            ("https:green.example.com", "HTTPS"),
            ("green.example.com/health", "not a URL"),
            ("https://", "not a URL"),
            ("https:///health", "not a URL"),
            ("https:////green.example.com/health", "not a URL"),
            ("https://user@green.example.com/", "user"),
            ("https://green.example.com:x@127.0.0.1/", "user"),
            ("https://green.example.com@127.0.0.1/", "user"),
            ("https://green.example.com/#top", "fragment"),
            ("https://green.example.com\\@127.0.0.1/", "user"),
            ("https://green.example.com\\.evil.com/", "backslash"),
            ("https://green.example.com/a b", "space"),
            // Link-local, however it is written.
            ("https://169.254.169.254/latest/", "address"),
            ("https://2852039166/latest/", "address"),
            ("https://0xa9fea9fe/", "address"),
            ("https://0251.0376.0251.0376/", "address"),
            ("https://169.16689662/", "address"),
            ("https://[::ffff:169.254.169.254]/", "address"),
            ("https://[::ffff:a9fe:a9fe]/", "address"),
            ("https://[64:ff9b::169.254.170.2]/", "address"),
            ("https://[fd00:ec2::254]/", "address"),
            ("https://[fe80::1]/", "address"),
            ("https://\u{ff11}69.254.169.254/", "address"),
            ("https://0/", "address"),
            ("https://[::]/", "address"),
            ("https://255.255.255.255/", "address"),
            ("https://[ff02::1]/", "address"),
        ] {
            let error = wrong.parse::<HealthUrl>().expect_err(wrong).to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
        assert!(
            format!("https://a/{}", "a".repeat(505))
                .parse::<HealthUrl>()
                .is_err()
        );
    }

    #[test]
    fn allows_only_listed_hosts() {
        let hosts = AllowedHosts::parse(
            "green.example.com, 10.0.0.1,[::1]:8443,other.example.com:8443,/x,a@b,",
        );
        let allows = |url: &str| hosts.allows(&url.parse().expect(url));
        for allowed in [
            "https://green.example.com/health",
            "https://GREEN.example.com/health",
            "https://green.example.com:443/",
            "https://10.0.0.1/",
            "https://[::1]:8443/",
            "https://other.example.com:8443/health",
            // What an address may be written as is the address.
            "https://0xa.0.0.1/",
        ] {
            assert!(allows(allowed), "{allowed}");
        }
        for refused in [
            "https://example.com/",
            "https://green.example.com.evil.com/",
            "https://evil.green.example.com/",
            "https://green.example.com:8443/",
            "https://other.example.com/",
            "https://10.0.0.2/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://x/",
            "https://b/",
        ] {
            assert!(!allows(refused), "{refused}");
        }
        assert!(!AllowedHosts::parse("").allows(&"https://green.example.com/".parse().unwrap()));
        assert!(!AllowedHosts::parse("*").allows(&"https://green.example.com/".parse().unwrap()));
    }
}
