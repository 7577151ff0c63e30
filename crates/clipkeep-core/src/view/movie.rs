//! The `moov` of a fast start view: the file's own, with its chunk offsets
//! raised.

use bytes::Bytes;

use super::{FastStart, scan::header};

/// A changed `moov`, header included. As long as the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie(Bytes);

/// Something that cannot be moved, or not without knowing more.
struct Odd;

/// What was raised.
#[derive(Default)]
struct Found {
    tables: usize,
    offsets: u64,
}

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
        let head = usize::try_from(outer.head).ok()?;
        let named = places(&bytes[head..]);
        let mut found = Found::default();
        walk(&mut bytes[head..], b"moov", fast, &mut found).ok()?;
        // Without samples there is nothing to start.
        (found.offsets > 0 && found.tables == named).then(|| Self(bytes.into()))
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Boxes that are moved as they are: they speak of no place in the file. Any
/// other kind is odd, and so are two where there can be one.
const HARMLESS: &[(&[u8; 4], &[&[u8; 4]])] = &[
    (b"moov", &[b"mvhd", b"iods", b"udta", b"meta", b"free", b"skip", b"wide", b"ctab", b"clip", b"prfl"]),
    (
        b"trak",
        &[
            b"tkhd", b"edts", b"tref", b"udta", b"meta", b"load", b"tapt", b"clip", b"matt", b"txas", b"trgr", b"free",
            b"skip", b"wide",
        ],
    ),
    (b"mdia", &[b"mdhd", b"hdlr", b"elng", b"udta", b"meta", b"free", b"skip", b"wide"]),
    (
        b"minf",
        &[b"vmhd", b"smhd", b"hmhd", b"nmhd", b"sthd", b"gmhd", b"gmin", b"hdlr", b"free", b"skip", b"wide", b"code"],
    ),
    (
        b"stbl",
        &[
            b"stsd", b"stts", b"ctts", b"cslg", b"stsc", b"stsz", b"stz2", b"stss", b"stps", b"stsh", b"padb", b"stdp",
            b"sdtp", b"sbgp", b"sgpd", b"csgp", b"subs", b"free", b"skip", b"wide",
        ],
    ),
    (b"dinf", &[]),
];

/// Kinds of boxes with places in the file, or with others that have. In no
/// `moov` that is moved do they stand anywhere, but for the tables that are
/// raised: parsers find them where no rule would have them.
const PLACES: [&[u8; 4]; 14] = [
    b"stco", b"co64", b"saio", b"iloc", b"tfra", b"sidx", b"ssix", b"moof", b"traf", b"trun", b"mvex", b"cmov",
    b"rmra", b"mfra",
];

/// Goes through the boxes in `body`, which is that of a `parent` box.
fn walk(mut body: &mut [u8], parent: &[u8; 4], fast: &FastStart, found: &mut Found) -> Result<(), Odd> {
    let harmless = HARMLESS.iter().find(|(kind, _)| *kind == parent).map_or(&[][..], |(_, kinds)| kinds);
    let mut inner_boxes = 0;
    while body.len() >= 8 {
        // Without a length of its own a box swallows those behind it, or not:
        // parsers differ.
        let outer = header(body, body.len() as u64).filter(|_| !body.starts_with(&[0; 4])).ok_or(Odd)?;
        let (head, len) = (outer.head as usize, outer.len as usize);
        let (this, rest) = body.split_at_mut(len);
        let inner = &mut this[head..];
        match (parent, &outer.kind) {
            (b"moov", b"trak") => walk(inner, b"trak", fast, found)?,
            (b"trak", b"mdia") | (b"mdia", b"minf") | (b"minf", b"stbl") => {
                inner_boxes += 1;
                walk(inner, &outer.kind, fast, found)?;
            }
            (b"minf", b"dinf") => walk(inner, b"dinf", fast, found)?,
            (b"dinf", b"dref") => only_this_file(inner)?,
            (b"stbl", b"stco") => {
                inner_boxes += 1;
                found.offsets += raise::<4>(inner, fast)?;
                found.tables += 1;
            }
            (b"stbl", b"co64") => {
                inner_boxes += 1;
                found.offsets += raise::<8>(inner, fast)?;
                found.tables += 1;
            }
            (_, kind) if harmless.contains(&kind) => {}
            _ => return Err(Odd),
        }
        body = rest;
    }
    let is_single = match parent {
        b"trak" | b"mdia" | b"minf" | b"stbl" => inner_boxes == 1,
        _ => true,
    };
    // QuickTime ends some lists with four zero bytes.
    if is_single && body.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Odd) }
}

/// How often a kind of [`PLACES`] is named.
fn places(bytes: &[u8]) -> usize {
    bytes.windows(4).filter(|name| BEGINS[usize::from(name[0])] && PLACES.iter().any(|kind| name == kind)).count()
}

/// Few bytes begin one, so most windows cost one look.
const BEGINS: [bool; 256] = {
    let (mut begins, mut nth) = ([false; 256], 0);
    while nth < PLACES.len() {
        begins[PLACES[nth][0] as usize] = true;
        nth += 1;
    }
    begins
};

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
