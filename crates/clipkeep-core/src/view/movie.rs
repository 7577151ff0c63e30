//! The `moov` of a fast start view: the file's own, with its chunk offsets
//! raised.

use bytes::Bytes;

use super::{FastStart, scan::header};

/// How deep boxes are followed.
const MAX_DEPTH: u8 = 8;

/// A changed `moov`, header included. As long as the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie(Bytes);

/// Something that cannot be moved, or not without knowing more.
struct Odd;

impl Movie {
    /// The `moov` as it must read at its new place, made of the file's own
    /// (`original`, header included). `None` if anything in it is odd.
    pub fn moved(fast: &FastStart, original: &[u8]) -> Option<Self> {
        let len = original.len() as u64;
        let outer = header(original, len).filter(|outer| outer.kind == *b"moov" && outer.len == fast.movie_len)?;
        if len != fast.movie_len {
            return None;
        }
        let mut bytes = original.to_vec();
        if original.starts_with(&[0; 4]) {
            // «To the end of the file» is true no more.
            bytes[..4].copy_from_slice(&u32::try_from(len).ok()?.to_be_bytes());
        }
        let mut offsets = 0;
        let head = usize::try_from(outer.head).ok()?;
        walk(&mut bytes[head..], b"moov", 0, fast, &mut offsets).ok()?;
        // Without samples there is nothing to start.
        (offsets > 0).then(|| Self(bytes.into()))
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Goes through the boxes in `body`, which is that of a `parent` box.
fn walk(mut body: &mut [u8], parent: &[u8; 4], depth: u8, fast: &FastStart, offsets: &mut u64) -> Result<(), Odd> {
    if depth > MAX_DEPTH {
        return Err(Odd);
    }
    while body.len() >= 8 {
        let found = header(body, body.len() as u64).ok_or(Odd)?;
        let (head, len) = (found.head as usize, found.len as usize);
        let (this, rest) = body.split_at_mut(len);
        let inner = &mut this[head..];
        match (parent, &found.kind) {
            (b"moov", b"trak") | (b"trak", b"mdia") | (b"mdia", b"minf") | (b"minf", b"stbl" | b"dinf") => {
                walk(inner, &found.kind, depth + 1, fast, offsets)?;
            }
            (b"stbl", b"stco") => *offsets += raise::<4>(inner, fast)?,
            (b"stbl", b"co64") => *offsets += raise::<8>(inner, fast)?,
            (b"dinf", b"dref") => only_this_file(inner)?,
            // Fragments to come, a compressed header, offsets of other kinds.
            (_, b"mvex" | b"cmov" | b"saio") => return Err(Odd),
            (_, b"meta") if inner.windows(4).any(|bytes| bytes == b"iloc") => return Err(Odd),
            _ => {}
        }
        body = rest;
    }
    // QuickTime ends some lists with four zero bytes.
    if body.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Odd) }
}

/// Raises a table's chunk offsets; answers how many there are.
fn raise<const WIDTH: usize>(table: &mut [u8], fast: &FastStart) -> Result<u64, Odd> {
    let count = table.get(4..8).and_then(|bytes| bytes.first_chunk()).copied().map(u32::from_be_bytes).ok_or(Odd)?;
    let entries = table.get_mut(8..).ok_or(Odd)?;
    if entries.len() as u64 != u64::from(count) * WIDTH as u64 {
        return Err(Odd);
    }
    for entry in entries.chunks_exact_mut(WIDTH) {
        let offset = entry.iter().fold(0_u64, |offset, byte| offset << 8 | u64::from(*byte));
        let moved = if offset >= fast.movie_at + fast.movie_len {
            offset
        } else if (fast.insert_at..fast.movie_at).contains(&offset) {
            offset.checked_add(fast.movie_len).ok_or(Odd)?
        } else {
            return Err(Odd);
        };
        if WIDTH == 4 && moved > u64::from(u32::MAX) {
            return Err(Odd);
        }
        entry.copy_from_slice(&moved.to_be_bytes()[8 - WIDTH..]);
    }
    Ok(u64::from(count))
}

/// Every data reference must be to the file itself (flag 1).
fn only_this_file(dref: &[u8]) -> Result<(), Odd> {
    let mut rest = dref.get(8..).ok_or(Odd)?;
    while !rest.is_empty() {
        let entry = header(rest, rest.len() as u64).ok_or(Odd)?;
        let (head, len) = (entry.head as usize, entry.len as usize);
        let flags = rest.get(head + 3).ok_or(Odd)?;
        if flags & 1 == 0 {
            return Err(Odd);
        }
        rest = &rest[len..];
    }
    Ok(())
}
