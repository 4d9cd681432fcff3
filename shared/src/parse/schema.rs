//! The JSON Schemas that programs get.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

/// What a point in time looks like.
const TIMESTAMP: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";

/// Returns a type's schema, as common validators compile it with their default options.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(plain));
    let schema = settings.into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

/// Joins sentences where only the source breaks them. Replaces `format`: validators refuse those that
/// only Rust knows, and some know none by default.
fn plain(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if schema.remove("format") == Some(json!("date-time")) {
        schema.insert("pattern".to_owned(), json!(TIMESTAMP));
    }
}
