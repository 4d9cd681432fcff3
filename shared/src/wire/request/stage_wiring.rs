//! What stands before a function and is to call its alias.

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::names::api::{ApiId, StageName};
use crate::domain::names::{AliasName, FunctionName};
use crate::parse::problem::Problems;
use crate::parse::tagged::tagged;

/// What stands before the function, and is made to call its alias where it calls the function itself
/// until now: once, and never again where it does so already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum FrontDoorRequest {
    /// A stage of an API Gateway API, REST or HTTP. Its other stages go on calling `$LATEST`.
    ApiGateway {
        /// The API's id, not its name.
        api_id: ApiId,
        /// The stage that is to call the alias; `$default` is an HTTP API's.
        stage: StageName,
        /// The alias. It is made on what the stage calls now when the function has none of this name.
        alias: AliasName,
        /// The function. When absent, the only one of the release, or else the only one that the stage
        /// calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function_name: Option<FunctionName>,
    },
}

/// The fields of an API Gateway stage.
#[derive(Deserr)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct Fields {
    api_id: ApiId,
    stage: StageName,
    alias: AliasName,
    #[deserr(default)]
    function_name: Option<FunctionName>,
}

impl Deserr<Problems> for FrontDoorRequest {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let (_, fields) = tagged::<Problems, V>(value, "type", &["apiGateway"], location)?;
        let Fields {
            api_id,
            stage,
            alias,
            function_name,
        } = Fields::deserialize_from_value(Input::<V>::Map(fields), location)?;
        Ok(Self::ApiGateway {
            api_id,
            stage,
            alias,
            function_name,
        })
    }
}

impl FrontDoorRequest {
    /// The function, where it is named.
    #[must_use]
    pub fn function_name(&self) -> Option<&FunctionName> {
        let Self::ApiGateway { function_name, .. } = self;
        function_name.as_ref()
    }
}
