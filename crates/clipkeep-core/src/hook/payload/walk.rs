//! The walk through a result, and what is an output of it.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    MAX_CLIPS, Note,
    address::{Address, trimmed},
    inline::{DataUrl, Inline, looks_like_base64},
    kind::{Judged, Said, judge, kind_of_slot, words_of},
    order::name_of,
};
use crate::{
    hook::json::Node,
    media_type::MediaType,
    proxy::OMITTED,
    secret::SourceUrl,
    sniff::{Sniffed, sniff},
};

pub(super) const MAX_NOTES: usize = 256;
/// A slot is not written longer than this.
pub(super) const MAX_SLOT: usize = 1024;
/// How often JSON may stand in a string within JSON.
const MAX_QUOTED: u32 = 4;

/// Subtrees that tell of the request, not of its output.
const SKIPPED: &[&str] = &["input", "inputs", "prompt", "metrics", "timings", "logs"];
/// Words in the names of links that lead to no output, unless their ending says so.
const NO_OUTPUT: &[&str] = &[
    "status",
    "response",
    "cancel",
    "queue",
    "webhook",
    "callback",
    "log",
    "logs",
    "doc",
    "docs",
    "documentation",
    "help",
    "homepage",
    "website",
    "site",
    "page",
    "terms",
    "license",
    "licence",
    "policy",
    "privacy",
    "dashboard",
    "api",
    "endpoint",
    "repo",
    "repository",
    "github",
    "huggingface",
    "paper",
    "blog",
    "card",
    "support",
    "pricing",
    "next",
    "previous",
    "self",
    "schema",
    "readme",
];

/// Slots of these names hold a file, and no word on one.
const PROMISING: &[&str] = &["video", "videos", "image", "images", "audio", "audios", "movie", "clip", "music", "song"];

/// What is to be done next.
enum Step<'n> {
    Look(&'n Node<'n>),
    Enter(Cow<'n, str>),
    Leave(usize),
}

/// A file that is an output.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) slot: String,
    pub(super) source: SourceUrl,
    /// What it is; none where only its content can tell.
    pub(super) media: Option<&'static MediaType>,
}

/// What a walk came by.
#[derive(Debug, Default)]
pub(super) struct Walk {
    body: Bytes,
    /// The JSON pointer of where it stands.
    slot: String,
    quoted: u32,
    pub(super) files: Vec<Found>,
    pub(super) inlines: Vec<Inline>,
    pub(super) notes: Vec<Note>,
    /// Why something that is an output, or may hold one, became no clip.
    pub(super) unknown: Option<Note>,
    /// Why something that is called after an output, or is a file, is none.
    pub(super) empty: Option<Note>,
}

impl Walk {
    /// A walk through what stands in `body`, beginning at a slot.
    pub(super) fn new(body: &Bytes, slot: &str) -> Self {
        Self { body: body.clone(), slot: slot.to_owned(), ..Self::default() }
    }

    /// Goes through a node and all that is in it. Not by recursion: results may
    /// be nested deeply, and JSON may stand in strings of theirs.
    pub(super) fn node(&mut self, root: &Node<'_>) {
        let mut steps = vec![Step::Look(root)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Look(node) => self.look(node, &mut steps),
                Step::Enter(name) => self.enter(&name),
                Step::Leave(len) => self.slot.truncate(len),
            }
        }
    }

    fn look<'n>(&mut self, node: &'n Node<'_>, steps: &mut Vec<Step<'n>>) {
        let len = self.slot.len();
        let mut below = |name: Cow<'n, str>, node: &'n Node<'_>| {
            steps.extend([Step::Leave(len), Step::Look(node), Step::Enter(name)]);
        };
        match node {
            Node::List(items) => {
                items.iter().enumerate().rev().for_each(|(index, item)| below(index.to_string().into(), item));
            }
            Node::Object(_) if node.get(OMITTED).is_some() => self.cannot("was left out of a result that is too large"),
            Node::Object(members) => {
                let url = self.url_of(node);
                for (name, member) in members.iter().rev() {
                    if Some(name.as_ref()) != url && !SKIPPED.contains(&name.as_ref()) {
                        below(pointed(name), member);
                    }
                }
            }
            Node::Text(text) => self.text(text),
            Node::Beyond => self.cannot("is nested too deeply, or stands behind too much"),
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }

    /// If an object is a file, takes it, and answers which member its URL is.
    fn url_of(&mut self, node: &Node<'_>) -> Option<&'static str> {
        let told = |names: &[&str]| names.iter().find_map(|name| node.get(name)?.text());
        let name = ["url", "uri"].into_iter().find(|name| told(&[name]).is_some())?;
        let content_type = told(&["content_type", "mime_type", "contentType", "mimeType", "media_type"]);
        let file_name = told(&["file_name", "filename", "fileName", "name"]);
        self.file(told(&[name])?, Said { content_type, file_name });
        Some(name)
    }

    /// Does something at a slot further in.
    pub(super) fn at(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let len = self.slot.len();
        self.enter(name);
        work(self);
        self.slot.truncate(len);
    }

    fn enter(&mut self, name: &str) {
        if self.slot.len() + name.len() < MAX_SLOT {
            self.slot.push('/');
            self.slot.push_str(name);
        }
    }

    /// A file: whatever it holds is an output.
    pub(super) fn file(&mut self, url: &str, said: Said<'_>) {
        match Address::of(url) {
            Some(Address::Url { text, path }) => match judge(said, &path, name_of(&self.slot)) {
                Judged::Media(media) => self.found(SourceUrl::new(text), Some(media)),
                Judged::Unknown if said.content_type.is_none() && self.is_link() => self.note("is a link, no output"),
                Judged::Unknown => self.found(SourceUrl::new(text), None),
                Judged::NoMedia => self.hollow("is no media"),
            },
            Some(Address::Data(text)) => self.data(text, said.content_type),
            Some(Address::Lost(reason)) => self.cannot(reason),
            None if trimmed(url).is_empty() => self.hollow("has no URL"),
            None => self.cannot("has no valid URL"),
        }
    }

    /// A text: an output if it is the URL of one, or its data.
    fn text(&mut self, text: &str) {
        let said = trimmed(text);
        if self.quoted < MAX_QUOTED && is_json_with_urls(said) {
            return self.json(text);
        }
        if is_list_of_urls(said) {
            return said.split_whitespace().for_each(|url| self.link(url));
        }
        self.link(text);
    }

    /// JSON in a string, if it is some.
    fn json(&mut self, text: &str) {
        match Node::read(trimmed(text).as_bytes()) {
            Ok(node) => {
                self.quoted += 1;
                self.node(&node);
                self.quoted -= 1;
            }
            Err(_) => self.words(text),
        }
    }

    /// A text that stands alone. Which are links to something else, names and
    /// endings say; whatever is left, its content decides.
    fn link(&mut self, text: &str) {
        let name = name_of(&self.slot);
        match Address::of(text) {
            Some(Address::Url { text: url, path }) => match judge(Said::default(), &path, name) {
                Judged::Media(media) => self.found(SourceUrl::new(url), Some(media)),
                Judged::NoMedia => self.note("is no media"),
                // Prose may begin with a URL.
                Judged::Unknown if trimmed(text).contains(char::is_whitespace) => self.note("is no URL of a file"),
                Judged::Unknown if self.is_link() => self.note("is a link, no output"),
                Judged::Unknown => self.found(SourceUrl::new(url), None),
            },
            Some(Address::Data(text)) => self.data(text, None),
            Some(Address::Lost(reason)) if kind_of_slot(name).is_some() => self.cannot(reason),
            Some(Address::Lost(reason)) => self.note(reason),
            None => self.words(text),
        }
    }

    /// Whether the slot is called after what is no output.
    fn is_link(&self) -> bool {
        words_of(name_of(&self.slot)).any(|word| NO_OUTPUT.iter().any(|known| word.eq_ignore_ascii_case(known)))
    }

    /// A text that is no URL: words of a model's, or bytes in bare base64.
    fn words(&mut self, text: &str) {
        let said = trimmed(text);
        if looks_like_base64(said)
            && let Some(inline) = Inline::bare(said, &self.body)
            && let Sniffed::Media(media) = sniff(&inline.head())
        {
            return self.inline(inline, media);
        }
        if PROMISING.iter().any(|known| name_of(&self.slot).eq_ignore_ascii_case(known)) {
            self.hollow("holds a text that is no URL");
        }
    }

    fn data(&mut self, text: &str, content_type: Option<&str>) {
        let Some(url) = DataUrl::read(text) else { return self.cannot("holds data that breaks off") };
        let Some(inline) = url.decode(&self.body) else { return self.cannot("holds data that cannot be decoded") };
        let said = if url.content_type.is_empty() { content_type } else { Some(url.content_type) };
        // What its slot is called is no evidence: these are all the bytes there are.
        let judged = judge(Said { content_type: said, file_name: None }, "", "");
        match (sniff(&inline.head()), judged) {
            (Sniffed::Media(media), _) => self.inline(inline, media),
            (Sniffed::Unknown, Judged::Media(media)) => self.inline(inline, media),
            // Some formats are text.
            (Sniffed::NotMedia(_), Judged::Media(media)) if said.and_then(MediaType::by_name).is_some() => {
                self.inline(inline, media);
            }
            (Sniffed::NotMedia(_), Judged::NoMedia) => self.hollow("holds data that is no media"),
            _ => self.cannot("holds data of no known media type"),
        }
    }

    fn inline(&mut self, inline: Inline, media: &'static MediaType) {
        let (source, before) = (inline.source(), self.files.len());
        self.found(source, Some(media));
        if self.files.len() > before {
            self.inlines.push(inline);
        }
    }

    fn found(&mut self, source: SourceUrl, media: Option<&'static MediaType>) {
        if let Some(known) = self.files.iter_mut().find(|file| file.source == source) {
            // Whoever knows what it is says so.
            known.media = known.media.or(media);
            return;
        }
        if self.files.len() == MAX_CLIPS {
            return self.cannot("is one file too many");
        }
        self.files.push(Found { slot: self.slot.clone(), source, media });
    }

    /// An output is here, or may be, and nothing can be made of it.
    fn cannot(&mut self, reason: &'static str) {
        self.note(reason);
        self.unknown.get_or_insert_with(|| Note { slot: self.slot.clone(), reason });
    }

    /// A file is here that is none to be kept.
    fn hollow(&mut self, reason: &'static str) {
        self.note(reason);
        self.empty.get_or_insert_with(|| Note { slot: self.slot.clone(), reason });
    }

    fn note(&mut self, reason: &'static str) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Note { slot: self.slot.clone(), reason });
        }
    }
}

/// A name as a part of a JSON pointer.
pub(super) fn pointed(name: &str) -> Cow<'_, str> {
    match name.contains(['~', '/']) {
        true => name.replace('~', "~0").replace('/', "~1").into(),
        false => name.into(),
    }
}

/// Whether it may be JSON that is worth a look.
fn is_json_with_urls(text: &str) -> bool {
    let is_nested = text.starts_with(['{', '[']) && text.ends_with(['}', ']']);
    is_nested && (text.contains("//") || text.contains(r"\/\/") || text.contains("data:"))
}

/// Whether it is several URLs with white space between.
fn is_list_of_urls(text: &str) -> bool {
    let is_url = |part: &str| part.starts_with("https://") || part.starts_with("http://");
    is_url(text) && text.contains(char::is_whitespace) && text.split_whitespace().all(is_url)
}
