//! Text: some media are written in it, error pages are, and nothing else is kept.

use crate::media_type::MediaType;

/// Pages, whatever their case.
const HTML: &[&[u8]] = &[b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title"];

/// Media that are text. The sender's word counts where any text might be such.
pub(super) fn media(head: &[u8], declared: Option<&MediaType>) -> Option<&'static str> {
    if let Some(text) = narrowed(head) {
        // Browsers draw it, too; of the others no reader takes two bytes a letter.
        return (root_element(text.trim_start().as_bytes()) == Some(b"svg")).then_some("image/svg+xml");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = text.trim_ascii_start();
    let has = |word: &[u8]| text.windows(word.len()).any(|bytes| bytes == word);
    let is_declared = |name: &str| declared.is_some_and(|declared| declared.name == name);
    if start.starts_with(b"<") {
        return match root_element(start)? {
            b"svg" | b"svg:svg" => Some("image/svg+xml"),
            b"COLLADA" => Some("model/vnd.collada+xml"),
            _ => None,
        };
    }
    if start.starts_with(b"{") {
        const PARTS: &[&[u8]] = &[b"\"scenes\"", b"\"nodes\"", b"\"meshes\"", b"\"accessors\"", b"\"buffers\""];
        let is_scene = has(b"\"asset\"") && PARTS.iter().any(|part| has(part));
        let may_follow = is_declared("model/gltf+json") && head.len() >= super::SNIFF_LEN;
        return (is_scene || may_follow).then_some("model/gltf+json");
    }
    if text.starts_with(b"#usda ") {
        return Some("model/vnd.usda");
    }
    if text.starts_with(b"; FBX ") {
        return Some("model/fbx");
    }
    if text.starts_with(b"solid") && (has(b"facet normal") || has(b"endsolid")) {
        return Some("model/stl");
    }
    ["model/obj", "model/mtl"].into_iter().find(|name| is_declared(name) && is_wavefront(text))
}

/// What text is that is no media, in a word; None if it is no text.
pub(super) fn not_media(head: &[u8]) -> Option<&'static str> {
    if is_wide(head) {
        return Some("plain text");
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = head.trim_ascii_start();
    let opens = |tag: &&[u8]| start.get(..tag.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(tag));
    if HTML.iter().any(opens) || start.starts_with(b"<!--") {
        return Some("HTML");
    }
    if !is_text(head) {
        return None;
    }
    match start {
        [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z', ..] => Some("XML"),
        [b'{' | b'[', ..] => Some("JSON"),
        _ => Some("plain text"),
    }
}

fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The head may end inside a character.
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.iter().any(|&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

fn is_wide(head: &[u8]) -> bool {
    narrowed(head).is_some()
}

/// UTF-16 behind its mark, as text. Sound without a header may begin with the same
/// two bytes, but not go on as text.
fn narrowed(head: &[u8]) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match head {
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        _ => return None,
    };
    let units = head[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let whole = units.len().saturating_sub(1);
    let of_text = |c: &char| {
        (!c.is_control() || c.is_whitespace()) && !matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{fdd0}'..='\u{fdef}')
    };
    char::decode_utf16(units.take(whole)).map(|c| c.ok().filter(of_text)).collect()
}

/// The name of the element that an XML text begins with, behind its
/// declaration, comments and document type.
fn root_element(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = text.trim_ascii_start();
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => doctype_end(text),
            [b'<', rest @ ..] => {
                let len = rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))?;
                return Some(&rest[..len]);
            }
            _ => return None,
        };
        let at = text.windows(end.len()).position(|bytes| bytes == end)?;
        text = &text[at + end.len()..];
    }
}

/// A document type may hold declarations of its own, in brackets.
fn doctype_end(text: &[u8]) -> &'static [u8] {
    match text.iter().find(|byte| matches!(byte, b'[' | b'>')) {
        Some(b'[') => b"]>",
        _ => b">",
    }
}

/// Whether each whole line is a statement of Wavefront's OBJ or MTL.
fn is_wavefront(text: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"v",
        b"vn",
        b"vt",
        b"vp",
        b"f",
        b"l",
        b"p",
        b"o",
        b"g",
        b"s",
        b"mg",
        b"usemtl",
        b"mtllib",
        b"newmtl",
        b"Ka",
        b"Kd",
        b"Ks",
        b"Ke",
        b"Ns",
        b"Ni",
        b"Tr",
        b"Tf",
        b"d",
        b"illum",
        b"Pr",
        b"Pm",
        b"Ps",
        b"Pc",
        b"bump",
        b"disp",
        b"norm",
        b"decal",
        b"refl",
        b"map_Ka",
        b"map_Kd",
        b"map_Ks",
        b"map_Ke",
        b"map_Ns",
        b"map_d",
        b"map_bump",
        b"map_Bump",
        b"map_Pr",
        b"map_Pm",
        b"cstype",
        b"deg",
        b"curv",
        b"curv2",
        b"surf",
        b"parm",
        b"trim",
        b"hole",
        b"end",
    ];
    let is_statement = |line: &[u8]| {
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        word.is_empty() || word.starts_with(b"#") || WORDS.contains(&word)
    };
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(text, |last| &text[..last]);
    let mut lines = whole.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    is_text(text) && lines.clone().any(|line| !line.is_empty()) && lines.all(is_statement)
}
