//! What a fal webhook says. Read only after it was verified.

mod fetched;

pub use fetched::{fetched, refusal};

use crate::{
    generation::{Bringer, Facts, HookRecord},
    hook::{
        DecodeError, Decoded, HookQuery,
        json::Node,
        members::Members,
        payload::{self, Media},
        redact::redact,
    },
    id::{Provider, RequestId},
    state::GenerationStatus,
    time::Timestamp,
};

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
    let facts = Facts { seed, ..Facts::default() };
    let Fields { request_id, .. } = fields;
    let record = HookRecord {
        provider: Provider::fal(),
        request_id,
        status,
        error,
        facts,
        hearsay: query.hearsay(),
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
        let mut members = Members::read(body)?;
        let Some(Node::Text(request_id)) = members.take("request_id")? else {
            return Err(DecodeError::BadField("request_id"));
        };
        let status = match members.take("status")? {
            None => None,
            Some(Node::Text(status)) => Some(status),
            Some(_) => return Err(DecodeError::BadField("status")),
        };
        let result = members.take("result")?;
        Ok(Self {
            request_id: request_id.try_into()?,
            status,
            payload: members.present("payload")?,
            has_result: result.is_some(),
            result: present(result),
            error: members.present("error")?,
            payload_error: members.present("payload_error")?,
        })
    }

    /// The terminal word, and the words on what went wrong.
    fn outcome(&self) -> Result<(GenerationStatus, Option<String>), DecodeError> {
        match self.status.as_deref() {
            Some("OK") => Ok(self.delivered()),
            Some("ERROR") => Ok((GenerationStatus::Failed, Some(self.failure()))),
            Some(_) => Err(DecodeError::UnknownStatus { field: "status", known: "OK, ERROR" }),
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
        let detail = self.payload.as_ref().and_then(words_of_detail);
        let payload_error = self.payload_error.as_ref().and_then(Node::text);
        let parts: Vec<&str> = [error, detail.as_deref(), payload_error].into_iter().flatten().collect();
        let text = redact(&parts.join(": "));
        if text.is_empty() { "the provider reported an error without words".to_owned() } else { text }
    }
}

/// The first `detail` of a model's or the queue's error: its `msg` and `type`.
fn words_of_detail(payload: &Node) -> Option<String> {
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

fn present(node: Option<Node>) -> Option<Node> {
    node.filter(|node| !matches!(node, Node::Null))
}

#[cfg(test)]
mod tests;
