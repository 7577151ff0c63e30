//! Walking ISO base media boxes by seeking, in bounded memory and bounded steps.
//!
//! Boxes are read as players read them (ffmpeg's demuxer is the measure): one
//! that claims more than there is ends where its parent does, and where no box
//! can stand the list ends.

use std::{
    io::{Read, Seek},
    ops::Range,
};

use mp4_atom::{Atom, FourCC};

use super::{Result, read_at};

/// The most boxes that are looked at in one file; what follows is not. A
/// fragment has about ten: this is a day of fragments of a second.
const MAX_BOXES: u32 = 1_000_000;
/// The most bytes of sample tables that are looked at in one file. An hour of
/// video has one million.
const MAX_TABLES: u64 = 256 * 1024 * 1024;

/// One box: its kind and where its body is.
pub(super) struct BoxAt {
    pub(super) kind: FourCC,
    pub(super) start: u64,
    pub(super) body: Range<u64>,
    /// Whether it claims more than there is.
    pub(super) is_cut: bool,
}

impl BoxAt {
    /// The kind as text bytes, to match on.
    pub(super) fn name(&self) -> [u8; 4] {
        self.kind.into()
    }
}

/// A file's boxes.
pub(super) struct Boxes<'a, R> {
    reader: &'a mut R,
    len: u64,
    left: u32,
    /// Bytes of tables that may still be read.
    tables: u64,
}

impl<'a, R: Read + Seek> Boxes<'a, R> {
    pub(super) fn new(reader: &'a mut R, len: u64) -> Self {
        Self { reader, len, left: MAX_BOXES, tables: MAX_TABLES }
    }

    /// The whole file, to be walked like a box's body.
    pub(super) fn all(&self) -> Range<u64> {
        0..self.len
    }

    /// Whether the file has more boxes than are looked at.
    pub(super) fn gave_up(&self) -> bool {
        self.left == 0
    }

    /// The box at the start of `rest`, which then starts behind it. None at
    /// the end, and where no box can stand.
    pub(super) fn next(&mut self, rest: &mut Range<u64>) -> Result<Option<BoxAt>> {
        let left = rest.end.saturating_sub(rest.start);
        if left < 8 || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let head = read_at(self.reader, rest.start, left.min(16))?;
        let Some(Header { kind, head, len }) = header(&head) else { return Ok(None) };
        let start = rest.start;
        // Without a length: to the end of the file; within a box, of the box.
        let end = len.map_or(Some(rest.end), |len| start.checked_add(len));
        let is_cut = end.is_none_or(|end| end > rest.end);
        rest.start = end.unwrap_or(rest.end).min(rest.end);
        Ok(Some(BoxAt { kind, start, body: (start + head).min(rest.start)..rest.start, is_cut }))
    }

    /// A box's first `max` bytes, or all of it.
    pub(super) fn bytes(&mut self, found: &BoxAt, max: u64) -> Result<Vec<u8>> {
        let len = found.body.end - found.body.start;
        read_at(self.reader, found.body.start, len.min(max))
    }

    /// A box without boxes in it, decoded; None if it is longer than any such
    /// box or does not decode.
    pub(super) fn atom<A: Atom>(&mut self, found: &BoxAt) -> Result<Option<A>> {
        const MAX: u64 = 4 * 1024;
        if found.body.end - found.body.start > MAX {
            return Ok(None);
        }
        let bytes = self.bytes(found, MAX)?;
        Ok(A::decode_body(&mut bytes.as_slice()).ok())
    }
}

/// The entries of a table, `WIDTH` bytes each, a block at a time.
pub(super) struct Table<const WIDTH: usize> {
    rest: Range<u64>,
    block: std::vec::IntoIter<u8>,
}

impl<const WIDTH: usize> Table<WIDTH> {
    /// The table of `count` entries that starts `skip` bytes into the box. It
    /// has as many as the box has room for.
    pub(super) fn within(found: &BoxAt, skip: u64, count: u64) -> Self {
        let Range { start, end } = found.body;
        let start = start.saturating_add(skip).min(end);
        let len = count.saturating_mul(WIDTH as u64).min(end - start);
        Self { rest: start..start + len / WIDTH as u64 * WIDTH as u64, block: Vec::new().into_iter() }
    }

    /// The next entry; None behind the last one, and where there are more of
    /// them in the file than are looked at.
    pub(super) fn next<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>) -> Result<Option<[u8; WIDTH]>> {
        if self.block.len() == 0 {
            let most = (4096 * WIDTH) as u64;
            let len = (self.rest.end - self.rest.start).min(most);
            if len == 0 || len > boxes.tables {
                return Ok(None);
            }
            boxes.tables -= len;
            self.block = read_at(boxes.reader, self.rest.start, len)?.into_iter();
            self.rest.start += len;
        }
        let entry = self.block.as_slice().first_chunk().copied();
        let _ = self.block.nth(WIDTH - 1);
        Ok(entry)
    }
}

/// A box's header.
pub(super) struct Header {
    pub(super) kind: FourCC,
    pub(super) head: u64,
    /// Of the whole box; none goes to the end of what it is in.
    pub(super) len: Option<u64>,
}

/// Reads a header; None where none can stand.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let kind = FourCC::from(*bytes.get(4..)?.first_chunk::<4>()?);
    let (head, len) = match u32::from_be_bytes(*bytes.first_chunk()?) {
        0 => (8, None),
        1 => (16, Some(u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?))),
        len => (8, Some(u64::from(len))),
    };
    len.is_none_or(|len| len >= head).then_some(Header { kind, head, len })
}
