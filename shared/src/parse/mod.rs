//! How JSON becomes a value of a type: bounds, sizes, and problems with the path of the field they concern.
//!
//! Nothing here knows what a release is.

pub mod bounds;
pub(crate) mod payload;
pub mod problem;
pub(crate) mod schema;
pub mod size;
pub(crate) mod tagged;

/// Reads types with the request's own reader wherever `serde` meets them: in the state between two states of an
/// execution, and in tests. What lies outside its bounds is refused there too.
macro_rules! carried {
    ($($part:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $part {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let input = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                deserr::deserialize::<_, _, $crate::parse::problem::Problems>(input)
                    .map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use carried;
