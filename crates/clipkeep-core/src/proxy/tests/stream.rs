use proptest::prelude::*;
use serde_json::{Value, json};

use crate::proxy::{Copy, Event, Events, Piece, Rewriter, Scanner, SseRewriter};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("https://v3.fal.media/a.mp4".to_owned()),
        Just("https://v3.fal.media/a.mp4?x=1&y=2".to_owned()),
        "[a\"\\\\/{}\\[\\]:,\u{e9}\u{1F600}\n\u{0}]{0,12}",
        "[a-z]{0,40}",
    ]
}

/// The document as some serializer might write it: any character of a string
/// may be escaped.
fn written(value: &Value, escape: &mut impl FnMut() -> bool) -> String {
    match value {
        Value::String(text) => {
            let mut out = String::from("\"");
            for c in text.chars() {
                match (c, escape()) {
                    ('/', true) => out.push_str("\\/"),
                    ('"' | '\\', false) => out.extend(['\\', c]),
                    (c, false) if !c.is_control() => out.push(c),
                    (c, _) => {
                        for unit in c.encode_utf16(&mut [0; 2]) {
                            out.push_str(&format!("\\u{unit:04X}"));
                        }
                    }
                }
            }
            out + "\""
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| written(item, escape)).collect();
            format!("[ {}]", items.join(" ,\n"))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let name = written(&Value::from(name.as_str()), escape);
                format!("{name}\t: {}", written(value, escape))
            };
            format!("{{{} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The same text in pieces as they come off a wire.
fn pieces(text: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut found) = (text, Vec::new());
    for cut in cuts.iter().cycle().take(10_000) {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*cut).min(rest.len()));
        found.push(piece.to_vec());
        rest = more;
    }
    found
}

fn replace(text: &str) -> Option<String> {
    text.starts_with("https://v3.fal.media/").then(|| "https://ours/\"é\"".to_owned())
}

fn replaced(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(replace(&text).unwrap_or(text)),
        Value::Array(items) => items.into_iter().map(replaced).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (replace(&name).unwrap_or(name), replaced(value))).collect()
        }
        other => other,
    }
}

fn names_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_of(item, found)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            found.push(name.clone());
            names_of(value, found);
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_pieces_of_a_document_are_the_document(
        value in any_json(),
        escapes in prop::collection::vec(any::<bool>(), 1..50),
        cuts in prop::collection::vec(1usize..9, 1..20),
        max_held in 0usize..30,
    ) {
        let mut coins = escapes.iter().copied().cycle();
        let text = written(&value, &mut || coins.next() == Some(true));
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        let (mut whole, mut names, mut all_whole) = (Vec::new(), Vec::new(), true);
        let mut scanner = Scanner::new(max_held);
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Plain(bytes) | Piece::Part(bytes) => whole.extend_from_slice(bytes),
            Piece::End { .. } => all_whole = false,
            Piece::Text { raw, place } => {
                assert!(raw.len() <= max_held);
                if place.is_name {
                    names.push(serde_json::from_slice::<String>(raw).unwrap());
                }
                whole.extend_from_slice(raw);
            }
        };
        for piece in pieces(text.as_bytes(), &cuts) {
            scanner.push(&piece, &mut each);
        }
        scanner.finish(&mut each);
        prop_assert_eq!(whole, text.into_bytes());
        if all_whole {
            let mut expected = Vec::new();
            names_of(&value, &mut expected);
            prop_assert_eq!(names, expected);
        }
    }

    #[test]
    fn whole_strings_are_replaced_however_they_are_written_and_cut(
        value in any_json(),
        escapes in prop::collection::vec(any::<bool>(), 1..50),
        cuts in prop::collection::vec(1usize..9, 1..20),
    ) {
        let mut coins = escapes.iter().copied().cycle();
        let text = written(&value, &mut || coins.next() == Some(true));
        let (mut out, mut rewriter) = (Vec::new(), Rewriter::new(replace));
        for piece in pieces(text.as_bytes(), &cuts) {
            rewriter.push(&piece, &mut out);
        }
        rewriter.finish(&mut out);
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), replaced(value));
    }

    #[test]
    fn a_copy_of_what_is_short_is_the_same(
        value in any_json(),
        cuts in prop::collection::vec(1usize..9, 1..20),
    ) {
        let text = value.to_string();
        let mut copy = Copy::new(1 << 20);
        pieces(text.as_bytes(), &cuts).iter().for_each(|piece| copy.push(piece));
        prop_assert_eq!(copy.into_bytes(), Some(text.into_bytes()));
    }

    #[test]
    fn any_bytes_at_all_pass(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(1usize..9, 1..9)) {
        let (mut out, mut rewriter) = (Vec::new(), Rewriter::new(|_: &str| None));
        let (mut events, mut sse) = (Vec::new(), SseRewriter::new(|_: &str| None));
        for piece in pieces(&bytes, &cuts) {
            rewriter.push(&piece, &mut out);
            sse.push(&piece, &mut events);
        }
        rewriter.finish(&mut out);
        sse.finish(&mut events);
        prop_assert_eq!(&out, &bytes);
        prop_assert_eq!(&events, &bytes);
    }
}

#[test]
fn a_copy_that_is_too_long_is_none() {
    let copy = |text: &str, max| {
        let mut copy = Copy::new(max);
        copy.push(text.as_bytes());
        copy.into_bytes()
    };
    assert_eq!(copy("[1,2,3]", 7), Some(b"[1,2,3]".to_vec()));
    assert_eq!(copy("[1,2,3]", 6), None);
    let data = format!(r#"{{"a":"data:;base64,{}","b":1}}"#, "A".repeat(50_000));
    assert_eq!(copy(&data, 100), Some(br#"{"a":{"$omitted_bytes":50013},"b":1}"#.to_vec()));
    // Nothing can stand for a member's name.
    assert_eq!(copy(&format!(r#"{{"{}":1}}"#, "n".repeat(50_000)), 100), None);
}

#[test]
fn a_document_deeper_than_is_followed_is_rewritten_all_the_same() {
    let url = "\"https://v3.fal.media/a.mp4\"";
    let deep = format!("{}{url}{},{url}", "[".repeat(5_000), "]".repeat(5_000));
    let (mut out, mut rewriter) = (Vec::new(), Rewriter::new(replace));
    rewriter.push(deep.as_bytes(), &mut out);
    rewriter.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), deep.replace(url, "\"https://ours/\\\"é\\\"\""));
}

const STREAM: &str = ": hello\r\nevent: a\r\ndata: {\"url\":\"https:\\/\\/v3.fal.media/a.mp4\"}\r\n\r\n\
    data:{\"status\":\ndata: \"https://v3.fal.media/b.mp4\"}\nid: 1\n\ndatum: \"https://v3.fal.media/c\"\n\n\
    data: not \"json\n\ndata: {\"x\":\"https://v3.fal.media/d\"}\n\n";

#[test]
fn strings_are_replaced_within_events_data_alone() {
    for len in [1, 2, 3, 5, 1000] {
        let (mut out, mut rewriter) = (Vec::new(), SseRewriter::new(replace));
        for piece in STREAM.as_bytes().chunks(len) {
            rewriter.push(piece, &mut out);
        }
        rewriter.finish(&mut out);
        let ours = "\"https://ours/\\\"é\\\"\"";
        let expected = STREAM
            .replace("\"https:\\/\\/v3.fal.media/a.mp4\"", ours)
            .replace("\"https://v3.fal.media/b.mp4\"", ours)
            .replace("\"https://v3.fal.media/d\"", ours);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{len}");
    }
}

#[test]
fn the_data_of_events_is_picked_up() {
    for len in [1, 2, 3, 5, 1000] {
        let (mut found, mut whole, mut events) = (Vec::new(), Vec::new(), Events::new(100));
        let stream = format!("{STREAM}data: {}\n\ndata: 7", "x".repeat(200));
        for piece in stream.as_bytes().chunks(len) {
            events.push(piece, &mut |event| match event {
                Event::Part(raw) => whole.extend(raw),
                Event::Whole { raw, data } => {
                    whole.extend(raw);
                    found.extend(data.map(|data| serde_json::from_slice::<Value>(&data).ok()));
                }
            });
        }
        whole.extend(events.into_rest());
        assert_eq!(whole, stream.as_bytes(), "{len}");
        let expected = [
            Some(json!({"url": "https://v3.fal.media/a.mp4"})),
            Some(json!({"status": "https://v3.fal.media/b.mp4"})),
            None,
            Some(json!({"x": "https://v3.fal.media/d"})),
        ];
        assert_eq!(found, expected, "{len}");
    }
}
