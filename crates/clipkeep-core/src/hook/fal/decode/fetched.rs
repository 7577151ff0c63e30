//! A result that was fetched from the queue, because its webhook did not bring
//! it. It becomes what the webhook would have become.

use std::borrow::Cow;

use bytes::Bytes;

use super::{DecodeError, Decoded, Fields, Form, Node, present, words_of_detail};
use crate::{
    generation::{Facts, Hearsay, HookRecord, Origin},
    hook::redact::redact,
    id::{Provider, RequestId},
    time::Timestamp,
};

/// Reads the queue's answer to «give me the result»: its status code and body.
/// The model's own 4xx and 5xx are its words on a failure.
///
/// The members of objects are taken in the order of their names, as webhooks
/// have them, so that the generation's clips get the same keys.
///
/// # Errors
/// If a result is no JSON.
pub fn fetched(request_id: &RequestId, code: u16, body: &Bytes, at: Timestamp) -> Result<Decoded, DecodeError> {
    let is_result = (200..300).contains(&code);
    let payload = match Node::read(body) {
        Ok(node) => present(Some(node.sorted())),
        Err(error) if is_result => return Err(DecodeError::NotJson(error)),
        // The code still says that it failed.
        Err(_) => None,
    };
    let status = if is_result { "OK" } else { super::FAILED };
    let said = |text: String| Node::Text(Cow::Owned(text));
    let fields = Fields {
        request_id: request_id.clone(),
        status: Some(status.to_owned()),
        payload,
        result: None,
        has_result: false,
        error: (!is_result).then(|| said(format!("Invalid status code: {code}"))),
        payload_error: is_result.then(|| said("the queue has no result".to_owned())),
        rest: Node::Null,
    };
    let media = fields.media(body);
    let (status, error) = fields.outcome(&media)?;
    let record = HookRecord {
        provider: Provider::fal(),
        request_id: request_id.clone(),
        status,
        error,
        facts: Facts { seed: media.seed, ..Facts::default() },
        hearsay: Hearsay::default(),
        clips: Vec::new(),
        unread: None,
        received_at: at,
        created_at: None,
        origin: Origin::Poll,
    };
    Ok(Decoded::new(record, media, Form::Result, body))
}

/// The queue's words on why it did not take a request, fit for a user.
pub fn refusal(body: &[u8]) -> Option<String> {
    let words = words_of_detail(&Node::read(body).ok()?)?;
    Some(redact(&words)).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hook::{HookQuery, fal::decode},
        state::GenerationStatus,
    };

    fn fetch(code: u16, body: &str) -> HookRecord {
        let body = Bytes::copy_from_slice(body.as_bytes());
        fetched(&"r1".parse().unwrap(), code, &body, Timestamp::from_secs(9)).unwrap().record
    }

    #[test]
    fn a_fetched_result_is_what_its_webhook_would_have_been() {
        let result = r#"{"videos":[{"url":"https://v3.fal.media/b.mp4"},{"url":"https://v3.fal.media/a.mp4"}],
            "seed":7,"thumbnail":{"url":"https://v3.fal.media/t.png"},"mask_video":{"url":"https://v3.fal.media/m.mp4"}}"#;
        let sorted: serde_json::Value = serde_json::from_str(result).unwrap();
        let webhook = serde_json::json!({"request_id": "r1", "status": "OK", "error": null, "payload": sorted});
        let query = HookQuery::parse("").unwrap();
        let sent = decode(&webhook.to_string().into(), None, &query, Timestamp::from_secs(9)).unwrap().record;
        assert_eq!(fetch(200, result), HookRecord { origin: Origin::Poll, ..sent.clone() });
        assert_eq!(sent.clips.len(), 4);
    }

    #[test]
    fn a_failed_one_brings_the_models_words_without_addresses() {
        let body = r#"{"detail":[{"loc":["body"],"msg":"could not load https://v3.fal.media/x.png","type":"file_download_error"}]}"#;
        let record = fetch(422, body);
        assert_eq!(record.status, GenerationStatus::Failed);
        let words = "Invalid status code: 422: could not load [url] (file_download_error)";
        assert_eq!(record.error.as_deref(), Some(words));
        assert_eq!(fetch(500, "<html>").error.as_deref(), Some("Invalid status code: 500"));
    }

    #[test]
    fn null_is_no_result_yet_and_what_is_no_json_is_refused() {
        assert_eq!(fetch(200, "null").status, GenerationStatus::ResultMissing);
        assert!(fetched(&"r1".parse().unwrap(), 200, &Bytes::from_static(b"<html>"), Timestamp::from_secs(9)).is_err());
    }

    #[test]
    fn a_refused_submit_says_why_without_addresses() {
        let body = br#"{"detail":[{"loc":["body","prompt"],"msg":"see https://fal.ai/x","type":"missing"}]}"#;
        assert_eq!(refusal(body).as_deref(), Some("see [url] (missing)"));
        assert_eq!(refusal(br#"{"detail":"User is locked."}"#).as_deref(), Some("User is locked."));
        assert_eq!((refusal(b"<html>"), refusal(b"{}")), (None, None));
    }
}
