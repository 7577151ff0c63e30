//! What a provider rightly said and was not understood: kept as it came, so that
//! a later version, or a person, can read it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    json::Node,
    payload::{is_address, is_data},
};
use crate::{
    proxy::{Copy, OMITTED},
    state::text_enum,
};

/// How much of it is kept: whatever a webhook may have (`hook_max_body`), but for
/// what no row of a database holds.
const MAX_KEPT: usize = 256 * 1024 * 1024;

text_enum! {
    /// How it was said.
    Form {
        /// The body of a webhook.
        Webhook = "webhook",
        /// The provider's answer when it was asked for a result.
        Result = "result",
    }
}

/// A result that was not understood, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Why, in words that hold no address.
    pub why: String,
    pub form: Form,
    /// Whether the provider may say it better when it is asked.
    pub is_to_be_asked: bool,
    /// What it said: all of it, or if that is too long, without its long strings,
    /// or its beginning.
    pub payload: Bytes,
    /// How many bytes it had.
    pub len: u64,
}

impl Unread {
    /// What was said in `body`, and not understood for this reason.
    pub fn new(why: impl Into<String>, form: Form, body: &Bytes) -> Self {
        Self { why: why.into(), form, is_to_be_asked: false, payload: kept(body, MAX_KEPT), len: body.len() as u64 }
    }

    /// The same where the provider is to be asked.
    #[must_use]
    pub fn to_be_asked(self) -> Self {
        Self { is_to_be_asked: true, ..self }
    }

    /// Whether some of it was left out.
    pub fn is_cut(&self) -> bool {
        self.payload.len() as u64 != self.len
    }

    /// The same without anything that may be of a prompt: of texts, only URLs and
    /// what names things stay, and data. Nothing stays of what is no JSON.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        let payload = match Node::read(&self.payload) {
            Ok(node) => without_texts(node.into_value()).to_string().into_bytes(),
            Err(_) => Vec::new(),
        };
        Self { payload: payload.into(), ..self.clone() }
    }
}

/// All of it, which is no copy: there is nothing else of data that is in it.
fn kept(body: &Bytes, max: usize) -> Bytes {
    if body.len() <= max {
        return body.clone();
    }
    let mut copy = Copy::new(max);
    copy.push(body);
    copy.into_bytes().map_or_else(|| body.slice(..max), Bytes::from)
}

/// Members whose texts name things.
const NAMES: &[&str] =
    &["request_id", "gateway_request_id", "id", "status", "type", "provider", "content_type", "mime_type", "slot"];

/// The value's depth is bounded: [`Node::into_value`] saw to that.
fn without_texts(value: Value) -> Value {
    match value {
        Value::String(text) if !is_address(&text) && !is_data(&text) => json!({ OMITTED: text.len() }),
        Value::Array(items) => items.into_iter().map(without_texts).collect(),
        Value::Object(members) => {
            let is_name = |name: &str, member: &Value| NAMES.contains(&name) && member.is_string();
            let keep = |(name, member): (String, Value)| match is_name(&name, &member) {
                true => (name, member),
                false => (name, without_texts(member)),
            };
            members.into_iter().map(keep).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d02_what_is_kept_is_kept_to_the_byte_and_is_no_copy() {
        let short = Unread::new("why", Form::Webhook, &Bytes::from_static(b"\xff{\"a\": NaN}"));
        assert_eq!((&short.payload[..], short.len, short.is_cut()), (&b"\xff{\"a\": NaN}"[..], 11, false));
        let data = Bytes::from(format!(r#"{{"video": "{}*", "seed": 7}}"#, "A".repeat(1 << 20)));
        let long = Unread::new("why", Form::Result, &data);
        assert_eq!((long.payload.as_ptr(), long.len, long.is_cut()), (data.as_ptr(), data.len() as u64, false));
        // With prompts kept as hashes alone, too.
        let kept = serde_json::from_slice::<Value>(&long.without_texts().payload).unwrap();
        assert_eq!(kept["video"].as_str().unwrap().len(), (1 << 20) + 1);
    }

    #[test]
    fn what_no_database_holds_is_bounded() {
        const MAX: usize = 1 << 10;
        let data = Bytes::from(format!(r#"{{"video": "{}", "seed": 7}}"#, "A".repeat(1 << 20)));
        let cut = kept(&data, MAX);
        let cut = serde_json::from_slice::<Value>(&cut).unwrap();
        assert_eq!((cut["seed"].as_u64(), cut["video"][OMITTED].as_u64()), (Some(7), Some(1 << 20)));
        assert_eq!(kept(&Bytes::from("x ".repeat(1 << 20)), MAX).len(), MAX);
    }

    #[test]
    fn without_texts_nothing_of_a_prompt_is_left() {
        let body = br#"{"request_id": "r", "status": "OK", "payload": {"prompt": "a fox", "id": {"x": "a fox"},
            "video": {"url": "ftp://h/v", "n": 1.5}, "more": ["see https://h/x of a fox", true]}}"#;
        let kept = Unread::new("why", Form::Webhook, &Bytes::from_static(body)).without_texts();
        let text = String::from_utf8(kept.payload.to_vec()).unwrap();
        assert!(!text.contains("fox"), "{text}");
        for stays in [r#""request_id":"r""#, r#""status":"OK""#, "1.5", "true"] {
            assert!(text.contains(stays), "{stays} {text}");
        }
        assert!(Unread::new("why", Form::Webhook, &Bytes::from_static(b"a fox")).without_texts().payload.is_empty());
    }
}
