//! Blue's side before weights move to it: read, and corrected.

use futures::future::join_all;

use super::Weighted;
use crate::{
    domain::{
        moved::Serves, restore_point::RestorePoint, side::Side, target::Target, traffic::Colour,
    },
    error::Error,
};

/// What became of putting blue's side right.
pub(super) enum Correction {
    /// It held blue.
    Already,
    /// It was written to, and has to be read again. A sentence for each place.
    Written(Vec<String>),
}

/// Registers the version recorded as blue where blue's side does not hold it.
///
/// # Errors
/// All but [`Error::Transient`] mean that blue cannot be restored.
pub(super) async fn correct_blue_side<W: Weighted>(
    splitter: &W,
    of: &RestorePoint,
    sides: &Result<Vec<Side>, Error>,
) -> Result<Correction, Error> {
    let sides = sides.as_ref().map_err(Clone::clone)?;
    if of.functions.is_empty() {
        return match sides.iter().find(|side| side.holds.is_empty()) {
            None => Ok(Correction::Already),
            Some(side) => Err(Error::ChangedOutside(
                format!("{} has no registered targets", side.place).into(),
            )),
        };
    }
    let wrong = of.functions.iter().zip(sides).filter_map(|(target, side)| {
        let blue = target.blue_version.as_ref()?;
        (side.version.as_ref() != Some(blue)).then_some((target, side, blue))
    });
    let each = wrong.map(|(target, side, blue)| async move {
        let found = format!(
            "{} held {} instead of version {blue} of {}",
            side.place,
            side.shown(),
            target.function_name
        );
        let content = [splitter.id(target, blue)];
        match splitter.put(Colour::Blue, target, side, &content).await {
            Ok(()) => Ok(format!(
                "{found}, the version recorded as blue; it was restored"
            )),
            Err(error @ Error::Transient(_)) => Err(error),
            Err(error) => Err(Error::ChangedOutside(
                format!("{found}, which could not be restored: {error}").into(),
            )),
        }
    });
    let mut written = Vec::new();
    for done in join_all(each).await {
        written.push(done?);
    }
    if written.is_empty() {
        return Ok(Correction::Already);
    }
    for what in &written {
        tracing::warn!(event = "blue_side_restored", what, "Restored blue's side.");
    }
    Ok(Correction::Written(written))
}

/// What serves when all traffic is on a colour whose sides were read.
pub(super) fn serving<W: Weighted>(
    splitter: &W,
    colour: Colour,
    targets: &[Target],
    sides: &[Side],
) -> Serves {
    let versions = targets
        .iter()
        .zip(sides)
        .filter_map(|(target, side)| Some((target.function_name.clone(), side.version.clone()?)));
    Serves {
        versions: versions.collect(),
        by: vec![splitter.named(colour)],
    }
}
