//! Health checks: asking URLs, and asking Route 53 what its checkers found.
//!
//! A URL comes from an input, so what may be asked is the stack's to say: its host must be listed, and
//! unless that is an address itself, only public addresses are connected to. The address that is
//! checked is the one that is connected to: the check is in the resolver. Nothing is followed, and
//! nothing of the answer is read but its status.

use std::{env, net::IpAddr, sync::OnceLock, time::Duration};

use aws_config::{Region, SdkConfig};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::HttpConnector,
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, error::display::DisplayErrorContext};

use super::classify::{classify, is};
use crate::domain::health::{
    AllowedHosts, HealthCheck, HealthCheckId, HealthUrl, Sample, is_public, of_checkers,
};

/// How long a URL may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks health checks.
#[derive(Debug)]
pub struct HealthChecks {
    config: SdkConfig,
    hosts: AllowedHosts,
    connector: OnceLock<Connector>,
    route53: OnceLock<aws_sdk_route53::Client>,
}

impl HealthChecks {
    /// With clients on `config`, made when they are needed. URLs may be asked of the hosts in the
    /// environment's `HEALTH_CHECK_HOSTS`, of none without it.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            hosts: allowed_hosts(),
            connector: OnceLock::new(),
            route53: OnceLock::new(),
        }
    }

    /// Asks a health check once. Always answers: that AWS or the network did not is an answer too.
    pub async fn ask(&self, check: &HealthCheck) -> Sample {
        match check {
            HealthCheck::Route53 {
                route53_health_check_id,
                ..
            } => self.ask_route53(route53_health_check_id).await,
            HealthCheck::Url {
                url,
                expected_status,
                ..
            } => self.ask_url(url, *expected_status).await,
        }
    }

    async fn ask_route53(&self, id: &HealthCheckId) -> Sample {
        // The service is global, and is there.
        let client = self.route53.get_or_init(|| {
            let config = aws_sdk_route53::config::Builder::from(&self.config)
                .region(Region::from_static("us-east-1"));
            aws_sdk_route53::Client::from_conf(config.build())
        });
        let status = client.get_health_check_status();
        match status.health_check_id(id.as_ref()).send().await {
            Ok(told) => {
                let said: Vec<String> = told
                    .health_check_observations
                    .into_iter()
                    .filter_map(|observation| observation.status_report?.status)
                    .collect();
                of_checkers(&said)
            }
            Err(error) if is(&error, "NoSuchHealthCheck") => {
                Sample::Unknown("there is no such health check".into())
            }
            Err(error) => Sample::Unknown(classify("GetHealthCheckStatus", &error).to_string()),
        }
    }

    async fn ask_url(&self, url: &HealthUrl, expected: u32) -> Sample {
        if !self.hosts.allows(url) {
            return Sample::Unknown(url.not_allowed());
        }
        let connector = self.connector.get_or_init(connector);
        let mut request = HttpRequest::new(SdkBody::empty());
        if let Err(error) = request.set_uri(url.as_ref()) {
            return Sample::Unknown(format!("it cannot be asked: {error}"));
        }
        request
            .headers_mut()
            .insert("user-agent", "crossfade-health-check");
        match tokio::time::timeout(ANSWER, connector.call(request)).await {
            Err(_) => Sample::Failed(format!("no answer within {} s", ANSWER.as_secs())),
            Ok(Err(error)) => Sample::Failed(format!("no answer: {}", DisplayErrorContext(error))),
            Ok(Ok(answer)) => match u32::from(answer.status().as_u16()) {
                status if status == expected => Sample::Passed,
                status => Sample::Failed(format!("status {status} instead of {expected}")),
            },
        }
    }
}

fn allowed_hosts() -> AllowedHosts {
    AllowedHosts::parse(&env::var("HEALTH_CHECK_HOSTS").unwrap_or_default())
}

/// The TLS stack of the SDK's clients, with the system's roots. A connection serves one request: one
/// that is kept would have died when the function was frozen, and would look like a failure.
fn connector() -> Connector {
    Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .proxy_config(ProxyConfig::disabled())
        .pool_max_idle_per_host(0)
        .build_with_resolver(PublicOnly)
}

/// The system's resolver, which knows only public addresses.
#[derive(Clone, Debug)]
struct PublicOnly;

impl ResolveDns for PublicOnly {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 443))
                .await
                .map_err(ResolveDnsError::new)?;
            let (public, others): (Vec<IpAddr>, Vec<IpAddr>) = found
                .map(|address| address.ip())
                .partition(|ip| is_public(*ip));
            if public.is_empty() {
                return Err(ResolveDnsError::new(format!(
                    "{name} has no public address, only {others:?}"
                )));
            }
            Ok(public)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::analysis::Analysis;

    #[tokio::test]
    async fn refuses_names_that_resolve_to_private_addresses() {
        let refused = PublicOnly.resolve_dns("localhost").await.unwrap_err();
        let refused = DisplayErrorContext(refused).to_string();
        assert!(refused.contains("no public address"), "{refused}");
        // As the system's resolver reads it, this is an address too.
        assert!(PublicOnly.resolve_dns("0x7f.1").await.is_err());
    }

    #[tokio::test]
    async fn refuses_hosts_not_listed() {
        let analysis: Analysis = serde_json::from_value(json!({"healthChecks": [
            {"route53HealthCheckId": "abc"},
            {"url": "https://10.0.0.1/latest/meta-data"},
        ]}))
        .unwrap();
        let checks = HealthChecks::new(&SdkConfig::builder().build());
        let sample = checks.ask(&analysis.health_checks[1]).await;
        assert!(matches!(sample, Sample::Unknown(why) if why.contains("not allowed")));
        assert!(
            checks.connector.get().is_none(),
            "nothing was even made to ask with"
        );
    }
}
