//! The walk through a result, and what is an output of it.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;

use super::{
    MAX_CLIPS, Note,
    address::{Address, hosted, trimmed},
    declared::Declared,
    inline::Inline,
    kind::{Judged, Place, Said, is_of_bytes, judge},
    link::is_link,
    order::name_of,
    prose,
};
use crate::{hook::json::Node, media_type::MediaType, proxy::OMITTED, secret::SourceUrl};

pub(super) const MAX_NOTES: usize = 256;
/// A slot is not written longer than this.
pub(super) const MAX_SLOT: usize = 1024;
/// How often JSON may stand in a string within JSON.
const MAX_QUOTED: u32 = 4;

const TOO_DEEP: &str = "is nested too deeply, or stands behind too much";

/// What was put in: passed over where anything else is there.
pub(super) const INPUTS: &[&str] = &["input", "inputs"];
/// Subtrees that tell of the request. Users call outputs so, too: what is surely
/// media is one.
pub(super) const OF_REQUEST: &[&str] = &["prompt", "metrics", "timings", "logs"];
/// What of a failure tells why it failed.
const OF_FAILURE: &[&str] = &["detail", "error", "errors", "traceback"];

/// What is to be done next.
enum Step<'n> {
    Look(&'n Node<'n>, Around<'n>),
    Enter(Cow<'n, str>),
    Leave(usize),
    /// All of an object that announces a file was looked at; so much was seen before.
    Close(usize, Around<'n>),
}

/// What stands around a node.
#[derive(Clone, Copy, Default)]
struct Around<'n> {
    /// What the object that it is a member of says of bytes in it.
    bytes: Option<&'n str>,
    /// Whether it tells of the request.
    is_request: bool,
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
    pub(super) body: Bytes,
    /// The JSON pointer of where it stands.
    pub(super) slot: String,
    /// The URLs that were put in.
    pub(super) echoes: BTreeSet<String>,
    quoted: u32,
    /// Whether only what is surely media counts here.
    is_strict: bool,
    is_sure: bool,
    takes_inputs: bool,
    /// Whether there was something to pass over, and nothing that could be read.
    pub(super) has_only_inputs: bool,
    has_text: bool,
    /// How much it came by.
    seen: usize,
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

    /// One for which only what is surely media counts, and a failure's words do not.
    pub(super) fn only_sure(self) -> Self {
        Self { is_strict: true, is_sure: true, ..self }
    }

    /// One that takes what stands under `inputs`, too, where it is surely media.
    pub(super) fn with_inputs(self) -> Self {
        Self { takes_inputs: true, ..self }
    }

    /// Goes through a node and all that is in it. Not by recursion: results may
    /// be nested deeply, and JSON may stand in strings of theirs.
    pub(super) fn node(&mut self, root: &Node<'_>) {
        let is_strict = self.is_strict;
        let mut steps = vec![Step::Look(root, Around { bytes: None, is_request: is_strict })];
        while let Some(step) = steps.pop() {
            match step {
                Step::Look(node, around) => {
                    self.is_strict = around.is_request;
                    self.look(node, around, &mut steps);
                }
                Step::Enter(name) => self.enter(&name),
                Step::Leave(len) => self.slot.truncate(len),
                Step::Close(seen, around) if seen == self.seen => {
                    self.is_strict = around.is_request;
                    self.hollow("names a file without a URL");
                }
                Step::Close(..) => {}
            }
        }
        self.is_strict = is_strict;
        self.has_only_inputs &= self.seen == 0 && !self.has_text;
    }

    fn look<'n>(&mut self, node: &'n Node<'_>, around: Around<'n>, steps: &mut Vec<Step<'n>>) {
        let len = self.slot.len();
        let mut below = |name: Cow<'n, str>, node: &'n Node<'_>, around| {
            steps.extend([Step::Leave(len), Step::Look(node, around), Step::Enter(name)]);
        };
        match node {
            Node::List(items) => {
                self.numbers(items);
                let items = items.iter().enumerate().rev().filter(|(_, item)| !matches!(item, Node::Number(_)));
                items.for_each(|(index, item)| below(index.to_string().into(), item, around));
            }
            Node::Object(_) if node.get(OMITTED).is_some() => self.cannot("was left out of a result that is too large"),
            Node::Object(members) => {
                let told = Declared::of(node);
                let seen = self.seen;
                if let Some((_, url)) = told.url {
                    self.file(url, told.said);
                } else if told.is_announced || (told.is_awaited && self.place().is_file) {
                    steps.push(Step::Close(seen, around));
                }
                for (name, member) in members.iter().rev() {
                    let is_url = told.url.is_some_and(|(url, _)| url == name);
                    let bytes = told.bytes.filter(|said| member.text() != Some(said));
                    let around = Around { bytes, ..around };
                    let Some(around) = self.around(name, member, around).filter(|_| !is_url) else { continue };
                    steps.extend([Step::Leave(len), Step::Look(member, around), Step::Enter(pointed(name))]);
                }
            }
            Node::Text(text) => self.text(text, around.bytes),
            Node::Beyond => self.cannot(TOO_DEEP),
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }

    /// What stands around the member of this name; `None` if it is passed over.
    fn around<'n>(&mut self, name: &str, member: &Node<'_>, around: Around<'n>) -> Option<Around<'n>> {
        let strict = Around { is_request: true, ..around };
        if INPUTS.contains(&name) {
            self.has_only_inputs = !self.takes_inputs;
            return Some(strict).filter(|_| self.takes_inputs);
        }
        if self.is_sure && OF_FAILURE.contains(&name) {
            return None;
        }
        if !OF_REQUEST.contains(&name) {
            return Some(around);
        }
        // Models repeat a prompt, and one may be a URL.
        Some(strict).filter(|_| name != "prompt" || !matches!(member, Node::Text(_)))
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

    /// What the place says where it stands. Of what tells of a request, nothing.
    fn place(&self) -> Place {
        if self.is_strict { Place::default() } else { Place::called(name_of(&self.slot)) }
    }

    /// A file: whatever it holds is an output.
    pub(super) fn file(&mut self, url: &str, said: Said<'_>) {
        match Address::of(url) {
            Some(Address::Url { text, path }) => match judge(said, &path, self.place()) {
                Judged::Media(media) => self.found(SourceUrl::new(text), Some(media)),
                Judged::Unknown if self.is_strict => self.note("is no media for sure"),
                Judged::Unknown if said.content_type.is_none() && is_link(name_of(&self.slot)) => {
                    self.note("is a link, no output");
                }
                Judged::Unknown => self.found(SourceUrl::new(text), None),
                Judged::NoMedia => self.hollow("is no media"),
            },
            Some(Address::Data(text)) => self.data(text, said.content_type),
            Some(Address::Lost(reason)) => self.lost(url, reason),
            None if trimmed(url).is_empty() => self.hollow("has no URL"),
            None if self.bare(url, said.content_type) || self.hosted(url) => {}
            None => self.cannot("has no valid URL"),
        }
    }

    /// A text: an output if it is the URL of one, holds some, or is its data.
    fn text(&mut self, text: &str, bytes: Option<&str>) {
        let said = trimmed(text);
        self.has_text |= !said.is_empty() && !self.is_strict;
        if is_json_with_urls(said) {
            return if self.quoted < MAX_QUOTED { self.json(text) } else { self.cannot(TOO_DEEP) };
        }
        if let Some(urls) = prose::listed(said) {
            return urls.into_iter().for_each(|url| self.link(url, None));
        }
        if !self.prose(said) {
            self.link(text, bytes);
        }
    }

    /// JSON in a string, if it is some.
    fn json(&mut self, text: &str) {
        match Node::read(trimmed(text).as_bytes()) {
            Ok(node) => {
                self.quoted += 1;
                self.node(&node);
                self.quoted -= 1;
            }
            Err(_) => self.words(text, None),
        }
    }

    /// Words with URLs among them: what they show is an output, and what they
    /// speak of where a file should stand. Answers whether they were that.
    fn prose(&mut self, text: &str) -> bool {
        let is_address = Address::of(text).is_some() && text.matches("://").nth(1).is_none();
        let may_show = text.contains("](") || text.contains('<');
        if is_address || self.is_strict || !(may_show || text.contains("://")) {
            return false;
        }
        let seen = self.seen;
        prose::shown(text).into_iter().for_each(|url| self.shown(url));
        if self.seen == seen && self.place().kind.is_some() {
            let urls = prose::mentioned(text);
            for url in &urls {
                if let Some(Address::Url { text, path }) = Address::of(url)
                    && let Judged::Media(media) = judge(Said::default(), &path, Place::default())
                {
                    self.found(SourceUrl::new(text), Some(media));
                }
            }
            if self.seen == seen && !urls.is_empty() {
                self.cannot("holds a URL among other words");
            }
        }
        self.seen > seen
    }

    /// What a text shows.
    fn shown(&mut self, url: &str) {
        match Address::of(url) {
            Some(Address::Url { text, path }) => match judge(Said::default(), &path, Place::default()) {
                Judged::Media(media) => self.found(SourceUrl::new(text), Some(media)),
                Judged::Unknown => self.found(SourceUrl::new(text), None),
                Judged::NoMedia => self.note("is no media"),
            },
            Some(Address::Data(text)) => self.data(text, None),
            Some(Address::Lost(reason)) => self.lost(url, reason),
            None => {}
        }
    }

    /// A text that stands alone. Which are links to something else, names and
    /// endings say; whatever is left, its content decides.
    fn link(&mut self, text: &str, bytes: Option<&str>) {
        // Most texts are words, so names are looked at where they matter.
        let is_other = || self.is_strict || is_link(name_of(&self.slot));
        let has_words = || trimmed(text).contains(char::is_whitespace);
        match Address::of(text) {
            Some(Address::Url { text: url, path }) => match judge(Said::default(), &path, self.place()) {
                Judged::Media(media) => self.found(SourceUrl::new(url), Some(media)),
                Judged::NoMedia => self.note("is no media"),
                // Prose may begin with a URL.
                Judged::Unknown if has_words() => self.note("is no URL of a file"),
                Judged::Unknown if is_other() => self.note("is a link, no output"),
                Judged::Unknown => self.found(SourceUrl::new(url), None),
            },
            Some(Address::Data(text)) => self.data(text, None),
            Some(Address::Lost(reason)) => {
                let is_media = matches!(judge(Said::default(), trimmed(text), self.place()), Judged::Media(_));
                match is_media || !(has_words() || is_other()) {
                    true => self.lost(text, reason),
                    false => self.note(reason),
                }
            }
            None => self.words(text, bytes),
        }
    }

    /// A text that is no URL: words of a model's, a URL without its scheme, or
    /// bytes.
    fn words(&mut self, text: &str, bytes: Option<&str>) {
        let bytes = bytes.filter(|_| is_of_bytes(name_of(&self.slot)));
        let place = self.place();
        if self.bare(text, bytes) || (place.kind.is_some() && self.hosted(text)) {
            return;
        }
        if place.is_file {
            self.hollow("holds a text that is no URL");
        }
    }

    /// Takes a URL whose scheme was left out, if it ends like media.
    fn hosted(&mut self, text: &str) -> bool {
        let Some(Address::Url { text, path }) = hosted(text) else { return false };
        let Judged::Media(media) = judge(Said::default(), &path, Place::default()) else { return false };
        self.found(SourceUrl::new(text), Some(media));
        true
    }

    /// A place that cannot be followed. One that was put in is no loss.
    fn lost(&mut self, text: &str, reason: &'static str) {
        if self.echoes.contains(text) { self.note(reason) } else { self.cannot(reason) }
    }

    pub(super) fn found(&mut self, source: SourceUrl, media: Option<&'static MediaType>) {
        self.seen += 1;
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
    pub(super) fn cannot(&mut self, reason: &'static str) {
        self.note(reason);
        if self.is_strict && !self.is_sure {
            return;
        }
        self.seen += 1;
        self.unknown.get_or_insert_with(|| Note { slot: self.slot.clone(), reason });
    }

    /// A file is here that is none to be kept.
    pub(super) fn hollow(&mut self, reason: &'static str) {
        self.note(reason);
        if !self.is_strict {
            self.seen += 1;
            self.empty.get_or_insert_with(|| Note { slot: self.slot.clone(), reason });
        }
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
    let is_within = |open, close| text.len() > 2 && text.starts_with(open) && text.ends_with(close);
    let is_nested = is_within('{', '}') || is_within('[', ']') || is_within('"', '"');
    is_nested && ["//", r"\/", "data:", "b64", "base64"].iter().any(|sign| text.contains(sign))
}
