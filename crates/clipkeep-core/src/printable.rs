//! Text of others where it is shown: what moves a terminal's cursor, hides
//! itself, or turns the direction of what follows is written out.

use std::borrow::Cow;

/// Whether a terminal would obey it, or a reader not see it: control characters
/// (C0, DEL, C1), line and paragraph separators, marks of direction, characters
/// without width, tags.
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The text on one line, with `\u{1b}` and the like for what is hidden.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// A JSON text of the same meaning in which nothing is hidden: what is stands in
/// its strings, and as `\u202e` there.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_hidden(c) && !c.is_ascii_whitespace() {
            true => shown.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h04_json_says_the_same_with_nothing_hidden_in_it() {
        for text in ["a red fox, 狐", "\u{9b}2J\u{7f}", "mp4.\u{202e}gnp\u{2066}", "\u{e0041}\u{1f98a}", "a\nb\"\\"] {
            let json = serde_json::json!({ text: [text] });
            for written in [serde_json::to_string(&json).unwrap(), serde_json::to_string_pretty(&json).unwrap()] {
                let shown = printable_json(&written);
                assert!(!shown.chars().any(|c| is_hidden(c) && c != '\n'), "{shown}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
            }
        }
        assert_eq!(printable_json("\"\u{e0041}\u{9b}\""), "\"\\udb40\\udc41\\u009b\"");
    }

    #[test]
    fn h04_what_a_terminal_would_obey_is_written_out() {
        for (text, shown) in [
            ("a red fox, ein Füchslein, 狐, 🦊", "a red fox, ein Füchslein, 狐, 🦊"),
            ("a\u{1b}[31mb\u{7}", "a\\u{1b}[31mb\\u{7}"),
            ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}"),
            ("one\r\ntwo\t.", "one\\r\\ntwo\\t."),
            ("mp4.\u{202e}gnp", "mp4.\\u{202e}gnp"),
            ("\u{2066}a\u{200b}b\u{feff}", "\\u{2066}a\\u{200b}b\\u{feff}"),
            ("\0\u{7f}\u{e0041}\u{2028}", "\\u{0}\\u{7f}\\u{e0041}\\u{2028}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
