//! Bytes in the result itself: in `data:` URLs, in base64 or hex, in numbers.

use super::{
    address::trimmed,
    declared::{holder, is_of_numbers, listed_bytes},
    encoding::Encoding,
    inline::{DataUrl, Inline},
    kind::{Judged, Place, Said, is_of_bytes, judge, named_type},
    order::name_of,
    walk::Walk,
};
use crate::{
    generation::Kind,
    hook::json::Node,
    media_type::MediaType,
    sniff::{Sniffed, sniff},
};

/// A long text under a name of sound, of nothing that shows itself, is samples.
const LEAST_SAMPLES: usize = 1024;

const NO_BYTES: &str = "holds data that cannot be decoded";
const NO_TYPE: &str = "holds data of no known media type";

impl Walk {
    /// A `data:` URL.
    pub(super) fn data(&mut self, text: &str, content_type: Option<&str>) {
        let Some(url) = DataUrl::read(text) else { return self.cannot("holds data that breaks off") };
        let said = if url.content_type.is_empty() { content_type } else { Some(url.content_type) };
        let inline = url.decode(&self.body).map(|inline| inline.or_within(&self.body));
        match inline {
            Some(inline) => self.bytes(inline, said),
            None => self.cannot(NO_BYTES),
        }
    }

    /// Bytes that are said to be something.
    fn bytes(&mut self, inline: Inline, said: Option<&str>) {
        // What its slot is called is no evidence: these are all the bytes there are.
        let judged = judge(Said { content_type: said, file_name: None }, "", Place::default());
        match (sniff(&inline.head()), judged) {
            (Sniffed::Media(media), _) => self.inline(inline, media),
            (Sniffed::Unknown, Judged::Media(media)) => self.inline(inline, media),
            // Some formats are text.
            (Sniffed::NotMedia(_), Judged::Media(media)) if said.and_then(MediaType::by_name).is_some() => {
                self.inline(inline, media);
            }
            (Sniffed::NotMedia(_), Judged::NoMedia) => self.hollow("holds data that is no media"),
            _ => self.cannot(NO_TYPE),
        }
    }

    /// A text that may be bytes without a word on how they are written. What is
    /// said of them, or what their place is called, may tell what they are.
    /// Answers whether it is dealt with.
    pub(super) fn bare(&mut self, text: &str, said: Option<&str>) -> bool {
        let text = trimmed(text);
        let said = said.and_then(named_type).map(|media| media.name);
        let guess = Encoding::guess(text);
        let encoding = guess.or_else(|| said.map(|_| Encoding::base64(text)));
        let Some(encoding) = encoding.filter(|_| !text.is_empty()) else { return false };
        let place = Place::called(name_of(holder(&self.slot)));
        let is_file = place.is_file || (place.kind.is_some() && is_of_bytes(name_of(&self.slot)));
        let shows = matches!(sniff(&encoding.head(text)), Sniffed::Media(_));
        if !(shows || is_file || said.is_some()) {
            return false;
        }
        let Some(inline) = Inline::new(text, encoding, &self.body) else {
            let is_data = shows || guess.is_some();
            if is_data {
                self.cannot(NO_BYTES);
            }
            return is_data;
        };
        match (sniff(&inline.head()), said, place.kind.filter(|_| is_file)) {
            (Sniffed::Media(media), ..) => self.inline(inline, media),
            (_, Some(said), _) => self.bytes(inline, Some(said)),
            (Sniffed::Unknown, _, Some(Kind::Audio)) if text.len() >= LEAST_SAMPLES => {
                self.bytes(inline, Some("audio/pcm"));
            }
            (_, _, Some(_)) if text.len() >= LEAST_SAMPLES => self.cannot(NO_TYPE),
            _ => return false,
        }
        true
    }

    /// A list of numbers that stands where a file should.
    pub(super) fn numbers(&mut self, items: &[Node<'_>]) {
        let place = Place::called(name_of(holder(&self.slot)));
        let shows = listed_bytes(items).is_some_and(|bytes| matches!(sniff(&bytes), Sniffed::Media(_)));
        if shows || (place.is_file && is_of_numbers(items)) {
            self.cannot("holds numbers in place of a file");
        }
    }

    fn inline(&mut self, inline: Inline, media: &'static MediaType) {
        let (source, before) = (inline.source(), self.files.len());
        self.found(source, Some(media));
        if self.files.len() > before {
            self.inlines.push(inline);
        }
    }
}
