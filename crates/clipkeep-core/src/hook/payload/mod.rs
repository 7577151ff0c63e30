//! Finding the media files in a model's output, whatever its shape.
//!
//! Models put their files in hundreds of places, so the whole payload is
//! walked: an object with a string `url` is a file, and so is a plain string
//! under a key such as `video_url`. Whether a source's host may be reached is
//! judged where it is fetched, not here.

use std::collections::BTreeSet;

use url::Url;

use crate::{
    generation::{Kind, NewClip},
    hook::json::Node,
    id::{ClipKey, RequestId},
    media_type::{MediaType, essence},
    secret::SourceUrl,
};

/// A generation has no more clips than this.
pub const MAX_CLIPS: usize = 256;
const MAX_NOTES: usize = 256;
const MAX_URL: usize = 4096;
/// A slot longer than this is not looked into.
const MAX_SLOT: usize = 1024;

/// Subtrees that tell of the request, not of its output.
const SKIPPED: &[&str] = &["input", "inputs", "prompt", "metrics", "timings", "logs"];

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
    /// Its clips: videos first, then audio, then images, each in document order.
    pub(super) clips: Vec<NewClip>,
    /// The seed it tells.
    pub(super) seed: Option<i64>,
    /// Files that became no clip.
    pub(super) notes: Vec<Note>,
}

/// Collects the media of a payload. The first clip's key is the generation's
/// main one, so that a thumbnail never takes the video's name.
pub(super) fn clips(root: &Node, request_id: &RequestId) -> Media {
    let mut walk = Walk::default();
    walk.enter(root);
    let seed = root.get("seed").and_then(Node::integer);
    Media { seed, ..walk.media(request_id) }
}

/// The same for an output in which any text that is a URL is a file, wherever it
/// stands, except those of the `input`.
pub(super) fn plain_clips(output: Node, input: Option<&Node>, request_id: &RequestId) -> Media {
    let mut walk = Walk { echoes: Some(input.map(texts).unwrap_or_default()), ..Walk::default() };
    walk.node(&Node::Object(vec![("output".to_owned(), output)]));
    walk.media(request_id)
}

/// A file as a sender lists it.
pub(super) struct Listed {
    /// What it is called there, if it has a name.
    pub(super) slot: Option<String>,
    pub(super) url: String,
    pub(super) content_type: Option<String>,
}

/// The clips of a list of files.
pub(super) fn listed_clips(list: &[Listed], request_id: &RequestId) -> Media {
    let mut walk = Walk::default();
    for (index, Listed { slot, url, content_type }) in list.iter().enumerate() {
        let name = slot.as_deref().filter(|slot| slot.len() < MAX_SLOT);
        walk.slot = format!("/{}", name.map_or_else(|| format!("outputs/{index}"), pointed));
        walk.file(url, content_type.as_deref());
    }
    walk.media(request_id)
}

/// A name as a part of a JSON pointer.
fn pointed(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// All texts within a node.
fn texts(node: &Node) -> BTreeSet<&str> {
    match node {
        Node::Text(text) => BTreeSet::from([text.as_str()]),
        Node::List(items) => items.iter().flat_map(texts).collect(),
        Node::Object(members) => members.iter().flat_map(|(_, member)| texts(member)).collect(),
        _ => BTreeSet::new(),
    }
}

fn numbered(mut files: Vec<File>, request_id: &RequestId) -> Vec<NewClip> {
    files.sort_by_key(|file| match file.media.kind {
        Kind::Video => 0,
        Kind::Audio => 1,
        Kind::Image => 2,
    });
    (0..).zip(files).map(|(index, file)| file.into_clip(request_id, index)).collect()
}

struct File {
    slot: String,
    url: String,
    media: &'static MediaType,
}

impl File {
    fn into_clip(self, request_id: &RequestId, index: u32) -> NewClip {
        NewClip {
            key: ClipKey::new(request_id, index, self.media.ending),
            index,
            slot: self.slot,
            source_url: SourceUrl::new(self.url),
            kind: self.media.kind,
            content_type: self.media.name.to_owned(),
            source_expires_at: None,
        }
    }
}

#[derive(Default)]
struct Walk<'a> {
    /// The JSON pointer of where the walk stands.
    slot: String,
    files: Vec<File>,
    notes: Vec<Note>,
    /// Where any text may be a file: the texts that are none, since they were
    /// told by the request.
    echoes: Option<BTreeSet<&'a str>>,
}

impl Walk<'_> {
    fn media(self, request_id: &RequestId) -> Media {
        Media { clips: numbered(self.files, request_id), seed: None, notes: self.notes }
    }

    /// The root may itself be a URL or a list of URLs, as a plain `result` is.
    fn enter(&mut self, root: &Node) {
        self.plain(root);
        self.node(root);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::List(items) => self.each(items, Self::node),
            Node::Object(members) => self.object(node, members),
            Node::Text(text) if self.is_file(text) => self.file(text, None),
            _ => {}
        }
    }

    /// Whether a text that stands anywhere is a file.
    fn is_file(&self, text: &str) -> bool {
        let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        self.echoes.is_some() && ["https://", "http://", "data:"].into_iter().any(starts)
    }

    fn object(&mut self, node: &Node, members: &[(String, Node)]) {
        if let Some(url) = node.get("url").and_then(Node::text) {
            let content_type = ["content_type", "mime_type"].iter().find_map(|name| node.get(name)?.text());
            self.file(url, content_type);
        }
        for (name, member) in members {
            if name == "url" || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            self.below(&pointed(name), |walk| {
                if walk.echoes.is_none() && (name.ends_with("_url") || name == "output" || name == "result") {
                    walk.plain(member);
                }
                walk.node(member);
            });
        }
    }

    /// A plain string that is a file by its place, or a list of such.
    fn plain(&mut self, node: &Node) {
        match node {
            Node::Text(url) => self.file(url, None),
            Node::List(items) => self.each(items, |walk, item| {
                if let Node::Text(url) = item {
                    walk.file(url, None);
                }
            }),
            _ => {}
        }
    }

    fn each(&mut self, items: &[Node], visit: impl Fn(&mut Self, &Node)) {
        for (index, item) in items.iter().enumerate() {
            self.below(&index.to_string(), |walk| visit(walk, item));
        }
    }

    fn below(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let len = self.slot.len();
        if len + name.len() >= MAX_SLOT {
            return;
        }
        self.slot.push('/');
        self.slot.push_str(name);
        visit(self);
        self.slot.truncate(len);
    }

    fn file(&mut self, url: &str, content_type: Option<&str>) {
        let is_echo = self.echoes.as_ref().is_some_and(|echoes| echoes.contains(url));
        if is_echo || self.files.iter().any(|file| file.url == url) {
            return;
        }
        let path = match usable(url) {
            Ok(path) => path,
            Err(reason) => return self.note(reason),
        };
        let Some(media) = media_type(content_type, &path, slot_name(&self.slot)) else {
            return self.note("is no video, audio or image");
        };
        if self.files.len() == MAX_CLIPS {
            return self.note("is one file too many");
        }
        self.files.push(File { slot: self.slot.clone(), url: url.to_owned(), media });
    }

    fn note(&mut self, reason: &'static str) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Note { slot: self.slot.clone(), reason });
        }
    }
}

/// The path of a URL that could be fetched, or why it could not.
fn usable(url: &str) -> Result<String, &'static str> {
    if url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Err("is inline data, not a URL");
    }
    if url.len() > MAX_URL {
        return Err("has a URL that is too long");
    }
    // The parser would silently drop these.
    if url.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err("has no valid URL");
    }
    let parsed = Url::parse(url).map_err(|_| "has no valid URL")?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err("has a URL that is not http or https");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("has a URL with a user name in it");
    }
    Ok(parsed.path().to_owned())
}

/// The name of the slot that a file stands in: `/images/0` is `images`,
/// `/video_url` is `video`.
fn slot_name(slot: &str) -> &str {
    let is_name = |part: &&str| !part.bytes().all(|b| b.is_ascii_digit());
    let name = slot.rsplit('/').find(is_name).unwrap_or_default();
    name.strip_suffix("_url").unwrap_or(name)
}

/// What a file is that stands alone, at a URL with this path: as a webhook's
/// `video` would be taken. None if it is no media.
pub fn media_of(content_type: Option<&str>, path: &str) -> Option<&'static MediaType> {
    media_type(content_type, path, "video")
}

/// What a file is: by its content type where that tells, else by the URL's
/// ending, else by the name of its slot. None if it is no media.
fn media_type(content_type: Option<&str>, path: &str, slot_name: &str) -> Option<&'static MediaType> {
    let content_type = content_type.map(essence).filter(|name| !name.is_empty());
    let ending = path.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    if content_type.as_deref() == Some("image/svg+xml") || ending.is_some_and(is_not_media) {
        return None;
    }
    let by_ending = ending.and_then(MediaType::by_ending);
    if let Some(name) = content_type.as_deref()
        && let Some(kind) = kind_of_type(name)
    {
        let by_ending = by_ending.filter(|media| media.kind == kind);
        return MediaType::by_name(name).or(by_ending).or_else(|| Some(MediaType::default_of(kind)));
    }
    if by_ending.is_some() {
        return by_ending;
    }
    // A type that names something else beats a guess by the slot's name.
    let tells_nothing = content_type.is_none_or(|name| name.ends_with("/octet-stream"));
    kind_of_slot(slot_name).filter(|_| tells_nothing).map(MediaType::default_of)
}

/// Endings of files that stand in slots with promising names.
fn is_not_media(ending: &str) -> bool {
    ["svg", "zip", "glb", "json", "safetensors"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

fn kind_of_type(name: &str) -> Option<Kind> {
    let (top, _) = name.split_once('/')?;
    top.parse().ok()
}

/// Slot names of known models, word by word; the first kind that has any word wins.
fn kind_of_slot(name: &str) -> Option<Kind> {
    const NOT_MEDIA: &[&str] = &["zip", "config", "lora", "model", "mesh", "glb"];
    const WORDS: &[(Kind, &[&str])] = &[
        (Kind::Video, &["video", "videos", "movie", "clip", "clips"]),
        (
            Kind::Audio,
            &[
                "audio", "audios", "music", "song", "speech", "voice", "vocals", "drums", "bass", "guitar", "piano",
                "stem", "stems",
            ],
        ),
        (
            Kind::Image,
            &[
                "image",
                "images",
                "thumbnail",
                "thumbnails",
                "mask",
                "masks",
                "frame",
                "frames",
                "spritesheet",
                "poster",
                "cover",
                "photo",
            ],
        ),
    ];
    let has = |words: &[&str]| name.split(['_', '-']).any(|word| words.contains(&word));
    if has(NOT_MEDIA) {
        return None;
    }
    WORDS.iter().find(|(_, words)| has(words)).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests;
