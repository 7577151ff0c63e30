//! Frames without a container: MPEG audio, ADTS, AC-3. Each is counted, so
//! that neither a variable rate nor a header that lies makes a difference.

use std::io::{Read, Seek, SeekFrom};

use super::AudioFacts;
use crate::{
    probe::{
        ProbeError, Result,
        frame::{Codec, Frame},
        read_up_to, seconds,
    },
    sniff::tags_end,
};

/// How much is counted; what is longer is taken to go on alike.
const MOST: u64 = 256 * 1024 * 1024;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let start = tags_end(len, |at, n| read_up_to(reader, at, n))?;
    let mut bytes = Window::new(reader, start)?;
    let mut count = Count { start, ..Count::default() };
    loop {
        let step = count.step(&mut bytes)?;
        if !bytes.skip(step)? || bytes.at() - start >= MOST {
            break;
        }
    }
    let counted = bytes.at() - start;
    let Some(first) = count.first else { return Err(ProbeError::Malformed("no frame of sound")) };
    let whole = if counted >= MOST { (len - start) as f64 / counted as f64 } else { 1.0 };
    Ok(AudioFacts::sound(seconds(count.samples as f64 * whole, first.rate.into()), first.codec.name()))
}

#[derive(Default)]
struct Count {
    start: u64,
    first: Option<Frame>,
    samples: u64,
    /// Whether the last frame ended where the next should begin.
    in_step: bool,
}

impl Count {
    /// Counts what is next, if that is a frame; answers its length.
    fn step<R: Read + Seek>(&mut self, bytes: &mut Window<'_, R>) -> Result<usize> {
        let at = bytes.at();
        let Some(frame) = Frame::at(bytes.peek(Frame::HEAD)?) else {
            self.in_step = false;
            return bytes.next_mark();
        };
        let seen = bytes.peek(frame.len + Frame::HEAD)?;
        let is_end = seen.len() < frame.len + Frame::HEAD;
        let proven = match seen.get(frame.len..).and_then(Frame::at) {
            Some(next) => frame.continues(&next),
            None => is_end && (at == self.start || self.first.is_some()),
        };
        let fits = self.first.is_none_or(|first| first.continues(&frame));
        self.in_step = fits && (proven || self.in_step);
        if !self.in_step {
            return Ok(1);
        }
        if self.first.is_some() || !is_index(seen, &frame) {
            self.samples += u64::from(frame.samples);
        }
        self.first.get_or_insert(frame);
        Ok(frame.len)
    }
}

/// Whether a first frame holds no sound, but a table of the others.
fn is_index(bytes: &[u8], frame: &Frame) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    let says = |name: &[u8]| head.windows(name.len()).any(|text| text == name);
    frame.codec == Codec::Mp3 && (says(b"Xing") || says(b"Info") || says(b"VBRI"))
}

/// Reads on and on through a small buffer.
struct Window<'a, R> {
    reader: &'a mut R,
    buffer: Vec<u8>,
    /// Where the buffer's first byte is in the file.
    base: u64,
    /// What was skipped of the buffer.
    skipped: usize,
}

impl<'a, R: Read + Seek> Window<'a, R> {
    const CHUNK: u64 = 64 * 1024;

    fn new(reader: &'a mut R, at: u64) -> Result<Self> {
        reader.seek(SeekFrom::Start(at))?;
        Ok(Self { reader, buffer: Vec::new(), base: at, skipped: 0 })
    }

    fn at(&self) -> u64 {
        self.base + self.skipped as u64
    }

    /// The next `len` bytes, fewer at the file's end.
    fn peek(&mut self, len: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.skipped < len {
            self.buffer.drain(..self.skipped);
            self.base += self.skipped as u64;
            self.skipped = 0;
            self.reader.take(Self::CHUNK + len as u64).read_to_end(&mut self.buffer)?;
        }
        let rest = &self.buffer[self.skipped..];
        Ok(&rest[..rest.len().min(len)])
    }

    /// How far it is to a byte that may begin a frame.
    fn next_mark(&mut self) -> Result<usize> {
        let rest = self.peek(Self::CHUNK as usize)?;
        let mark = rest.iter().skip(1).position(|byte| matches!(byte, 0xff | 0x0b));
        Ok(mark.map_or(rest.len(), |at| at + 1).max(1))
    }

    /// Goes on by `len` bytes; false at the file's end.
    fn skip(&mut self, len: usize) -> Result<bool> {
        let there = self.peek(len)?.len();
        self.skipped += there;
        Ok(there == len && !self.peek(1)?.is_empty())
    }
}
