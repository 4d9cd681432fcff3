//! What links to read-only pages are signed with: a row of its own, written once.

use super::{
    Ledger,
    attributes::{ONE, key, required, s},
};
use crate::{
    domain::page_link::PageKey,
    error::Error,
    ports::{Applied, Item, LedgerStore, RowWrite},
};

const PAGE_KEY: &str = "PAGEKEY";

impl<S: LedgerStore> Ledger<S> {
    /// Returns the stack's key; `None` where no release has made one yet.
    pub async fn page_key(&self) -> Result<Option<PageKey>, Error> {
        let row = self.store.row(&key(PAGE_KEY, ONE)).await?;
        row.as_ref().map(parsed).transpose()
    }

    /// Returns the stack's key, which is `fresh` where there was none. Of several writers the first one counts.
    pub async fn page_key_or(&self, fresh: PageKey) -> Result<PageKey, Error> {
        if let Some(known) = self.page_key().await? {
            return Ok(known);
        }
        let row = RowWrite::put(key(PAGE_KEY, ONE))
            .item("key", s(&fresh.shown()))
            .condition("attribute_not_exists(pk)");
        match self.store.write("making the key of pages", row).await? {
            Applied::Done(_) => Ok(fresh),
            Applied::Refused(Some(row)) => parsed(&row),
            Applied::Refused(None) => Err(Error::Transient(
                "another has made the key of pages at this moment; try again".into(),
            )),
        }
    }
}

fn parsed(row: &Item) -> Result<PageKey, Error> {
    PageKey::parse(&required(row, "key")?)
        .ok_or_else(|| Error::Refused("a row of the ledger has no readable key".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Actor, Rules, World, drive};

    fn key_of(byte: u8) -> PageKey {
        PageKey::from_random([byte; 32])
    }

    #[test]
    fn keeps_the_key_of_the_first_of_two_writers() {
        let mut world = World::default();
        let writer = |byte: u8| {
            Actor::new(
                move |client| async move { Ledger::on(client).page_key_or(key_of(byte)).await },
            )
        };
        let mut writers = [writer(1), writer(2)];
        // Both find none; then both write.
        for _ in 0..2 {
            for writer in &mut writers {
                let (nth, call) = writer.pending().remove(0);
                let reply = world.apply(&call, &Rules::default());
                writer.answer(nth, reply);
            }
        }
        let found = writers.map(|writer| writer.into_done().expect("it is two calls"));
        assert_eq!(found, [Ok(key_of(1)), Ok(key_of(1))]);
        let (later, calls) = drive(&mut world, |client| async move {
            Ledger::on(client).page_key_or(key_of(3)).await
        });
        assert_eq!(
            (later, calls.len()),
            (Ok(key_of(1)), 1),
            "it is read, and not written"
        );
    }

    #[test]
    fn has_no_key_before_a_release_has_made_one() {
        let (found, _) = drive(&mut World::default(), |client| async move {
            Ledger::on(client).page_key().await
        });
        assert_eq!(found, Ok(None));
    }
}
