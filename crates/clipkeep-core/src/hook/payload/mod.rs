//! Finding the media files in a model's output, whatever its shape.
//!
//! Models put their files in hundreds of places, and workflows under names of
//! their users', so the whole result is walked (`walk`): an object with a `url`
//! is a file, and so is any text that is a URL (`address`) of something which may
//! be media (`kind`), and data that stands in the result itself (`inline`). The
//! main one of them is named first (`order`). Whether a source's host may be
//! reached is judged where it is fetched, not here.

mod address;
mod data;
mod declared;
mod encoding;
mod inline;
mod kind;
mod link;
mod names;
mod order;
mod prose;
mod walk;

use bytes::Bytes;

pub(super) use self::{address::is_address, encoding::is_data};
pub use self::{address::source_text, inline::Inline, names::named};
use self::{
    declared::Declared,
    kind::{Judged, Place, Said, judge},
    walk::{Walk, pointed},
};
use crate::{
    generation::{Kind, NewClip},
    hook::json::Node,
    id::RequestId,
    media_type::MediaType,
    seed::Seed,
};

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
    pub(super) seed: Option<Seed>,
    /// Files that became no clip.
    pub(super) notes: Vec<Note>,
    /// Why the result is not understood, or not all of it.
    pub(super) unread: Option<String>,
}

impl Media {
    /// Whether there is an output, be it understood or not.
    pub(super) const fn is_told(&self) -> bool {
        !self.clips.is_empty() || self.unread.is_some()
    }
}

/// What counts of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Whatever may be an output.
    All,
    /// Only what is surely media: it stands beside a failure, or beside a result.
    Sure,
}

/// Collects the media of a payload, which stands in `body`.
pub(super) fn clips(root: &Node<'_>, scope: Scope, body: &Bytes, request_id: &RequestId) -> Media {
    let begin = || match scope {
        Scope::All => Walk::new(body, ""),
        Scope::Sure => Walk::new(body, "").only_sure(),
    };
    let mut walk = begin();
    walk.node(root);
    if walk.has_only_inputs && scope == Scope::All {
        // Users call outputs so, too.
        let mut again = begin().with_inputs();
        again.node(root);
        walk = again;
    }
    let seed = root.get("seed").and_then(Node::seed);
    Media { seed, ..media(walk, request_id) }
}

/// The same for an output that is called so, except for the URLs of the `input`.
pub(super) fn output_clips(
    output: &Node<'_>,
    scope: Scope,
    input: Option<&serde_json::Value>,
    body: &Bytes,
    request_id: &RequestId,
) -> Media {
    let walk = Walk::new(body, "/output");
    let mut walk = if scope == Scope::Sure { walk.only_sure() } else { walk };
    walk.echoes = input.map(names::urls_of).unwrap_or_default();
    walk.node(output);
    media(walk, request_id)
}

/// The clips of outputs that a sender lists, which stand in `body`: URLs, objects
/// with a `url` that may say what they are called (`slot`), or whatever else.
pub(super) fn listed_clips(outputs: &Node<'_>, scope: Scope, body: &Bytes, request_id: &RequestId) -> Media {
    let mut walk = Walk::new(body, "");
    match outputs {
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                listed(&mut walk, item, || format!("outputs/{index}"));
            }
        }
        item => listed(&mut walk, item, || "outputs".to_owned()),
    }
    let is_heard = !walk.files.is_empty() || walk.unknown.is_some() || walk.empty.is_some();
    if !is_heard && scope == Scope::All {
        walk.at("outputs", |walk| walk.cannot("holds nothing that is understood"));
    }
    media(walk, request_id)
}

fn listed(walk: &mut Walk, item: &Node<'_>, place: impl Fn() -> String) {
    let slot = item.get("slot").and_then(Node::text);
    let slot = slot.map_or_else(place, |slot| pointed(slot).into_owned());
    let Declared { said, url, .. } = Declared::of(item);
    let url = item.text().or(url.map(|(_, url)| url)).filter(|url| prose::listed(url).is_none());
    walk.at(&slot, |walk| match url {
        Some(url) => walk.file(url, said),
        None => walk.node(item),
    });
}

fn media(walk: Walk, request_id: &RequestId) -> Media {
    let Walk { mut files, inlines, notes, unknown, empty, echoes, .. } = walk;
    files.retain(|file| !echoes.contains(file.source.expose()));
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
    let place = Place { kind: Some(Kind::Video), is_file: false };
    match judge(Said { content_type, file_name: None }, path, place) {
        Judged::Media(media) => Some(media),
        Judged::NoMedia | Judged::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
