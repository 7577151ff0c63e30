//! What an object says of the file that it is, or announces.

use super::kind::{Said, ending, is_of_bytes, named_type};
use crate::{hook::json::Node, media_type::MediaType};

const TYPES: &[&str] = &["content_type", "mime_type", "contentType", "mimeType", "media_type", "mediaType", "mimetype"];
/// What says no more than which sort of bytes stand beside it.
const FORMATS: &[&str] = &["type", "format", "output_format", "encoding"];
const FILE_NAMES: &[&str] = &["file_name", "filename", "fileName", "name"];
const URLS: &[&str] = &["url", "uri"];
/// What stands where a URL is awaited.
const IDS: &[&str] = &["file_id", "fileId", "asset_id", "media_id", "id"];

/// An object, as a file.
pub(super) struct Declared<'n> {
    pub(super) said: Said<'n>,
    /// The member that is its URL, and that URL.
    pub(super) url: Option<(&'static str, &'n str)>,
    /// What its bytes are, if they stand in it.
    pub(super) bytes: Option<&'n str>,
    /// Whether it is surely a file's, URL or not: such a type or name stands in it.
    pub(super) is_announced: bool,
    /// Whether it is one if its place is a file's.
    pub(super) is_awaited: bool,
}

impl<'n> Declared<'n> {
    pub(super) fn of(node: &'n Node<'_>) -> Self {
        let text = |names: &[&str]| names.iter().find_map(|name| node.get(name)?.text());
        let said = Said { content_type: text(TYPES), file_name: text(FILE_NAMES) };
        let url = URLS.iter().find_map(|name| Some((*name, node.get(name)?.text()?)));
        let format = FORMATS.iter().filter_map(|name| node.get(name)?.text()).find(|text| named_type(text).is_some());
        let is_media = |name: &str| MediaType::by_name(name).is_some() || named_type(name).is_some();
        let has_ending = |name: &str| ending(name).and_then(MediaType::by_ending).is_some();
        Self {
            said,
            url,
            bytes: said.content_type.or(format),
            is_announced: said.content_type.is_some_and(is_media) || said.file_name.is_some_and(has_ending),
            is_awaited: text(IDS).is_some() || URLS.iter().any(|name| matches!(node.get(name), Some(Node::Null))),
        }
    }
}

/// The most numbers that are looked at of a list, and the fewest that are bytes.
const LEAST: usize = 64;
const MOST: usize = 4096;

/// The bytes that a list of numbers begins with; `None` if it is none of bytes.
pub(super) fn listed_bytes(items: &[Node<'_>]) -> Option<Vec<u8>> {
    let byte = |item: &Node<'_>| match item {
        Node::Number(number) => number.parse::<i16>().ok().filter(|n| (-128..256).contains(n)).map(|n| n as u8),
        _ => None,
    };
    (items.len() >= LEAST).then(|| items.iter().take(MOST).map(byte).collect()).flatten()
}

/// Whether a list is one of plain numbers: bytes, or samples.
pub(super) fn is_of_numbers(items: &[Node<'_>]) -> bool {
    items.len() >= LEAST && items.iter().take(MOST).all(|item| matches!(item, Node::Number(_)))
}

/// The name of the place whose bytes stand in this slot: `audio` for
/// `/audio/data` and for `/audio`.
pub(super) fn holder(slot: &str) -> &str {
    let is_index = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mut names = slot.rsplit('/').filter(|part| !is_index(part));
    let own = names.next().unwrap_or_default();
    if !is_of_bytes(own) || super::kind::kind_of_slot(own).is_some() {
        return own;
    }
    names.next().unwrap_or(own)
}
