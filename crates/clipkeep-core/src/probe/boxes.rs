//! Walking ISO base media boxes by seeking, in bounded memory and bounded steps.

use std::{
    io::{Read, Seek},
    ops::Range,
};

use mp4_atom::{Atom, Decode, FourCC, Header};

use super::{ProbeError, Result, read_at};

/// The most boxes that are looked at in one file. A fragment has about ten.
const MAX_BOXES: u32 = 4_000_000;

/// One box: its kind and where its body is.
pub(super) struct BoxAt {
    pub(super) kind: FourCC,
    pub(super) body: Range<u64>,
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
    seen: u32,
}

impl<'a, R: Read + Seek> Boxes<'a, R> {
    pub(super) fn new(reader: &'a mut R, len: u64) -> Self {
        Self { reader, len, seen: 0 }
    }

    /// The whole file, to be walked like a box's body.
    pub(super) fn all(&self) -> Range<u64> {
        0..self.len
    }

    /// The box at the start of `rest`, which then starts behind it. None at
    /// the end, and where only padding is left.
    pub(super) fn next(&mut self, rest: &mut Range<u64>) -> Result<Option<BoxAt>> {
        let left = rest.end.saturating_sub(rest.start);
        if left == 0 {
            return Ok(None);
        }
        let head = read_at(self.reader, rest.start, left.min(16))?;
        if left < 8 {
            let padding = head.iter().all(|&b| b == 0);
            return if padding { Ok(None) } else { Err(ProbeError::Truncated) };
        }
        self.seen += 1;
        if self.seen > MAX_BOXES {
            return Err(ProbeError::Malformed("too many boxes"));
        }
        let (header, header_len) = header(&head)?;
        let start = rest.start + header_len;
        let body = match header.size {
            // To the end of the file; within a box, of the box.
            None => start..rest.end,
            Some(size) => start..start.checked_add(size as u64).ok_or(ProbeError::Malformed("a box's size"))?,
        };
        if body.end > rest.end {
            let outermost = rest.end == self.len;
            return Err(if outermost { ProbeError::Truncated } else { ProbeError::Malformed("a box's size") });
        }
        rest.start = body.end;
        Ok(Some(BoxAt { kind: header.kind, body }))
    }

    /// A box's first `max` bytes, or all of it.
    pub(super) fn bytes(&mut self, found: &BoxAt, max: u64) -> Result<Vec<u8>> {
        let len = found.body.end - found.body.start;
        read_at(self.reader, found.body.start, len.min(max))
    }

    /// The box decoded; None if it is longer than `max` or does not decode.
    pub(super) fn atom<A: Atom>(&mut self, found: &BoxAt, max: u64) -> Result<Option<A>> {
        if found.body.end - found.body.start > max {
            return Ok(None);
        }
        let bytes = self.bytes(found, max)?;
        Ok(A::decode_body(&mut bytes.as_slice()).ok())
    }
}

/// The header at the start of `head`, and its length.
pub(super) fn header(mut head: &[u8]) -> Result<(Header, u64)> {
    let before = head.len();
    let header = Header::decode(&mut head).map_err(|error| match error {
        mp4_atom::Error::OutOfBounds => ProbeError::Truncated,
        _ => ProbeError::Malformed("a box's size"),
    })?;
    Ok((header, (before - head.len()) as u64))
}
