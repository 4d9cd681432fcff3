//! Whether the traffic of a release is on blue, as its aliases say at this moment.

use crossfade::{
    aws::aliases::Aliases,
    domain::{record::Record, traffic::Splitter},
};
use futures::future::join_all;

use crate::stack::Aws;

/// Returns whether every alias of the release is on blue alone. None where that is not known: an alias cannot be read, it
/// had no version before, or something else splits the traffic.
pub(crate) async fn is_on_blue(aws: &Aws, record: &Record) -> Option<bool> {
    let footprint = record.footprint.as_ref()?;
    if footprint.traffic != Splitter::Alias {
        return None;
    }
    let aliases = Aliases::new(aws.config());
    let each = footprint.functions.iter().map(|target| {
        let aliases = &aliases;
        async move {
            let (alias, blue) = (target.alias.as_ref()?, target.blue_version.as_ref()?);
            let all = aliases.all(&target.function_name).await.ok()?;
            let (_, seen) = all.into_iter().find(|(name, _)| name == alias.as_ref())?;
            Some(seen.is_on(blue) && !seen.is_split())
        }
    });
    let all: Option<Vec<_>> = join_all(each).await.into_iter().collect();
    all.map(|all| all.into_iter().all(|is_on_blue| is_on_blue))
}
