//! A name with two weighted records, blue's and green's, each before a load balancer of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_sdk_route53::{
    Client,
    types::{
        AliasTarget, Change, ChangeAction, ChangeBatch, HealthCheckConfig, HealthCheckType,
        ResourceRecordSet, RrType,
    },
};
use serde_json::{Value, json};

use crate::{
    Alb, LocalAws, Target, Traffic,
    alb::{Made, met},
    local::Control,
    traffic::Met,
};

/// The zone of the names of all load balancers in us-east-1.
const LOAD_BALANCERS: &str = "Z35SXDOTRQ7X7K";
/// How many zones there are before the stack is deployed, which is told of them. When all are taken,
/// names share them.
const ZONES: usize = 40;
/// How many resolvers users ask, one after the other. Each remembers what it was told.
const RESOLVERS: usize = 50;

/// Two weighted alias records of one name. They begin with 100 for `blue` and 0 for `green`.
#[derive(Clone, Debug)]
pub struct Dns {
    /// The hosted zone's id, without `/hostedzone/`.
    pub zone: String,
    /// The records' name, without a dot at its end.
    pub name: String,
    /// What `blue` points to: a load balancer whose listener sends all to its blue group.
    pub blue: Alb,
    /// What `green` points to.
    pub green: Alb,
    client: Client,
    control: Control,
}

/// Makes the zones that a stack may be told of. Returns their ARNs.
pub(crate) async fn make_zones(local: &LocalAws) -> Vec<String> {
    let client = Client::new(&local.config());
    let mut arns = Vec::new();
    for nth in 0..ZONES {
        let zone = zone(&client, nth).await;
        arns.push(format!("arn:aws:route53:::hostedzone/{zone}"));
    }
    arns
}

/// The id of a zone, which is made when it is not there yet.
async fn zone(client: &Client, nth: usize) -> String {
    let made = client
        .create_hosted_zone()
        .name(format!("{}.test", called(nth)))
        // The same reference is the same zone.
        .caller_reference(called(nth))
        .send()
        .await
        .expect("a zone can be made");
    let zone = made.hosted_zone.expect("it is told");
    zone.id.trim_start_matches("/hostedzone/").to_owned()
}

fn called(nth: usize) -> String {
    format!("zone-{}", nth % ZONES)
}

impl Dns {
    /// Makes two records in a zone. Their load balancers' groups are empty.
    pub async fn create(local: &LocalAws, name: &str) -> Self {
        let client = Client::new(&local.config());
        let nth = local.next_zone();
        let made = || Made {
            by_default: true,
            ..Made::default()
        };
        let blue = Alb::create(local, &format!("{name}-b"), made()).await;
        let green = Alb::create(local, &format!("{name}-g"), made()).await;
        let dns = Self {
            zone: zone(&client, nth).await,
            name: format!("{name}.{}.test", called(nth)),
            blue,
            green,
            client,
            control: local.control(),
        };
        let records = [
            dns.record("blue", 100, &dns.blue),
            dns.record("green", 0, &dns.green),
        ];
        dns.upsert(records.into()).await;
        dns
    }

    fn record(&self, colour: &str, weight: i64, to: &Alb) -> ResourceRecordSet {
        let alias = AliasTarget::builder()
            .hosted_zone_id(LOAD_BALANCERS)
            .dns_name(format!("dualstack.{}", to.host))
            .evaluate_target_health(false)
            .build()
            .expect("all is said");
        ResourceRecordSet::builder()
            .name(&self.name)
            .r#type(RrType::A)
            .set_identifier(colour)
            .weight(weight)
            .alias_target(alias)
            .build()
            .expect("all is said")
    }

    /// Has the record sets written, and waits until they are in sync.
    pub async fn upsert(&self, records: Vec<ResourceRecordSet>) {
        let changes = records.into_iter().map(|record| {
            Change::builder()
                .action(ChangeAction::Upsert)
                .resource_record_set(record)
                .build()
                .expect("all is said")
        });
        let batch = ChangeBatch::builder()
            .set_changes(Some(changes.collect()))
            .build()
            .expect("all is said");
        let change = self
            .client
            .change_resource_record_sets()
            .hosted_zone_id(&self.zone)
            .change_batch(batch)
            .send()
            .await
            .expect("the records can be changed")
            .change_info
            .expect("it is told");
        while !self.in_sync(&change.id).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Whether a change has reached all name servers.
    pub async fn in_sync(&self, change: &str) -> bool {
        let told = self.client.get_change().id(change).send().await;
        let info = told.expect("the change is known").change_info;
        info.is_some_and(|info| info.status.as_str() == "INSYNC")
    }

    /// The two record sets, blue's first, as Route 53 lists them.
    pub async fn records(&self) -> Vec<ResourceRecordSet> {
        let listed = self.client.list_resource_record_sets();
        let listed = listed.hosted_zone_id(&self.zone);
        let listed = listed.start_record_name(&self.name).send().await;
        let listed = listed.expect("the zone is there").resource_record_sets;
        let name = format!("{}.", self.name);
        listed
            .into_iter()
            .filter(|record| record.name == name)
            .collect()
    }

    /// The weights of blue and green, which may not be in sync yet.
    pub async fn weights(&self) -> (i64, i64) {
        let records = self.records().await;
        let of = |colour: &str| {
            let record = records
                .iter()
                .find(|record| record.set_identifier.as_deref() == Some(colour));
            record.and_then(|record| record.weight).unwrap_or_default()
        };
        (of("blue"), of("green"))
    }

    /// Changes the weights, as somebody outside Crossfade does, and waits until they are in sync.
    pub async fn move_weights(&self, blue: i64, green: i64) {
        let mut records = self.records().await;
        for record in &mut records {
            let is_blue = record.set_identifier.as_deref() == Some("blue");
            record.weight = Some(if is_blue { blue } else { green });
        }
        self.upsert(records).await;
    }

    /// Has a colour's load balancer send its requests to a version or an alias.
    pub async fn send_to(&self, colour: &str, target: &Target, qualifier: &str) {
        let alb = if colour == "blue" {
            &self.blue
        } else {
            &self.green
        };
        alb.send_to(&alb.blue, target, qualifier).await;
    }

    /// Makes a health check, which is healthy until it is told otherwise. Returns its id.
    pub async fn health_check(&self, reference: &str) -> String {
        let config = HealthCheckConfig::builder()
            .r#type(HealthCheckType::Https)
            .fully_qualified_domain_name(&self.name)
            .resource_path("/health")
            .build()
            .expect("all is said");
        let made = self.client.create_health_check();
        let made = made.caller_reference(reference).health_check_config(config);
        let made = made.send().await.expect("a health check can be made");
        made.health_check.expect("it is told").id
    }

    /// What a health check finds from now on: `healthy` or `unhealthy`.
    pub async fn health(&self, check: &str, status: &str) {
        let health = json!({"healthCheckId": check, "status": status});
        self.control.post("dns/health", &health).await;
    }

    /// Takes the two records and their load balancers away. The zone stays: others may be in it, and the
    /// next one that is made there finds it.
    pub async fn delete(&self) {
        let gone = self.records().await.into_iter().map(|record| {
            Change::builder()
                .action(ChangeAction::Delete)
                .resource_record_set(record)
                .build()
                .expect("all is said")
        });
        let batch = ChangeBatch::builder()
            .set_changes(Some(gone.collect()))
            .build()
            .expect("all is said");
        let change = self.client.change_resource_record_sets();
        let change = change.hosted_zone_id(&self.zone).change_batch(batch);
        change.send().await.expect("the records can be deleted");
        self.blue.delete().await;
        self.green.delete().await;
    }

    /// What the name servers answer: `blue`, `green`, or nothing.
    pub async fn resolve(&self) -> Option<String> {
        let query = json!({"name": self.name});
        let told = self.control.post("dns/resolve", &query).await;
        told["setIdentifier"].as_str().map(str::to_owned)
    }

    /// One request, resolved anew.
    pub async fn request(&self) -> Met {
        met(&ask(&self.control, &self.name, None).await)
    }

    /// Users behind many resolvers, which remember for a minute (shorter by the scale of waits).
    /// They send so many requests a second.
    #[must_use]
    pub fn users(&self, per_second: f64) -> Traffic {
        let (control, name) = (self.control.clone(), self.name.clone());
        let nth = Arc::new(AtomicUsize::new(0));
        Traffic::through(per_second, move || {
            let (control, name) = (control.clone(), name.clone());
            let resolver = nth.fetch_add(1, Ordering::Relaxed) % RESOLVERS;
            async move { met(&ask(&control, &name, Some(resolver)).await) }
        })
    }

    /// A client whose resolver knows where a colour's record pointed before the release, and asks nobody
    /// again: it sends its requests to that colour's load balancer whatever the weights become.
    #[must_use]
    pub fn stale_client(&self, colour: &str, per_second: f64) -> Traffic {
        let alb = if colour == "blue" {
            &self.blue
        } else {
            &self.green
        };
        alb.users(per_second)
    }

    /// Route 53's client, for what this does not do.
    #[must_use]
    pub fn route53(&self) -> &Client {
        &self.client
    }
}

async fn ask(control: &Control, name: &str, resolver: Option<usize>) -> Value {
    let resolver = resolver.map(|nth| format!("{name}/{nth}"));
    let request = json!({"name": name, "path": "/", "resolver": resolver});
    control.post("dns/request", &request).await
}
