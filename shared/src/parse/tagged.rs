//! Enums whose variant one field selects.

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, Map as _, Value, ValuePointerRef,
    take_cf_content,
};

/// Takes the field `tag` out of an object: which of `accepted` it is, and the other fields.
pub(crate) fn tagged<'a, E: DeserializeError, V: IntoValue>(
    value: Value<V>,
    tag: &'static str,
    accepted: &[&'a str],
    location: ValuePointerRef,
) -> Result<(&'a str, V::Map), E> {
    let error = |kind: ErrorKind<V>, location| take_cf_content(E::error::<V>(None, kind, location));
    let Value::Map(mut fields) = value else {
        let accepted = &[deserr::ValueKind::Map];
        return Err(error(
            ErrorKind::IncorrectValueKind {
                actual: value,
                accepted,
            },
            location,
        ));
    };
    let Some(found) = fields.remove(tag) else {
        return Err(error(ErrorKind::MissingField { field: tag }, location));
    };
    let location = location.push_key(tag);
    let found = String::deserialize_from_value(found.into_value(), location)?;
    match accepted.iter().find(|one| **one == found) {
        Some(one) => Ok((one, fields)),
        None => Err(error(
            ErrorKind::UnknownValue {
                value: &found,
                accepted,
            },
            location,
        )),
    }
}
