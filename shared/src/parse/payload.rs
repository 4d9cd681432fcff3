//! JSON that Crossfade passes on.

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use serde_json::Value;

use super::{bounds::unexpected, problem::Problems};

/// JSON of at most `MOST` bytes that is passed on without being read.
pub(crate) struct Payload<const MOST: usize>(Value);

impl<const MOST: usize> Payload<MOST> {
    pub(crate) fn optional(this: Option<Self>) -> Option<Value> {
        this.map(Value::from)
    }
}

impl<const MOST: usize> From<Payload<MOST>> for Value {
    fn from(payload: Payload<MOST>) -> Self {
        payload.0
    }
}

impl<const MOST: usize> Deserr<Problems> for Payload<MOST> {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        // Goes as deep as the JSON does; `Request::parse` has bounded that.
        let payload = Value::from(value);
        let bytes = super::size::bytes(&payload);
        if bytes > MOST {
            let message = format!("is {bytes} bytes of JSON; at most {MOST} are accepted");
            return Err(unexpected(&message, location));
        }
        Ok(Self(payload))
    }
}
