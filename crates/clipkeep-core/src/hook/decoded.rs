//! What a provider's word comes to, and why it may be refused.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    generation::HookRecord,
    hook::{
        Form, Unread,
        json::JsonError,
        payload::{Inline, Media, Note},
    },
    id::IdError,
    state::GenerationStatus,
};

/// Why a webhook's body was refused. Nothing of the body is repeated.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, however leniently it is read. 400.
    #[error("the body is not valid JSON")]
    NotJson(#[source] JsonError),
    /// JSON, but no object. 400.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that matters is there twice and says different things: readers
    /// would differ on which counts. 400.
    #[error("the body's field {0} is there more than once")]
    RepeatedField(&'static str),
    /// A field that matters is absent or of another type. 400.
    #[error("the body's field {0} is missing or of the wrong type")]
    BadField(&'static str),
    /// A field tells what cannot be. 400.
    #[error("the body's field {name} {problem}")]
    BadFact {
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// `status`, or what stands for it, is none that the provider has. 400.
    #[error("the body's {field} is none of: {known}")]
    UnknownStatus {
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

impl DecodeError {
    /// Whether it is about how the body is written, and not about whom it is of.
    pub(super) const fn is_of_form(&self) -> bool {
        !matches!(self, Self::BadRequestId(_) | Self::OtherRequest | Self::OtherProvider)
    }
}

/// A provider's word, ready to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What is to be recorded.
    pub record: HookRecord,
    /// The bytes of those of its clips that came as data. They must be in the
    /// store before the record is committed: they are nowhere else.
    pub inlines: Vec<Inline>,
    /// Files that became no clip, and why; for the generation's log.
    pub notes: Vec<Note>,
}

impl Decoded {
    /// A record with the media of its result, which stood in `body`. A completed
    /// one of which not all is understood is not completed; a failed one stays so,
    /// and says what else was there.
    pub(super) fn new(mut record: HookRecord, media: Media, form: Form, body: &Bytes) -> Self {
        let Media { clips, inlines, notes, unread, .. } = media;
        record.clips = clips;
        match (record.status, unread) {
            (GenerationStatus::Completed, Some(why)) => {
                record.status = GenerationStatus::Unreadable;
                record.error = Some(why.clone());
                record.unread = Some(Arc::new(Unread::new(why, form, body)));
            }
            (GenerationStatus::Failed, Some(why)) => {
                let error = record.error.take().unwrap_or_default();
                record.error = Some(format!("{error}; of what came beside it, {why}"));
            }
            _ => {}
        }
        Self { record, inlines, notes }
    }
}
