//! Who releases outside of the stack's windows, and why.

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::names::{NameError, ensure_length};
use crate::parse::bounds::text;
use crate::parse::problem::Problems;

crate::parse::carried!(OverrideFreeze);

/// Who releases outside of the windows of the stack's parameter `ReleaseWindows`, and why. It is recorded
/// and published; inside of the windows it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
pub struct OverrideFreeze {
    /// An operator's name: 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    #[deserr(from(Words<100>) = Words::into_text)]
    pub by: String,
    /// Why it cannot wait: 1 to 1000 characters.
    #[schemars(length(min = 1, max = 1000))]
    #[deserr(from(Words<1000>) = Words::into_text)]
    pub reason: String,
}

/// an operator's text: text of 1 to `MOST` characters.
struct Words<const MOST: usize>(String);

impl<const MOST: usize> Words<MOST> {
    fn into_text(this: Self) -> String {
        this.0
    }
}

impl<const MOST: usize> Deserr<Problems> for Words<MOST> {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        text(value, location, |words| -> Result<_, NameError> {
            ensure_length(&words, MOST)?;
            Ok(Self(words))
        })
    }
}
