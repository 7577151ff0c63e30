//! A provider's words, made fit to be shown: short, and without its URLs.

/// The most bytes of a provider's error that are kept.
const MAX_LEN: usize = 2048;

/// The text with every URL and host name replaced, control characters turned
/// into spaces, cut to 2 KiB. A source's address must not reach a user by way
/// of an error message (invariant 2).
pub(super) fn redact(text: &str) -> String {
    // Work is bounded by what can be kept, not by what came.
    let text = cut(text, 2 * MAX_LEN);
    let mut out = String::with_capacity(text.len().min(MAX_LEN));
    let is_edge = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>()[]{},;|".contains(c);
    for piece in text.split_inclusive(is_edge) {
        let word = piece.trim_end_matches(is_edge);
        out.push_str(if is_address(word) { "[url]" } else { word });
        out.extend(piece[word.len()..].chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    cut(out.trim(), MAX_LEN).to_owned()
}

fn is_address(word: &str) -> bool {
    let has_scheme = word.contains("://") || word.contains(":\\/\\/") || word.contains("%3A%2F%2F");
    if has_scheme || word.starts_with("//") || word.starts_with("data:") {
        return true;
    }
    // `host=v3.fal.media:443` and `url:v3.fal.media/x` too.
    word.split(['=', ':', '@']).any(is_host)
}

/// `a.example.com`, or `example.com/…`. A file name such as `out.mp4` is none.
fn is_host(word: &str) -> bool {
    let (host, has_path) = match word.split_once(['/', '?']) {
        Some((host, _)) => (host, true),
        None => (word, false),
    };
    let host = host.trim_end_matches(['.', '!']);
    let labels: Vec<&str> = host.split('.').collect();
    let fits = |label: &&str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let ends_in_name = labels.last().is_some_and(|l| l.len() >= 2 && l.bytes().all(|b| b.is_ascii_alphabetic()));
    let enough = if has_path { 2 } else { 3 };
    labels.len() >= enough && ends_in_name && labels.iter().all(fits)
}

/// The longest prefix of whole characters within `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text), expected);
    }

    #[test]
    fn addresses_are_taken_out() {
        check("could not load https://v3.fal.media/files/x.mp4?a=1, sorry", "could not load [url], sorry");
        check("get \"http://10.0.0.1:80/x\": timed out", "get \"[url]\": timed out");
        check("(see //v3.fal.media/x)", "(see [url])");
        check("could not resolve v3.fal.media.", "could not resolve [url]");
        check("fal.media/files/x is gone", "[url] is gone");
        check("connect to v3b.fal.media:443 failed", "connect to [url] failed");
        check("host=v3b.fal.media", "[url]");
        check("{\"url\":\"https:\\/\\/v3.fal.media\\/x\"}", "{\"url\":\"[url]\"}");
        check("bad input data:image/png;base64,AAAA", "bad input [url];base64,AAAA");
    }

    #[test]
    fn plain_words_stay() {
        check("Invalid status code: 422", "Invalid status code: 422");
        check("out.mp4 and/or x.webm, e.g. 1.5/2.0", "out.mp4 and/or x.webm, e.g. 1.5/2.0");
        check("a\nb\u{0}c", "a b c");
    }

    #[test]
    fn the_length_is_bounded() {
        assert_eq!(redact(&"é".repeat(10_000)).len(), MAX_LEN);
        assert!(redact(&"x ".repeat(1 << 20)).len() <= MAX_LEN);
    }
}
