//! Drawings and shapes: their last element, and the elements that they count.

use std::io::{Read, Seek};

use super::{HEADER, Result, read_up_to};

/// Whether an SVG's root element is never closed.
pub(super) fn svg_is_cut<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    const TAIL: u64 = 4096;
    let start = len.saturating_sub(TAIL);
    if matches!(read_up_to(reader, 0, 2)?[..], [0xff, 0xfe] | [0xfe, 0xff]) {
        // Of two bytes a letter: it is not read here.
        return Ok(false);
    }
    let tail = read_up_to(reader, start, TAIL)?;
    let has = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    if has(&tail, b"</svg>") || has(&tail, b":svg>") || has(&tail, b"</svg ") || has(&tail, b"</svg\n") {
        return Ok(false);
    }
    // It may be nothing but its root.
    let head = read_up_to(reader, 0, HEADER)?;
    let root = head.windows(4).position(|part| part == b"<svg").unwrap_or_default();
    let end = head[root..].iter().position(|byte| *byte == b'>').map(|at| root + at);
    Ok(end.is_none_or(|end| head[end - 1] != b'/'))
}

/// Where PLY's elements end at the earliest: lists have at least their counts.
pub(super) fn ply_end(head: &[u8]) -> Option<u64> {
    const END: &[u8] = b"end_header";
    let at = head.windows(END.len()).position(|part| part == END)?;
    let body = at + END.len() + head[at + END.len()..].iter().position(|byte| *byte == b'\n')? + 1;
    let header = std::str::from_utf8(&head[..at]).ok()?;
    let (mut size, mut count, mut is_text) = (0_u64, 0_u64, false);
    for line in header.lines() {
        match line.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            ["format", form, ..] => is_text = *form == "ascii",
            ["element", _, number] => {
                count = number.parse().ok()?;
                // A line of text is at least a digit and its end, but for the last.
                size = if is_text { size.checked_add(count.checked_mul(2)?)? } else { size };
            }
            ["property", "list", width, ..] | ["property", width, _] if !is_text => {
                size = size.checked_add(count.checked_mul(width_of(width)?)?)?;
            }
            _ => {}
        }
    }
    size.saturating_sub(u64::from(is_text)).checked_add(body as u64)
}

fn width_of(name: &str) -> Option<u64> {
    Some(match name {
        "char" | "uchar" | "int8" | "uint8" => 1,
        "short" | "ushort" | "int16" | "uint16" => 2,
        "int" | "uint" | "int32" | "uint32" | "float" | "float32" => 4,
        "double" | "float64" => 8,
        _ => return None,
    })
}
