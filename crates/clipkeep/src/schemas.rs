//! How the core's words stand in the OpenAPI document: each as a list of its
//! values, so that generated clients know them.

use std::borrow::Cow;

use clipkeep_core::{generation, link, policy, state};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = $of:ty;)+) => {
        $($(#[doc = $doc])+
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let values = <$of>::ALL.iter().map(|word| word.as_str());
                let doc = concat!($($doc),+).trim();
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).description(Some(doc)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        })+
    };
}

words! {
    /// Where a clip stands.
    ClipState = state::ClipState;
    /// Where a generation stands at its provider.
    GenerationStatus = state::GenerationStatus;
    /// What triggers the fill of a clip.
    Policy = policy::Policy;
    /// What sort of media a clip is.
    Kind = generation::Kind;
    /// For whom a link is.
    Audience = link::Audience;
}
