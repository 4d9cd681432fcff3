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
