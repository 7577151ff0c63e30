//! GIF: its frames' delays, and the byte that ends it.

use std::{
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    time::Duration,
};

use super::{Picture, part};
use crate::probe::Result;

const MAX_BLOCKS: u32 = 4_000_000;

const EXTENSION: u8 = 0x21;
const CONTROL: u8 = 0xf9;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

pub(super) fn read<R: Read + Seek>(reader: &mut R) -> Result<Picture> {
    reader.seek(SeekFrom::Start(0))?;
    let mut blocks = Blocks(BufReader::new(reader));
    let mut picture = Picture::still(None, false);
    let Some(header) = blocks.bytes::<13>()? else { return Ok(picture) };
    let side = |at| part(&header, at).map(u16::from_le_bytes).map(u32::from);
    picture.size = side(6).zip(side(8));
    picture.whole = blocks.skip(colors(header[10]))? && blocks.walk(&mut picture)?;
    Ok(picture)
}

/// The length of the colour table that these flags announce.
const fn colors(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

struct Blocks<R>(BufReader<R>);

impl<R: Read> Blocks<R> {
    /// Goes through all blocks; answers whether the trailer was there.
    fn walk(&mut self, picture: &mut Picture) -> Result<bool> {
        let mut delay = Duration::ZERO;
        for _ in 0..MAX_BLOCKS {
            match self.bytes()? {
                Some([TRAILER]) => return Ok(true),
                Some([EXTENSION]) => match self.bytes()? {
                    Some([CONTROL]) => {
                        let Some([_, _, low, high, _]) = self.bytes()? else { return Ok(false) };
                        delay = Duration::from_millis(u64::from(u16::from_le_bytes([low, high])) * 10);
                        if !self.skip_parts()? {
                            return Ok(false);
                        }
                    }
                    Some([_]) if self.skip_parts()? => {}
                    _ => return Ok(false),
                },
                Some([IMAGE]) => {
                    let Some([.., flags]) = self.bytes::<9>()? else { return Ok(false) };
                    // The table, and one byte of the code's size.
                    if !self.skip(colors(flags) + 1)? || !self.skip_parts()? {
                        return Ok(false);
                    }
                    picture.animation.show(delay);
                }
                // Decoders end at what is no block, as at the trailer.
                Some(_) => return Ok(true),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Data comes in parts of at most 255 bytes; an empty one is the last.
    fn skip_parts(&mut self) -> Result<bool> {
        while let Some([len]) = self.bytes()? {
            if len == 0 {
                return Ok(true);
            }
            if !self.skip(len.into())? {
                break;
            }
        }
        Ok(false)
    }

    fn bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn skip(&mut self, len: u64) -> Result<bool> {
        let mut left = len;
        while left > 0 {
            let there = self.0.fill_buf()?.len();
            if there == 0 {
                return Ok(false);
            }
            let step = (there as u64).min(left);
            self.0.consume(usize::try_from(step).unwrap_or(there));
            left -= step;
        }
        Ok(true)
    }
}
