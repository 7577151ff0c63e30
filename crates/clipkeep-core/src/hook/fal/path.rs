//! The one shape of a path at fal: `[namespace/]owner/app[/more…]` is a model,
//! and `requests/{id}[/…]` behind one asks after a generation.

use crate::id::RequestId;

/// First segments that stand before owner and app.
const NAMESPACES: &[&str] = &["workflows", "comfy"];
/// What stands between a model and a request's id.
const REQUESTS: &str = "requests";

/// A path that means one thing to whoever reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FalPath<'a> {
    pub(crate) model: Vec<&'a str>,
    /// How many of them are namespace, owner and app.
    pub(crate) app: usize,
    /// The generation that is asked after, and what is asked.
    pub(crate) request: Option<(RequestId, Vec<&'a str>)>,
}

impl<'a> FalPath<'a> {
    /// Reads a path without its first slash; one at its end is passed over.
    /// `requests` stands once at most, in small letters, with an id behind it:
    /// with two of them, fal and we could differ on whose generation is meant.
    pub(crate) fn read(path: &'a str) -> Option<Self> {
        let mut segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        if !segments.iter().all(|segment| is_segment(segment)) {
            return None;
        }
        let app = 2 + usize::from(NAMESPACES.contains(&segments[0]));
        let mut asks = (0..segments.len()).filter(|at| segments[*at].eq_ignore_ascii_case(REQUESTS));
        let (at, more) = (asks.next(), asks.next());
        let request = match at {
            None => None,
            Some(at) if at >= app && more.is_none() && segments[at] == REQUESTS => {
                let rest = segments.split_off(at);
                let id = rest.get(1)?.parse().ok()?;
                Some((id, rest[2..].to_vec()))
            }
            Some(_) => return None,
        };
        (segments.len() >= app).then_some(Self { model: segments, app, request })
    }
}

/// Whether it stands in a URL's path as it is, and leads nowhere else.
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !text.bytes().all(|byte| byte == b'.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_a_path_has_one_shape() {
        let read = |path: &str| {
            let FalPath { model, request, .. } = FalPath::read(path)?;
            Some((model.join("/"), request.map(|(id, rest)| format!("{id} {}", rest.join("/")))))
        };
        for (path, model, request) in [
            ("fal-ai/veo3", "fal-ai/veo3", None),
            ("fal-ai/flux/dev/", "fal-ai/flux/dev", None),
            ("workflows/me/mine", "workflows/me/mine", None),
            ("fal-ai/veo3/requests/a/status/stream", "fal-ai/veo3", Some("a status/stream")),
            ("fal-ai/flux/dev/requests/a", "fal-ai/flux/dev", Some("a ")),
        ] {
            assert_eq!(read(path), Some((model.to_owned(), request.map(str::to_owned))), "{path}");
        }
        for path in [
            "fal-ai/veo3/requests/BOB/requests/ALICE",
            "fal-ai/veo3/requests/requests/ALICE",
            "fal-ai/requests/BOB",
            "requests/BOB/requests/ALICE",
            "x/requests/BOB",
            "workflows/x/requests/BOB",
            "fal-ai/veo3/Requests/BOB",
            "fal-ai/veo3/requests/BOB/REQUESTS/ALICE",
            "fal-ai/veo3/requests",
            "fal-ai/veo3/requests/",
            "fal-ai/veo3//requests/BOB",
            "fal-ai/veo3/../requests/BOB",
            "fal-ai/veo3/requests/%42OB",
            "fal-ai",
            "workflows/x",
            "",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
