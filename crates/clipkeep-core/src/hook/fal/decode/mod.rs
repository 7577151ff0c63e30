//! What a fal webhook says. Read only after it was verified.

mod fetched;

pub use fetched::fetched;

use crate::{
    generation::{Bringer, HookRecord},
    hook::{
        HookQuery,
        json::Node,
        payload::{self, Media, Note},
        redact::redact,
    },
    id::{IdError, Provider, RequestId},
    state::GenerationStatus,
    time::Timestamp,
};

/// Why a webhook's body was refused. Nothing of the body is repeated.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON in UTF-8, or nested too deeply. 422.
    #[error("the body is not valid JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no object. 422.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that matters is there twice, and readers would differ on which counts. 422.
    #[error("the body's field {0} is there more than once")]
    RepeatedField(&'static str),
    /// A field that matters is absent or of another type. 422.
    #[error("the body's field {0} is missing or of the wrong type")]
    BadField(&'static str),
    /// `status` is neither `OK` nor `ERROR`. 422.
    #[error("the body's status is neither OK nor ERROR")]
    UnknownStatus,
    /// The request id cannot become a clip's key. 422.
    #[error(transparent)]
    BadRequestId(#[from] IdError),
    /// The body speaks of another request than the signed header. 422.
    #[error("the body's request_id is not that of the webhook's headers")]
    OtherRequest,
}

/// A webhook's content, ready to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What is to be recorded.
    pub record: HookRecord,
    /// Files that became no clip, and why; for the generation's log.
    pub notes: Vec<Note>,
}

/// Reads a verified body: fal's own form, or the plain `{request_id, result}`.
///
/// `signed_id` is the request id of the webhook's headers; the body must name
/// the same. Fields it does not know are ignored.
pub fn decode(
    body: &[u8],
    signed_id: Option<&str>,
    query: &HookQuery,
    received_at: Timestamp,
) -> Result<Decoded, DecodeError> {
    let fields = Fields::read(body)?;
    if signed_id.is_some_and(|id| id != fields.request_id.as_str()) {
        return Err(DecodeError::OtherRequest);
    }
    let (status, error) = fields.outcome()?;
    let Media { clips, seed, notes } = match fields.media() {
        Some(root) if status == GenerationStatus::Completed => payload::clips(root, &fields.request_id),
        _ => Media::default(),
    };
    let mut facts = query.facts();
    facts.seed = seed;
    let Fields { request_id, .. } = fields;
    let record = HookRecord {
        provider: Provider::fal(),
        request_id,
        status,
        error,
        facts,
        clips,
        received_at,
        created_at: None,
        by: Bringer::Webhook,
    };
    Ok(Decoded { record, notes })
}

/// The top-level fields that are read. `null` counts as absent: fal sends
/// `error: null` and leaves out `payload_error`.
struct Fields {
    request_id: RequestId,
    status: Option<String>,
    payload: Option<Node>,
    result: Option<Node>,
    has_result: bool,
    error: Option<Node>,
    payload_error: Option<Node>,
}

impl Fields {
    fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let Node::Object(mut members) = serde_json::from_slice(body).map_err(DecodeError::NotJson)? else {
            return Err(DecodeError::NotAnObject);
        };
        let mut take = |name: &'static str| {
            let mut places = members.iter().enumerate().filter(|(_, (key, _))| key == name).map(|(place, _)| place);
            let Some(place) = places.next() else {
                return Ok(None);
            };
            match places.next() {
                None => Ok(Some(members.remove(place).1)),
                Some(_) => Err(DecodeError::RepeatedField(name)),
            }
        };
        let Some(Node::Text(request_id)) = take("request_id")? else {
            return Err(DecodeError::BadField("request_id"));
        };
        let status = match take("status")? {
            None => None,
            Some(Node::Text(status)) => Some(status),
            Some(_) => return Err(DecodeError::BadField("status")),
        };
        let result = take("result")?;
        Ok(Self {
            request_id: request_id.try_into()?,
            status,
            payload: present(take("payload")?),
            has_result: result.is_some(),
            result: present(result),
            error: present(take("error")?),
            payload_error: present(take("payload_error")?),
        })
    }

    /// The terminal word, and the words on what went wrong.
    fn outcome(&self) -> Result<(GenerationStatus, Option<String>), DecodeError> {
        match self.status.as_deref() {
            Some("OK") => Ok(self.delivered()),
            Some("ERROR") => Ok((GenerationStatus::Failed, Some(self.failure()))),
            Some(_) => Err(DecodeError::UnknownStatus),
            None if self.has_result => Ok(self.delivered()),
            None => Err(DecodeError::BadField("status")),
        }
    }

    fn delivered(&self) -> (GenerationStatus, Option<String>) {
        if self.media().is_some() {
            return (GenerationStatus::Completed, None);
        }
        let words = self.payload_error.as_ref().and_then(Node::text);
        (GenerationStatus::ResultMissing, Some(redact(words.unwrap_or("the webhook came without a result"))))
    }

    /// Where media is looked for: `payload`, or `result` in the plain form.
    fn media(&self) -> Option<&Node> {
        if self.status.is_some() { self.payload.as_ref() } else { self.result.as_ref() }
    }

    /// `error`, the first detail's `msg` and `type`, `payload_error`: what is there.
    fn failure(&self) -> String {
        let error = self.error.as_ref().and_then(|error| error.text().or_else(|| error.get("message")?.text()));
        let detail = self.payload.as_ref().and_then(|payload| payload.get("detail"));
        let first = match detail {
            Some(Node::List(details)) => details.first(),
            other => other,
        };
        let of_first = |name| first.and_then(|first| first.get(name)).and_then(Node::text);
        let detail = match (of_first("msg").or_else(|| first?.text()), of_first("type")) {
            (Some(msg), Some(kind)) => Some(format!("{msg} ({kind})")),
            (msg, kind) => msg.or(kind).map(str::to_owned),
        };
        let payload_error = self.payload_error.as_ref().and_then(Node::text);
        let parts: Vec<&str> = [error, detail.as_deref(), payload_error].into_iter().flatten().collect();
        let text = redact(&parts.join(": "));
        if text.is_empty() { "the provider reported an error without words".to_owned() } else { text }
    }
}

fn present(node: Option<Node>) -> Option<Node> {
    node.filter(|node| !matches!(node, Node::Null))
}

#[cfg(test)]
mod tests;
