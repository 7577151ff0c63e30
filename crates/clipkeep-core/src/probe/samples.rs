//! Where a track's samples end in the file, from its sample tables (ISO/IEC
//! 14496-12, 8.7). This, not the boxes around them, proves that a file is whole.

use std::io::{Read, Seek};

use super::{
    Result,
    boxes::{BoxAt, Boxes, Table},
};

/// The boxes that say where samples are.
#[derive(Default)]
pub(super) struct SampleTables {
    offsets: Option<BoxAt>,
    runs: Option<BoxAt>,
    sizes: Option<BoxAt>,
}

impl SampleTables {
    /// Takes a box of `stbl`. Of two of a kind the first counts.
    pub(super) fn take(&mut self, found: BoxAt) {
        let place = match &found.name() {
            b"stco" | b"co64" => &mut self.offsets,
            b"stsc" => &mut self.runs,
            b"stsz" | b"stz2" => &mut self.sizes,
            _ => return,
        };
        place.get_or_insert(found);
    }

    /// The end of the last sample, as far as the tables tell; 0 for none.
    pub(super) fn end<R: Read + Seek>(&self, boxes: &mut Boxes<'_, R>) -> Result<u64> {
        let (Some(offsets), Some(runs), Some(sizes)) = (&self.offsets, &self.runs, &self.sizes) else { return Ok(0) };
        let mut offsets = Offsets::open(boxes, offsets)?;
        let mut runs = Runs::open(boxes, runs)?;
        let mut sizes = Sizes::open(boxes, sizes)?;
        let (mut end, mut chunk) = (0, 0);
        while sizes.left > 0
            && let Some(offset) = offsets.next(boxes)?
        {
            chunk += 1;
            let samples = runs.samples_of(boxes, chunk)?;
            if samples > 0 {
                end = end.max(offset.saturating_add(sizes.take(boxes, samples)?));
            }
        }
        Ok(end)
    }
}

/// The number that stands `at` bytes into a box.
fn number<R: Read + Seek>(boxes: &mut Boxes<'_, R>, found: &BoxAt, at: usize) -> Result<u32> {
    let head = boxes.bytes(found, at as u64 + 4)?;
    Ok(head.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_be_bytes))
}

enum Offsets {
    Short(Table<4>),
    Long(Table<8>),
}

impl Offsets {
    fn open<R: Read + Seek>(boxes: &mut Boxes<'_, R>, found: &BoxAt) -> Result<Self> {
        let count = number(boxes, found, 4)?.into();
        Ok(match &found.name() {
            b"co64" => Self::Long(Table::within(found, 8, count)),
            _ => Self::Short(Table::within(found, 8, count)),
        })
    }

    fn next<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>) -> Result<Option<u64>> {
        Ok(match self {
            Self::Short(table) => table.next(boxes)?.map(|entry| u32::from_be_bytes(entry).into()),
            Self::Long(table) => table.next(boxes)?.map(u64::from_be_bytes),
        })
    }
}

/// How many samples each chunk has: from which chunk on, and how many.
struct Runs {
    table: Table<12>,
    samples: u64,
    following: Option<(u64, u64)>,
}

impl Runs {
    fn open<R: Read + Seek>(boxes: &mut Boxes<'_, R>, found: &BoxAt) -> Result<Self> {
        let count = number(boxes, found, 4)?.into();
        let mut runs = Self { table: Table::within(found, 8, count), samples: 0, following: None };
        runs.following = runs.next(boxes)?;
        Ok(runs)
    }

    fn next<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>) -> Result<Option<(u64, u64)>> {
        let entry = self.table.next(boxes)?;
        Ok(entry.map(|[a, b, c, d, e, f, g, h, ..]| {
            (u32::from_be_bytes([a, b, c, d]).into(), u32::from_be_bytes([e, f, g, h]).into())
        }))
    }

    /// Of `chunk`, counted from 1; chunks are asked for in their order.
    fn samples_of<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, chunk: u64) -> Result<u64> {
        while let Some((_, samples)) = self.following.filter(|(first, _)| *first <= chunk) {
            self.samples = samples;
            self.following = self.next(boxes)?;
        }
        Ok(self.samples)
    }
}

struct Sizes {
    of_each: Each,
    /// Samples that are still to come.
    left: u64,
}

enum Each {
    /// Not known: it is there if its first byte is.
    Unknown,
    Same(u64),
    Byte(Table<1>),
    Short(Table<2>),
    Long(Table<4>),
}

impl Sizes {
    fn open<R: Read + Seek>(boxes: &mut Boxes<'_, R>, found: &BoxAt) -> Result<Self> {
        let (size, left) = (number(boxes, found, 4)?, number(boxes, found, 8)?.into());
        let of_each = match (&found.name(), size) {
            (b"stz2", 8) => Each::Byte(Table::within(found, 12, left)),
            (b"stz2", 16) => Each::Short(Table::within(found, 12, left)),
            // Half bytes: the start of a chunk is enough.
            (b"stz2", _) => Each::Unknown,
            (_, 0) => Each::Long(Table::within(found, 12, left)),
            // QuickTime says 1 of sound whose samples are of other sizes.
            (_, 1) => Each::Unknown,
            (_, size) => Each::Same(size.into()),
        };
        Ok(Self { of_each, left })
    }

    /// The bytes of the next `samples` samples, or of as many as there are.
    fn take<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, samples: u64) -> Result<u64> {
        let samples = samples.min(self.left);
        self.left -= samples;
        let mut sum = 0_u64;
        for _ in 0..samples {
            let size: Option<u64> = match &mut self.of_each {
                Each::Unknown => return Ok(1),
                Each::Same(size) => return Ok(size.saturating_mul(samples)),
                Each::Byte(table) => table.next(boxes)?.map(|[size]| size.into()),
                Each::Short(table) => table.next(boxes)?.map(|entry| u16::from_be_bytes(entry).into()),
                Each::Long(table) => table.next(boxes)?.map(|entry| u32::from_be_bytes(entry).into()),
            };
            let Some(size) = size else {
                self.left = 0;
                break;
            };
            sum = sum.saturating_add(size);
        }
        Ok(sum)
    }
}
