//! Finding the media files in a model's output, whatever its shape.
//!
//! Models put their files in hundreds of places, and workflows under names of
//! their users', so the whole result is walked (`walk`): an object with a `url`
//! is a file, and so is any text that is a URL (`address`) of something which may
//! be media (`kind`), and data that stands in the result itself (`inline`). The
//! main one of them is named first (`order`). Whether a source's host may be
//! reached is judged where it is fetched, not here.

mod address;
mod inline;
mod kind;
mod names;
mod order;
mod walk;

use bytes::Bytes;

pub(super) use self::address::is_address;
pub use self::{address::source_text, inline::Inline, names::named};
use self::{
    kind::{Judged, Said, judge},
    walk::{Walk, pointed},
};
use crate::{generation::NewClip, hook::json::Node, id::RequestId, media_type::MediaType, seed::Seed};

/// A generation has no more clips than this.
pub const MAX_CLIPS: usize = 256;

/// A file of the payload that became no clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stood: a JSON pointer.
    pub slot: String,
    /// Why, in words.
    pub reason: &'static str,
}

/// What a payload holds.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// Its clips, the main one first.
    pub(super) clips: Vec<NewClip>,
    /// The bytes of those that came as data.
    pub(super) inlines: Vec<Inline>,
    /// The seed it tells.
    pub(super) seed: Option<Seed>,
    /// Files that became no clip.
    pub(super) notes: Vec<Note>,
    /// Why the result is not understood, or not all of it.
    pub(super) unread: Option<String>,
}

/// Collects the media of a payload, which stands in `body`.
pub(super) fn clips(root: &Node<'_>, body: &Bytes, request_id: &RequestId) -> Media {
    let mut walk = Walk::new(body, "");
    walk.node(root);
    let seed = root.get("seed").and_then(Node::seed);
    Media { seed, ..media(walk, request_id, None) }
}

/// The same for an output that is called so, except for the URLs of the `input`.
pub(super) fn output_clips(
    output: &Node<'_>,
    input: Option<&serde_json::Value>,
    body: &Bytes,
    request_id: &RequestId,
) -> Media {
    let mut walk = Walk::new(body, "/output");
    walk.node(output);
    media(walk, request_id, input)
}

/// A file as a sender lists it.
pub(super) struct Listed<'a> {
    /// What it is called there, if it has a name.
    pub(super) slot: Option<&'a str>,
    pub(super) url: &'a str,
    pub(super) content_type: Option<&'a str>,
}

/// The clips of a list of files, which stands in `body`.
pub(super) fn listed_clips(list: &[Listed<'_>], body: &Bytes, request_id: &RequestId) -> Media {
    let mut walk = Walk::new(body, "");
    for (index, Listed { slot, url, content_type }) in list.iter().enumerate() {
        let slot = slot.map_or_else(|| format!("outputs/{index}"), |slot| pointed(slot).into_owned());
        walk.at(&slot, |walk| walk.file(url, Said { content_type: *content_type, file_name: None }));
    }
    media(walk, request_id, None)
}

fn media(walk: Walk, request_id: &RequestId, input: Option<&serde_json::Value>) -> Media {
    let Walk { mut files, inlines, notes, unknown, empty, .. } = walk;
    if let Some(input) = input {
        let echoes = names::urls_of(input);
        files.retain(|file| !echoes.contains(file.source.expose()));
    }
    let empty = empty.filter(|_| files.is_empty());
    let unread = unknown.or(empty).map(|Note { slot, reason }| {
        let what = if slot.is_empty() { "the result" } else { slot.as_str() };
        format!("{what} {reason}")
    });
    Media { clips: order::numbered(files, request_id), inlines, seed: None, notes, unread }
}

/// What a file is that stands alone, at a URL with this path: as a webhook's
/// `video` would be taken. None if it is no media.
pub fn media_of(content_type: Option<&str>, path: &str) -> Option<&'static MediaType> {
    match judge(Said { content_type, file_name: None }, path, "video") {
        Judged::Media(media) => Some(media),
        Judged::NoMedia | Judged::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
