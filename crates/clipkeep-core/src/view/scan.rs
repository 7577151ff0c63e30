//! Finds out which view a file needs, asking only for the bytes it must see.

use std::ops::Range;

use bytes::Bytes;

use super::{FastStart, Movie, View};
use crate::c2pa;

/// How much is asked for at once: box headers mostly lie close together.
const LOOK: u64 = 4 * 1024;
/// The largest `moov` that is moved. An hour of video has about one megabyte.
const MAX_MOVIE: u64 = 16 * 1024 * 1024;
/// The most boxes on the outermost level that are looked at.
const MAX_BOXES: usize = 64;

/// Kinds of outermost boxes that hold no places in the file. All others are
/// odd: fragments and their indices, items (`meta`), a second `moov`, and
/// whatever is not known here.
const STAYS: &[&[u8; 4]] = &[b"mdat", b"free", b"skip", b"wide", b"uuid", b"udta", b"pnot", b"PICT", b"pdin"];

/// How far a scan came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// These bytes must be seen first; then it is to be asked again.
    Need(Range<u64>),
    Done(View),
}

/// One box on the outermost level.
struct Outer {
    kind: [u8; 4],
    range: Range<u64>,
}

/// Which view a file of `len` bytes needs. `have` answers a range of the file
/// if all of it is there.
pub fn scan(len: u64, have: impl Fn(Range<u64>) -> Option<Bytes>) -> Scan {
    match find(len, &have) {
        Ok(view) => Scan::Done(view),
        Err(range) => Scan::Need(range),
    }
}

fn find(len: u64, have: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<View, Range<u64>> {
    let (mut at, mut insert_at, mut has_data) = (0, 0, false);
    for _ in 0..MAX_BOXES {
        let Some(outer) = outer(at, len, have)? else { return Ok(View::Plain) };
        match &outer.kind {
            b"ftyp" if at == 0 => insert_at = outer.range.end,
            b"mdat" => has_data = true,
            // Movable only if it stands behind the data.
            b"moov" if !has_data => return Ok(View::Plain),
            b"moov" => return behind_data(insert_at, outer.range, len, have),
            kind if !STAYS.contains(&kind) => return Ok(View::Plain),
            _ if is_marked(&outer, len, have)? => return Ok(View::Plain),
            _ => {}
        }
        at = outer.range.end;
    }
    Ok(View::Plain)
}

fn behind_data(
    insert_at: u64,
    movie: Range<u64>,
    len: u64,
    have: &impl Fn(Range<u64>) -> Option<Bytes>,
) -> Result<View, Range<u64>> {
    let movie_len = movie.end - movie.start;
    if movie_len > MAX_MOVIE || followed_by_oddity(movie.end, len, have)? {
        return Ok(View::Plain);
    }
    let bytes = have(movie.clone()).ok_or_else(|| movie.clone())?;
    let fast = FastStart { insert_at, movie_at: movie.start, movie_len };
    Ok(Movie::moved(&fast, &bytes).map_or(View::Plain, |_| View::FastStart(fast)))
}

/// Whether behind `moov` there is anything but what is known to stay as it is.
fn followed_by_oddity(mut at: u64, len: u64, have: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<bool, Range<u64>> {
    for _ in 0..MAX_BOXES {
        if at == len {
            return Ok(false);
        }
        match outer(at, len, have)? {
            None => return Ok(true),
            Some(outer) if !STAYS.contains(&&outer.kind) || is_marked(&outer, len, have)? => return Ok(true),
            Some(outer) => at = outer.range.end,
        }
    }
    Ok(true)
}

/// Whether the box is a C2PA mark: such a file is never rearranged.
fn is_marked(outer: &Outer, len: u64, have: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<bool, Range<u64>> {
    if outer.kind != *b"uuid" {
        return Ok(false);
    }
    let start = outer.range.start;
    let head = start..len.min(start + 32);
    let bytes = have(head).ok_or_else(|| start..len.min(start + LOOK))?;
    Ok(c2pa::is_mark(&bytes))
}

/// The box at `at`; `None` if there is none, or it breaks the rules.
fn outer(at: u64, len: u64, have: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<Option<Outer>, Range<u64>> {
    if len.saturating_sub(at) < 8 {
        return Ok(None);
    }
    let head = at..len.min(at + 16);
    let bytes = have(head).ok_or_else(|| at..len.min(at + LOOK))?;
    let Some(header) = header(&bytes, len - at) else { return Ok(None) };
    Ok(Some(Outer { kind: header.kind, range: at..at + header.len }))
}

/// A box's header.
pub(super) struct BoxHeader {
    pub(super) kind: [u8; 4],
    pub(super) head: u64,
    pub(super) len: u64,
}

/// Reads a box header; `None` unless the box fits in `room`.
pub(super) fn header(bytes: &[u8], room: u64) -> Option<BoxHeader> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?);
    let kind = *bytes.get(4..)?.first_chunk()?;
    let (head, len) = match size {
        0 => (8, room),
        1 => (16, u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)),
        size => (8, u64::from(size)),
    };
    (head <= len && len <= room).then_some(BoxHeader { kind, head, len })
}
