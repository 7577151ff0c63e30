//! What a fal webhook says. Read only after it was verified.

mod fetched;

pub use fetched::{fetched, refusal};

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    generation::{Facts, HookRecord, Origin},
    hook::{
        DecodeError, Decoded, Form, HookQuery, Unread,
        json::Node,
        members::Members,
        payload::{self, Media, Scope},
        redact::redact,
    },
    id::{Provider, RequestId},
    state::GenerationStatus,
    time::Timestamp,
};

/// Reads a verified body: fal's own form, or the plain `{request_id, result}`.
///
/// `signed_id` is the request id of the webhook's headers; the body must name
/// the same, or none. Fields it does not know are ignored. A body that cannot be
/// read is recorded under the signed id, as it came.
pub fn decode(
    body: &Bytes,
    signed_id: Option<&str>,
    query: &HookQuery,
    received_at: Timestamp,
) -> Result<Decoded, DecodeError> {
    let fields = Fields::read(body, signed_id).and_then(|fields| {
        let media = fields.media(body);
        Ok((fields.outcome(&media)?, media, fields))
    });
    let ((status, error), media, fields) = match (fields, signed_id) {
        (Ok(read), _) => read,
        (Err(error), Some(id)) if error.is_of_form() => return unread(body, id, &error, query, received_at),
        (Err(error), _) => return Err(error),
    };
    let facts = Facts { seed: media.seed, ..Facts::default() };
    let record = HookRecord {
        provider: Provider::fal(),
        request_id: fields.request_id,
        status,
        error,
        facts,
        hearsay: query.hearsay(),
        clips: Vec::new(),
        unread: None,
        received_at,
        created_at: None,
        origin: Origin::Webhook,
    };
    Ok(Decoded::new(record, media, Form::Webhook, body))
}

/// A webhook that fal signed, and whose body cannot be read: the generation is
/// over, and the queue may say what came of it.
fn unread(
    body: &Bytes,
    signed_id: &str,
    error: &DecodeError,
    query: &HookQuery,
    received_at: Timestamp,
) -> Result<Decoded, DecodeError> {
    let why = match error {
        DecodeError::NotJson(cause) => format!("{error}: {cause}"),
        error => error.to_string(),
    };
    let unread = Unread::new(&why, Form::Webhook, body).to_be_asked();
    let record = HookRecord {
        provider: Provider::fal(),
        request_id: signed_id.to_owned().try_into()?,
        status: GenerationStatus::Unreadable,
        error: Some(why),
        facts: Facts::default(),
        hearsay: query.hearsay(),
        clips: Vec::new(),
        unread: Some(Arc::new(unread)),
        received_at,
        created_at: None,
        origin: Origin::Webhook,
    };
    Ok(Decoded { record, inlines: Vec::new(), notes: Vec::new() })
}

/// The word of a generation that failed.
const FAILED: &str = "ERROR";

/// The top-level fields that are read. `null` counts as absent: fal sends
/// `error: null` and leaves out `payload_error`.
struct Fields<'a> {
    request_id: RequestId,
    status: Option<String>,
    payload: Option<Node<'a>>,
    result: Option<Node<'a>>,
    has_result: bool,
    error: Option<Node<'a>>,
    payload_error: Option<Node<'a>>,
    /// What else stands in the body.
    rest: Node<'a>,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8], signed_id: Option<&str>) -> Result<Self, DecodeError> {
        let mut members = Members::read(body)?;
        let request_id = match (members.take("request_id")?, signed_id) {
            (Some(Node::Text(id)), signed) if signed.is_some_and(|signed| signed != id) => {
                return Err(DecodeError::OtherRequest);
            }
            (Some(Node::Text(id)), _) => id.into_owned(),
            (None, Some(signed)) => signed.to_owned(),
            _ => return Err(DecodeError::BadField("request_id")),
        };
        let status = match members.take("status")? {
            None => None,
            Some(Node::Text(status)) => Some(status.into_owned()),
            Some(_) => return Err(DecodeError::BadField("status")),
        };
        let result = members.take("result")?;
        // What was put in is no result, whatever else is there.
        for name in ["input", "inputs"] {
            let _ = members.take(name);
        }
        Ok(Self {
            request_id: request_id.try_into()?,
            status,
            payload: members.present("payload")?,
            has_result: result.is_some(),
            result: present(result),
            error: members.present("error")?,
            payload_error: members.present("payload_error")?,
            rest: members.rest(),
        })
    }

    /// The terminal word, and the words on what went wrong.
    fn outcome(&self, media: &Media) -> Result<(GenerationStatus, Option<String>), DecodeError> {
        match self.status.as_deref() {
            Some("OK") => Ok(self.delivered(media)),
            Some(FAILED) => Ok((GenerationStatus::Failed, Some(self.failure()))),
            Some(_) => Err(DecodeError::UnknownStatus { field: "status", known: "OK, ERROR" }),
            None if self.has_result || media.is_told() => Ok(self.delivered(media)),
            None => Err(DecodeError::BadField("status")),
        }
    }

    fn delivered(&self, media: &Media) -> (GenerationStatus, Option<String>) {
        if self.payload.is_some() || self.result.is_some() || media.is_told() {
            return (GenerationStatus::Completed, None);
        }
        let words = self.payload_error.as_ref().and_then(Node::text);
        (GenerationStatus::ResultMissing, Some(redact(words.unwrap_or("the webhook came without a result"))))
    }

    /// What is in `payload`, or in `result` as in the plain form; if nothing is,
    /// in the rest of the body, which has more to tell where there is no result.
    fn media(&self, body: &Bytes) -> Media {
        let read = |root, scope| payload::clips(root, scope, body, &self.request_id);
        let is_failed = self.status.as_deref() == Some(FAILED);
        let of_result = if is_failed { Scope::Sure } else { Scope::All };
        let results = [self.payload.as_ref(), self.result.as_ref()].into_iter().flatten();
        let mut results: Vec<Media> = results.map(|root| read(root, of_result)).collect();
        if let Some(told) = results.iter().position(Media::is_told) {
            return results.swap_remove(told);
        }
        let of_rest = if results.is_empty() { of_result } else { Scope::Sure };
        let seed = results.iter().find_map(|media| media.seed);
        let media = read(&self.rest, of_rest);
        Media { seed: seed.or(media.seed), ..media }
    }

    /// `error`, the first detail's `msg` and `type`, `payload_error`: what is there.
    fn failure(&self) -> String {
        let error = self.error.as_ref().and_then(|error| error.text().or_else(|| error.get("message")?.text()));
        let detail = self.payload.as_ref().and_then(words_of_detail);
        let payload_error = self.payload_error.as_ref().and_then(Node::text);
        let parts: Vec<&str> = [error, detail.as_deref(), payload_error].into_iter().flatten().collect();
        let text = redact(&parts.join(": "));
        if text.is_empty() { "the provider reported an error without words".to_owned() } else { text }
    }
}

/// The first `detail` of a model's or the queue's error: its `msg` and `type`.
fn words_of_detail(payload: &Node<'_>) -> Option<String> {
    let first = match payload.get("detail")? {
        Node::List(details) => details.first()?,
        other => other,
    };
    let of_first = |name| first.get(name).and_then(Node::text);
    match (of_first("msg").or_else(|| first.text()), of_first("type")) {
        (Some(msg), Some(kind)) => Some(format!("{msg} ({kind})")),
        (msg, kind) => msg.or(kind).map(str::to_owned),
    }
}

fn present(node: Option<Node<'_>>) -> Option<Node<'_>> {
    node.filter(|node| !matches!(node, Node::Null))
}

#[cfg(test)]
mod tests;
