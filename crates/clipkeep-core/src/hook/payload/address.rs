//! What a text says of where a file is.

use std::borrow::Cow;

use url::Url;

/// Signed URLs may be long: those of JSON Web Tokens have many KiB.
const MAX_URL: usize = 32 * 1024;

/// Where a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// At a URL, which is written as it may be asked for.
    Url {
        text: String,
        /// Its path, for the ending that it may have.
        path: String,
    },
    /// In the text itself: a `data:` URL.
    Data(&'a str),
    /// It is said where, but not in a way that can be followed; and why not.
    Lost(&'static str),
}

impl<'a> Address<'a> {
    /// Reads a text that is a URL from its first sign to its last. `None` if it
    /// is none, a path or a name for one.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let text = trimmed(text);
        if starts(text, "data:") {
            return Some(Self::Data(text));
        }
        if starts(text, "https:") || starts(text, "http:") {
            return Some(Self::web(text));
        }
        if let Some(rest) = text.strip_prefix("//") {
            // Only what begins with a host: comments look alike.
            let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
            return (host.contains('.') && !host.contains(char::is_whitespace))
                .then(|| Self::web(&format!("https:{text}")));
        }
        let (scheme, _) = text.split_once("://")?;
        let is_scheme = scheme.len() <= 16 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        (is_scheme && !scheme.is_empty()).then_some(Self::Lost("has a URL that is not http or https"))
    }

    fn web(text: &str) -> Self {
        if text.len() > MAX_URL {
            return Self::Lost("has a URL that is too long");
        }
        let Ok(url) = Url::parse(text) else { return Self::Lost("has no valid URL") };
        if !url.has_host() {
            return Self::Lost("has no valid URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Self::Lost("has a URL with a user name in it");
        }
        let path = url.path().to_owned();
        // As it came, so that it is known again; but for what no request may hold.
        let text = if is_plain(text) { text.to_owned() } else { url.into() };
        if text.len() > MAX_URL { Self::Lost("has a URL that is too long") } else { Self::Url { text, path } }
    }
}

/// A URL whose scheme was left out: a host's name and a path. That may be a path
/// alone, so it is one only where a URL is awaited.
pub(super) fn hosted(text: &str) -> Option<Address<'static>> {
    let text = trimmed(text);
    let (host, _) = text.split_once('/').filter(|_| !text.contains(char::is_whitespace))?;
    let mut labels = host.rsplit('.');
    let is_name = labels.next().is_some_and(|top| top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic()));
    let fits = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_name && labels.clone().count() > 0 && labels.all(fits)).then(|| Address::web(&format!("https://{text}")))
}

/// The URL that is kept as the source of a file which an output says to be at
/// `text`; the text itself if it is none.
pub fn source_text(text: &str) -> Cow<'_, str> {
    match Address::of(text) {
        Some(Address::Url { text, .. }) => Cow::Owned(text),
        _ => Cow::Borrowed(text),
    }
}

/// Whether a text is an address and nothing else.
pub(in crate::hook) fn is_address(text: &str) -> bool {
    !trimmed(text).contains(char::is_whitespace) && Address::of(text).is_some()
}

/// Without what stands around it, which no reader of URLs takes for a part.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

fn starts(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Whether a request may hold it as it is. All else is encoded, as browsers and
/// curl do.
fn is_plain(text: &str) -> bool {
    text.contains("://") && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<String> {
        match Address::of(text)? {
            Address::Url { text, .. } => Some(text),
            _ => None,
        }
    }

    #[test]
    fn k09_odd_urls_are_written_as_browsers_and_curl_ask_for_them() {
        for (text, expected) in [
            ("https://h.example/My Clip.mp4", "https://h.example/My%20Clip.mp4"),
            ("https://h.example/é/日.mp4?q=ü", "https://h.example/%C3%A9/%E6%97%A5.mp4?q=%C3%BC"),
            ("https://h.example/a\tb\r\nc.mp4", "https://h.example/abc.mp4"),
            ("  https://h.example/a.mp4\n", "https://h.example/a.mp4"),
            ("\u{feff}https://h.example/a.mp4\0", "https://h.example/a.mp4"),
            ("https:\\\\h.example\\a.mp4", "https://h.example/a.mp4"),
            ("https:/h.example/a.mp4", "https://h.example/a.mp4"),
            ("https://h.example/a\"b<c>.mp4", "https://h.example/a%22b%3Cc%3E.mp4"),
            ("https://hé.example/a.mp4", "https://xn--h-bga.example/a.mp4"),
            ("//h.example/a.mp4", "https://h.example/a.mp4"),
            // What a request may hold stays as it came.
            ("HTTPS://h.example/a.mp4", "HTTPS://h.example/a.mp4"),
            ("https://h.example:443/a%20b.mp4?x=[1]#t", "https://h.example:443/a%20b.mp4?x=[1]#t"),
        ] {
            assert_eq!(url(text).as_deref(), Some(expected), "{text:?}");
            assert_eq!(source_text(text), expected);
        }
        let piped = url("https://h.example/a|b.mp4").unwrap();
        assert!(!piped.contains(' ') && Url::parse(&piped).is_ok(), "{piped}");
    }

    #[test]
    fn k11_signed_urls_may_be_long() {
        let long = |len: usize| format!("https://h.example/a.mp4?jwt={}", "x".repeat(len));
        assert_eq!(url(&long(16 * 1024)).as_deref(), Some(long(16 * 1024).as_str()));
        assert_eq!(Address::of(&long(MAX_URL)), Some(Address::Lost("has a URL that is too long")));
        let grows = format!("https://h.example/{}", "é".repeat(MAX_URL / 3));
        assert_eq!(Address::of(&grows), Some(Address::Lost("has a URL that is too long")));
    }

    #[test]
    fn what_is_no_url_or_leads_nowhere_is_told_apart() {
        for text in ["", "a cat", "a.mp4", "/files/a.mp4", "see https://h/a.mp4", "// a comment", "mailto:a", "://x"] {
            assert_eq!(Address::of(text), None, "{text}");
        }
        for text in
            ["ftp://h/a.mp4", "s3://bucket/a.mp4", "file:///a.mp4", "https://", "https://u@h/a", "http://[::1/a"]
        {
            assert!(matches!(Address::of(text), Some(Address::Lost(_))), "{text}");
        }
        assert_eq!(Address::of(" DATA:,x "), Some(Address::Data("DATA:,x")));
    }
}
