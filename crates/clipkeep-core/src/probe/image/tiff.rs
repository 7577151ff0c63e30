//! TIFF, and Exif, which is one within other files: entries in a directory.

use std::io::{Read, Seek};

use super::Picture;
use crate::probe::{Result, read_up_to};

const MAX_ENTRIES: u64 = 4096;
/// Strips or tiles that are looked at.
const MAX_PARTS: u64 = 65_536;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const STRIP_OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const STRIP_SIZES: u16 = 279;
const TILE_OFFSETS: u16 = 324;
const TILE_SIZES: u16 = 325;

/// How numbers stand in the file: in which order, and how long offsets are.
#[derive(Clone, Copy)]
struct Form {
    big_endian: bool,
    /// BigTIFF, whose offsets have eight bytes.
    long: bool,
}

impl Form {
    fn of(head: &[u8]) -> Option<Self> {
        let big_endian = match head.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let form = Self { big_endian, long: false };
        match form.number(head.get(2..4)?) {
            42 => Some(form),
            43 => Some(Self { long: true, ..form }),
            _ => None,
        }
    }

    /// A number of as many bytes as there are, at most eight.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    const fn offset_len(self) -> usize {
        if self.long { 8 } else { 4 }
    }
}

/// One entry of a directory.
struct Entry {
    tag: u16,
    /// Bytes per value.
    width: u64,
    count: u64,
    /// The values, or where they are.
    field: Vec<u8>,
}

impl Entry {
    fn of(form: Form, bytes: &[u8]) -> Option<Self> {
        let len = form.offset_len();
        let width = match form.number(bytes.get(2..4)?) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            _ => 8,
        };
        Some(Self {
            tag: u16::try_from(form.number(bytes.get(..2)?)).ok()?,
            width,
            count: form.number(bytes.get(4..4 + len)?),
            field: bytes.get(4 + len..4 + 2 * len)?.to_vec(),
        })
    }

    fn first(&self, form: Form) -> u64 {
        let width = usize::try_from(self.width).unwrap_or(1).min(self.field.len());
        form.number(&self.field[..width])
    }

    /// All of its values, in bounds.
    fn values<E>(&self, form: Form, read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<Vec<u64>, E> {
        let len = self.count.min(MAX_PARTS) * self.width;
        let bytes =
            if len > self.field.len() as u64 { read(form.number(&self.field), len)? } else { self.field.clone() };
        let count = usize::try_from(self.count.min(MAX_PARTS)).unwrap_or(0);
        Ok(bytes.chunks_exact(usize::try_from(self.width).unwrap_or(1)).take(count).map(|n| form.number(n)).collect())
    }
}

/// The first directory of a file.
#[derive(Default)]
struct Directory {
    entries: Vec<Entry>,
    /// Where it ends: with the place of the next one.
    end: u64,
}

impl Directory {
    /// `read` gives the bytes at an offset, fewer where the file ends.
    fn read<E>(form: Form, head: &[u8], read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let len = form.offset_len();
        let (at, count_len, entry_len) = if form.long { (8, 8u64, 20usize) } else { (4, 2, 12) };
        let Some(start) = head.get(at..at + len).map(|bytes| form.number(bytes)) else { return Ok(Self::default()) };
        let count = form.number(&read(start, count_len)?).min(MAX_ENTRIES);
        let (first, size) = (start.saturating_add(count_len), count * entry_len as u64);
        let bytes = read(first, size)?;
        let entries = bytes.chunks_exact(entry_len).filter_map(|bytes| Entry::of(form, bytes)).collect();
        Ok(Self { entries, end: first.saturating_add(size + len as u64) })
    }
}

pub(super) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Picture> {
    let head = read_up_to(reader, 0, 16)?;
    let Some(form) = Form::of(&head) else { return Ok(Picture::still(None, true)) };
    let mut read = |at, n| read_up_to(reader, at, n);
    let Directory { entries, mut end } = Directory::read(form, &head, &mut read)?;
    let find = |tag| entries.iter().find(|entry| entry.tag == tag);
    let side = |tag| find(tag).and_then(|entry| u32::try_from(entry.first(form)).ok());
    for (offsets, sizes) in [(STRIP_OFFSETS, STRIP_SIZES), (TILE_OFFSETS, TILE_SIZES)] {
        let (Some(offsets), Some(sizes)) = (find(offsets), find(sizes)) else { continue };
        let ends = offsets.values(form, &mut read)?.into_iter().zip(sizes.values(form, &mut read)?);
        end = ends.map(|(start, size)| start.saturating_add(size)).fold(end, u64::max);
    }
    let size = side(WIDTH).zip(side(HEIGHT));
    // Writers put the directory behind the picture: cut off, there is none.
    let whole = size.is_some() && end <= len;
    let turned = find(ORIENTATION).is_some_and(|entry| is_quarter(entry.first(form)));
    Ok(Picture { turned, ..Picture::still(size, whole) })
}

/// Whether Exif says that the picture is shown with its sides swapped.
pub(super) fn is_turned(exif: &[u8]) -> bool {
    let Some(form) = Form::of(exif) else { return false };
    let mut read = |at: u64, n: u64| {
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(exif.len());
        let end = start.saturating_add(usize::try_from(n).unwrap_or(usize::MAX)).min(exif.len());
        Ok::<_, std::convert::Infallible>(exif[start..end].to_vec())
    };
    let Ok(directory) = Directory::read(form, exif, &mut read);
    directory.entries.iter().any(|entry| entry.tag == ORIENTATION && is_quarter(entry.first(form)))
}

/// Four of the eight orientations are quarter turns.
const fn is_quarter(orientation: u64) -> bool {
    matches!(orientation, 5..=8)
}
