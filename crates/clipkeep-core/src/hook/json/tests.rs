use serde_json::json;

use super::*;

fn value(text: &[u8]) -> Option<Value> {
    Node::read(text).ok().map(Node::into_value)
}

fn check(text: &str, expected: Value) {
    assert_eq!(value(text.as_bytes()), Some(expected), "{text}");
}

#[test]
fn json_is_read_as_it_is() {
    for text in [
        "null",
        "true",
        "-1.5e3",
        "18446744073709551615",
        "\"\"",
        "[]",
        "{}",
        "[[], {}, [1, [2]]]",
        r#"{"a": {"b": [null, false, "x"]}, "c": {}, "\u00e9\n\"\\\/": "\ud83d\ude00"}"#,
        " [ 1 ,\t2\n,\r3 ] ",
    ] {
        assert_eq!(value(text.as_bytes()), serde_json::from_str(text).ok(), "{text}");
    }
}

#[test]
fn k14_what_python_writes_is_read() {
    check(r#"{"a": NaN, "b": [Infinity, -Infinity], "seed": 7}"#, json!({"a": null, "b": [null, null], "seed": 7}));
    check(r#"[nan, -NaN, inf, -inf, +Infinity]"#, json!([null, null, null, null, null]));
}

#[test]
fn k14_odd_strings_are_read() {
    check(r#""a\ud800b""#, json!("a\u{fffd}b"));
    check(r#""\udc00\ud800\u0041\ud83d""#, json!("\u{fffd}\u{fffd}A\u{fffd}"));
    check(r#""\uZZ""#, json!("\u{fffd}ZZ"));
    check("\"a\nb\tc\u{1}\u{7f}\"", json!("a\nb\tc\u{1}\u{7f}"));
    check(r#""\x\'""#, json!("x'"));
    assert_eq!(value(b"\"a\xff\xfeb\""), Some(json!("a\u{fffd}\u{fffd}b")));
    assert_eq!(value(b"\"\\n\xc3\""), Some(json!("\n\u{fffd}")));
}

#[test]
fn k14_a_mark_of_order_trailing_commas_and_zeros_do_no_harm() {
    check("\u{feff}{\"a\": [1, 2,], }", json!({"a": [1, 2]}));
    check("{}\n\0\0", json!({}));
    check("{\"a\": 1, \"a\": 2}", json!({"a": 2}));
}

#[test]
fn what_is_no_json_is_none() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1 2]",
        "{\"a\"}",
        "{\"a\" 1}",
        "{a: 1}",
        "{'a': 1}",
        "[,]",
        "\"a",
        "\"a\\",
        "\"\\u12",
        "nul",
        "{} x",
        "{}{}",
        "]",
        "[}",
        "-",
        ".",
        "1.2.3",
        "<html>",
        "truely",
        "[1,,2]",
    ] {
        assert_eq!(value(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn k14_nothing_is_too_deep_or_too_much_to_be_passed_over() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = |text: &str| {
        let mut node = Node::read(text.as_bytes()).unwrap();
        let mut depth = 0;
        while let Node::List(mut items) = node {
            depth += 1;
            node = items.pop().unwrap_or(Node::Null);
        }
        (depth, node == Node::Beyond)
    };
    assert_eq!(deep(&nested(MAX_DEPTH)), (MAX_DEPTH, false));
    assert_eq!(deep(&nested(MAX_DEPTH + 1)), (MAX_DEPTH, true));
    assert_eq!(deep(&nested(1_000_000)), (MAX_DEPTH, true));
    let tail = format!(r#"{{"a": {}, "b": "[]"}}"#, nested(100_000));
    assert_eq!(Node::read(tail.as_bytes()).unwrap().get("b").unwrap().text(), Some("[]"));
    assert!(serde_json::from_str::<Value>(&value(nested(500).as_bytes()).unwrap().to_string()).is_ok());
    let many = format!("[{}\"last\"]", "1,".repeat(MAX_NODES + 10));
    let Node::List(items) = Node::read(many.as_bytes()).unwrap() else { panic!("a list") };
    assert_eq!((items.len(), items.last()), (MAX_NODES + 1, Some(&Node::Beyond)));
}

#[test]
fn a_string_without_escapes_is_not_copied() {
    let text = br#"["plain", "esc\/aped"]"#;
    let Node::List(items) = Node::read(text).unwrap() else { panic!("a list") };
    assert!(matches!(items[0], Node::Text(Cow::Borrowed("plain"))));
    assert!(matches!(&items[1], Node::Text(Cow::Owned(text)) if text == "esc/aped"));
}
