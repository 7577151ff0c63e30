//! What a provider's word comes to, and why it may be refused.

use crate::{generation::HookRecord, hook::payload::Note, id::IdError};

/// Why a webhook's body was refused. Nothing of the body is repeated.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON in UTF-8, or nested too deeply. 400.
    #[error("the body is not valid JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no object. 400.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that matters is there twice, and readers would differ on which counts. 400.
    #[error("the body's field {0} is there more than once")]
    RepeatedField(&'static str),
    /// A field that matters is absent or of another type. 400.
    #[error("the body's field {0} is missing or of the wrong type")]
    BadField(&'static str),
    /// A field tells what cannot be. 400.
    #[error("the body's field {name} {problem}")]
    BadFact {
        /// Which field.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// `status`, or what stands for it, is none that the provider has. 400.
    #[error("the body's {field} is none of: {known}")]
    UnknownStatus {
        /// Which field.
        field: &'static str,
        /// What it may say.
        known: &'static str,
    },
    /// The request id cannot become a clip's key. 400.
    #[error(transparent)]
    BadRequestId(#[from] IdError),
    /// The body speaks of another request than the signed header, or than was
    /// asked for. 400.
    #[error("the body speaks of another request")]
    OtherRequest,
    /// The key that signed it does not speak for that provider. 400.
    #[error("the key that signed it does not speak for the body's data.provider")]
    OtherProvider,
}

/// A provider's word, ready to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What is to be recorded.
    pub record: HookRecord,
    /// Files that became no clip, and why; for the generation's log.
    pub notes: Vec<Note>,
}
