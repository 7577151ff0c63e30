//! Reads a model's input. Apps send whole files in it as data URIs: strings
//! that are too long are shortened while they arrive, so that a body of any
//! size takes little memory.

use axum::body::Body;
use futures_util::StreamExt;
use serde_json::Value;

/// How much of a string is kept.
const STRING: usize = 64 << 10;
/// What may remain of a body.
const BODY: usize = 8 << 20;
/// An escape is at most a pair of `\uXXXX`: no string is cut within one.
const ESCAPE: usize = 12;

/// The JSON of `body`, its longest strings shortened.
pub(crate) async fn read(body: Body) -> Result<Value, &'static str> {
    let mut short = Short::default();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        short.add(&chunk.map_err(|_| "the body broke off")?);
        if short.kept.len() > BODY {
            return Err("the body is too large");
        }
    }
    serde_json::from_slice(&short.kept).map_err(|_| "the body is no JSON")
}

/// Reads what nobody looks at, so that the answer reaches who still sends.
pub(crate) async fn drain(body: Body) {
    let mut chunks = body.into_data_stream();
    while let Some(Ok(_)) = chunks.next().await {}
}

#[derive(Default)]
struct Short {
    kept: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Of the string that is read: how long it is, and since its last escape.
    len: usize,
    since_escape: usize,
    cutting: bool,
}

impl Short {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_string {
                self.add_within(byte);
            } else {
                self.in_string = byte == b'"';
                (self.len, self.since_escape, self.cutting) = (0, 0, false);
                self.kept.push(byte);
            }
        }
    }

    fn add_within(&mut self, byte: u8) {
        if byte == b'"' && !self.escaped {
            self.in_string = false;
            self.kept.push(byte);
            return;
        }
        self.since_escape = if byte == b'\\' { 0 } else { self.since_escape + 1 };
        self.escaped = byte == b'\\' && !self.escaped;
        self.len += 1;
        let starts_a_character = byte & 0xc0 != 0x80;
        self.cutting |= self.len > STRING && self.since_escape > ESCAPE && starts_a_character;
        if !self.cutting {
            self.kept.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_in(pieces: usize, text: String) -> Result<Value, &'static str> {
        let pieces: Vec<_> =
            text.as_bytes().chunks(pieces).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        read(Body::from_stream(futures_util::stream::iter(pieces))).await
    }

    #[tokio::test]
    async fn long_strings_are_cut_between_characters_and_the_rest_stays() {
        for filler in ["A", "é", "\\\"", "\\\\", "\\ud83d\\ude00", "€x\\n"] {
            let long = filler.repeat(300_000);
            let text = format!(r#"{{"prompt": "a \"b\"", "image_url": "{long}abcdefghijklmnop", "seed": 7}}"#);
            let input = read_in(1001, text).await.unwrap_or_else(|error| panic!("{filler}: {error}"));
            assert_eq!((input["prompt"].as_str(), input["seed"].as_i64()), (Some("a \"b\""), Some(7)), "{filler}");
        }
        let input = read_in(4096, format!(r#"["{}"]"#, "A".repeat(20 << 20))).await.unwrap();
        assert_eq!(input[0].as_str().map(str::len), Some(STRING));
    }

    #[tokio::test]
    async fn what_is_no_json_is_refused() {
        assert_eq!(read_in(10, "{".into()).await, Err("the body is no JSON"));
        assert_eq!(read_in(1 << 20, format!("[{}1]", "1,".repeat(BODY))).await, Err("the body is too large"));
    }
}
