//! What a provider rightly said and was not understood: kept as it came, so that
//! a later version, or a person, can read it.

use serde_json::{Value, json};

use super::{json::Node, payload::is_address};
use crate::{
    proxy::{Copy, OMITTED},
    state::text_enum,
};

/// How much of it is kept.
const MAX_KEPT: usize = 256 * 1024;

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
    /// How it was said.
    pub form: Form,
    /// Whether the provider may say it better when it is asked.
    pub is_to_be_asked: bool,
    /// What it said: all of it, or if that is too long, without its long strings,
    /// or its beginning.
    pub payload: Vec<u8>,
    /// How many bytes it had.
    pub len: u64,
}

impl Unread {
    /// What was said in `body`, and not understood for this reason.
    pub fn new(why: impl Into<String>, form: Form, body: &[u8]) -> Self {
        Self { why: why.into(), form, is_to_be_asked: false, payload: kept(body), len: body.len() as u64 }
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
    /// what names things stay. Nothing stays of what is no JSON.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        let payload = match Node::read(&self.payload) {
            Ok(node) => without_texts(node.into_value()).to_string().into_bytes(),
            Err(_) => Vec::new(),
        };
        Self { payload, ..self.clone() }
    }
}

fn kept(body: &[u8]) -> Vec<u8> {
    if body.len() <= MAX_KEPT {
        return body.to_vec();
    }
    let mut copy = Copy::new(MAX_KEPT);
    copy.push(body);
    copy.into_bytes().unwrap_or_else(|| body[..MAX_KEPT].to_vec())
}

/// Members whose texts name things.
const NAMES: &[&str] =
    &["request_id", "gateway_request_id", "id", "status", "type", "provider", "content_type", "mime_type", "slot"];

/// The value's depth is bounded: [`Node::into_value`] saw to that.
fn without_texts(value: Value) -> Value {
    match value {
        Value::String(text) if !is_address(&text) => json!({ OMITTED: text.len() }),
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
    fn what_is_short_is_kept_to_the_byte_and_what_is_long_is_bounded() {
        let short = Unread::new("why", Form::Webhook, b"\xff{\"a\": NaN}");
        assert_eq!((short.payload.as_slice(), short.len, short.is_cut()), (&b"\xff{\"a\": NaN}"[..], 11, false));
        let data = format!(r#"{{"video": "{}", "seed": 7}}"#, "A".repeat(1 << 20));
        let long = Unread::new("why", Form::Result, data.as_bytes());
        let kept = serde_json::from_slice::<Value>(&long.payload).unwrap();
        assert_eq!((kept["seed"].as_u64(), kept["video"][OMITTED].as_u64()), (Some(7), Some(1 << 20)));
        assert!(long.is_cut() && long.len > 1 << 20);
        let odd = Unread::new("why", Form::Result, "x ".repeat(1 << 20).as_bytes());
        assert_eq!((odd.payload.len(), odd.is_cut()), (MAX_KEPT, true));
    }

    #[test]
    fn without_texts_nothing_of_a_prompt_is_left() {
        let body = br#"{"request_id": "r", "status": "OK", "payload": {"prompt": "a fox", "id": {"x": "a fox"},
            "video": {"url": "ftp://h/v", "n": 1.5}, "more": ["see https://h/x of a fox", true]}}"#;
        let kept = Unread::new("why", Form::Webhook, body).without_texts();
        let text = String::from_utf8(kept.payload.clone()).unwrap();
        assert!(!text.contains("fox"), "{text}");
        for stays in [r#""request_id":"r""#, r#""status":"OK""#, "1.5", "true"] {
            assert!(text.contains(stays), "{stays} {text}");
        }
        assert!(Unread::new("why", Form::Webhook, b"a fox").without_texts().payload.is_empty());
    }
}
