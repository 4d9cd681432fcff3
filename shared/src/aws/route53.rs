//! Route 53: weighted records, listed and written back with other weights.

use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet, RrType,
};

use super::{classify::classify, traffic::Clients};
use crate::{
    domain::names::resources::{HostedZoneId, RecordName, RecordType},
    error::Error,
    ports::{Record, RecordApi},
};

/// All weighted records of one name and type fit into one page: there are 100 at the most.
const PAGE: i32 = 100;

impl RecordApi for Clients {
    type Set = ResourceRecordSet;

    /// The list is positioned at these, and goes on after them.
    async fn records(
        &self,
        zone: &HostedZoneId,
        name: &RecordName,
        kind: RecordType,
    ) -> Result<Vec<Record<ResourceRecordSet>>, Error> {
        let word: &str = kind.into();
        let kind = RrType::from(word);
        let page = self
            .route53()
            .list_resource_record_sets()
            .hosted_zone_id(zone.as_ref())
            .start_record_name(name.as_ref())
            .start_record_type(kind.clone())
            .max_items(PAGE)
            .send()
            .await
            .map_err(|error| classify("ListResourceRecordSets", &error))?;
        let these = |set: &ResourceRecordSet| name.is(&set.name) && set.r#type == kind;
        let sets = page.resource_record_sets.into_iter().filter(these);
        Ok(sets.map(record).collect())
    }

    /// An `UPSERT` replaces the whole record set.
    async fn change_records(
        &self,
        zone: &HostedZoneId,
        changes: Vec<(ResourceRecordSet, u32)>,
        comment: &str,
    ) -> Result<Option<String>, Error> {
        let changes = changes.into_iter().map(|(mut set, weight)| {
            set.weight = Some(i64::from(weight));
            Change::builder()
                .action(ChangeAction::Upsert)
                .resource_record_set(set)
                .build()
                .expect("action and set are given")
        });
        let batch = ChangeBatch::builder()
            .comment(comment)
            .set_changes(Some(changes.collect()))
            .build()
            .expect("changes are given");
        let done = self
            .route53()
            .change_resource_record_sets()
            .hosted_zone_id(zone.as_ref())
            .change_batch(batch)
            .send()
            .await
            .map_err(|error| classify("ChangeResourceRecordSets", &error))?;
        Ok(done
            .change_info
            .map(|change| change.id.trim_start_matches("/change/").to_owned()))
    }

    async fn in_sync(&self, change_id: &str) -> Result<bool, Error> {
        let now = self
            .route53()
            .get_change()
            .id(change_id)
            .send()
            .await
            .map_err(|error| classify("GetChange", &error))?;
        Ok(now
            .change_info
            .is_some_and(|change| change.status == ChangeStatus::Insync))
    }
}

fn record(set: ResourceRecordSet) -> Record<ResourceRecordSet> {
    Record {
        identifier: set.set_identifier.clone(),
        weight: set
            .weight
            .map(|weight| u32::try_from(weight).unwrap_or_default()),
        ttl_seconds: set.ttl.and_then(|ttl| u32::try_from(ttl).ok()),
        set,
    }
}
