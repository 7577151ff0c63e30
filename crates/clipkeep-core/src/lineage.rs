//! Which of our clips a generation was made from: our own URLs in its input.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    config::{BaseUrl, UrlTemplate},
    id::{ClipKey, MAX_CLIP_KEY, RequestId},
};

/// The most parents that one generation has.
const MOST: usize = 100;
/// How much of an input's text is looked through.
const MOST_TEXT: usize = 2 * 1024 * 1024;
/// How often a URL may stand percent-encoded inside another.
const NESTED: usize = 3;
/// What an object in our own store is called as a source.
const STORE: &str = "store:";

/// How our own URLs look: what stands before a clip's key, and what behind it.
#[derive(Clone, Debug, Default)]
pub struct OwnUrls(Vec<(String, String)>);

impl OwnUrls {
    /// The URLs that a node with this configuration hands out.
    pub fn new(public_url: &BaseUrl, template: &UrlTemplate) -> Self {
        let (before, behind) = template.around_key();
        let mut shapes = vec![(before.to_owned(), behind.to_owned())];
        shapes.extend(["v", "i"].map(|way| (format!("{public_url}/{way}/"), String::new())));
        // A link may be kept with http or https, in whatever case.
        let bare = |before: &str| before.split_once("://").map_or(before, |(_, rest)| rest).to_ascii_lowercase();
        Self(shapes.into_iter().map(|(before, behind)| (format!("://{}", bare(&before)), behind)).collect())
    }

    /// The clips that `input` names by a URL of ours, anywhere in its texts, be
    /// it signed, percent-encoded, or inside another URL. Not those of
    /// `request_id` itself.
    pub fn parents(&self, input: &Value, request_id: &RequestId) -> BTreeSet<ClipKey> {
        let mut found = BTreeSet::new();
        self.look_into(input, &mut MOST_TEXT.clone(), &mut found);
        found.retain(|key| key.parts().is_none_or(|(own, _)| own != *request_id));
        found
    }

    /// Whether a URL is one of a clip of ours.
    pub fn is_own(&self, url: &str) -> bool {
        let lower = url.to_ascii_lowercase();
        let Some(bare) = lower.strip_prefix("https").or_else(|| lower.strip_prefix("http")) else { return false };
        let scheme = lower.len() - bare.len();
        let is_of = |(before, behind): &(String, String)| {
            bare.starts_with(before.as_str()) && key_at(&url[scheme + before.len()..], behind).is_some()
        };
        self.0.iter().any(is_of)
    }

    fn look_into(&self, value: &Value, left: &mut usize, found: &mut BTreeSet<ClipKey>) {
        match value {
            // Media inside the input itself: long, and no URL of ours.
            Value::String(text) if text.starts_with("data:") || text.len() > *left => {}
            Value::String(text) => {
                *left -= text.len();
                self.read(text, found);
            }
            Value::Array(values) => values.iter().for_each(|value| self.look_into(value, left, found)),
            Value::Object(members) => members.values().for_each(|value| self.look_into(value, left, found)),
            _ => {}
        }
    }

    fn read(&self, text: &str, found: &mut BTreeSet<ClipKey>) {
        found.extend(text.strip_prefix(STORE).and_then(|key| key.parse::<ClipKey>().ok()));
        let mut text = std::borrow::Cow::Borrowed(text);
        for _ in 0..=NESTED {
            let lower = text.to_ascii_lowercase();
            for (before, behind) in &self.0 {
                for (at, _) in lower.match_indices(before.as_str()) {
                    if found.len() < MOST {
                        found.extend(key_at(&text[at + before.len()..], behind));
                    }
                }
            }
            match decoded(&text) {
                Some(inner) => text = inner.into(),
                None => return,
            }
        }
    }
}

/// The key that `text` begins with, if `behind` follows it.
fn key_at(text: &str, behind: &str) -> Option<ClipKey> {
    let of_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    let end = text.bytes().position(|byte| !of_key(byte)).unwrap_or(text.len());
    if behind.is_empty() {
        // In a sentence a full stop may follow.
        return text[..end].trim_end_matches('.').parse().ok();
    }
    let near = &text[..text.floor_char_boundary(MAX_CLIP_KEY + behind.len())];
    near[..near.find(behind)?].parse().ok()
}

/// The text with its `%XX` read, if it has some.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let mut any = false;
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|&hex| char::from(hex).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
                any = true;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    any.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn urls(template: &str) -> OwnUrls {
        let public = BaseUrl::parse("https://clips.example.com").unwrap();
        OwnUrls::new(&public, &UrlTemplate::parse(template, &public).unwrap())
    }

    fn parents(template: &str, input: &Value) -> Vec<String> {
        let found = urls(template).parents(input, &"self".parse().unwrap());
        found.into_iter().map(String::from).collect()
    }

    #[test]
    fn our_urls_are_found_wherever_they_stand() {
        let plain = "{public_url}/v/{key}";
        for input in [
            json!({"image_url": "https://clips.example.com/v/a.png?expires=1&kid=k&signature=s"}),
            json!({"elements": [{"deep": ["https://clips.example.com/i/a.png"]}]}),
            json!("look at http://CLIPS.example.com/v/a.png."),
            json!("https://proxy.example/?url=https%3A%2F%2Fclips.example.com%2Fv%2Fa.png%3Fexpires%3D1"),
            json!("https://proxy.example/?u=https%253A%252F%252Fclips.example.com%252Fv%252Fa.png"),
            json!("store:a.png"),
        ] {
            assert_eq!(parents(plain, &input), ["a.png"], "{input}");
        }
        let cdn = json!(["https://cdn.example.com/clips/b.1.mp4?x", "https://clips.example.com/v/a.mp4"]);
        assert_eq!(parents("https://cdn.example.com/clips/{key}", &cdn), ["a.mp4", "b.1.mp4"]);
        let query = json!("https://cdn.example.com/?clip=b.mp4&w=1");
        assert_eq!(parents("https://cdn.example.com/?clip={key}&w=1", &query), ["b.mp4"]);
    }

    #[test]
    fn nothing_else_is() {
        for input in [
            json!("https://clips.example.com.evil.example/v/a.png"),
            json!("https://evil-clips.example.com/v/a.png"),
            json!("https://clips.example.com/v/"),
            json!("https://clips.example.com/other/a.png"),
            json!("https://clips.example.com/v/self.mp4"),
            json!("data:image/png;base64,https://clips.example.com/v/a.png"),
            json!({"https://clips.example.com/v/a.png": 1, "n": 7, "100%": "50%zz"}),
        ] {
            assert!(parents("{public_url}/v/{key}", &input).is_empty(), "{input}");
        }
    }

    #[test]
    fn h03_a_text_full_of_our_urls_is_read_in_one_pass() {
        let began = std::time::Instant::now();
        for (template, piece) in [
            ("https://cdn.example.com/a{key}/play.m3u8", "://cdn.example.com/a"),
            ("https://cdn.example.com/?clip={key}&w=1", "://cdn.example.com/?clip="),
            ("https://cdn.example.com/{key}.html", "://cdn.example.com/a.mp4"),
            ("https://cdn.example.com/{key}", "://cdn.example.com/a"),
            ("{public_url}/v/{key}", "%253A%252F%252Fclips.example.com%252Fv%252F"),
        ] {
            let many = piece.repeat(1_900_000 / piece.len());
            assert!(parents(template, &json!({"a": many, "b": "x"})).len() <= MOST, "{template}");
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
        // What stands behind a text too long to be looked through is found.
        let input = json!(["x".repeat(3_000_000), "https://clips.example.com/v/a.png"]);
        assert_eq!(parents("{public_url}/v/{key}", &input), ["a.png"]);
    }

    #[test]
    fn there_are_no_more_parents_than_anybody_means() {
        let many: Vec<_> = (0..500).map(|n| format!("https://clips.example.com/v/{n}.png")).collect();
        assert_eq!(parents("{public_url}/v/{key}", &json!(many)).len(), MOST);
    }
}
