//! Virtual fast start: the order in which a clip's bytes are served.
//!
//! An MP4 or QuickTime file whose `moov` stands behind its data cannot start
//! to play before its end is there. Such a clip is served with `moov` directly
//! behind `ftyp`, and with the chunk offsets in it (`stco`, `co64`; ISO/IEC
//! 14496-12, 8.7.5) raised by its own length. The stored bytes stay as they
//! are; the view has as many bytes as the file, and is computed from the boxes
//! alone. Whatever is odd is served as it is.

mod movie;
mod scan;

use std::{fmt, ops::Range, str::FromStr};

pub use self::{
    movie::Movie,
    scan::{Scan, scan},
};

/// In which order a clip's bytes are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Plain,
    /// `moov` first.
    FastStart(FastStart),
}

/// Where a `moov` is and where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastStart {
    /// Where it is served: behind `ftyp`.
    pub insert_at: u64,
    /// Where it is in the file.
    pub movie_at: u64,
    pub movie_len: u64,
}

/// Where bytes of a view come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    File(Range<u64>),
    /// From the changed `moov`: a range within it.
    Movie(Range<u64>),
}

impl FastStart {
    /// The view's stretches in its order, each with where it starts.
    fn stretches(&self, len: u64) -> [(u64, Piece); 4] {
        let Self { insert_at, movie_at, movie_len } = *self;
        let movie_end = movie_at + movie_len;
        [
            (0, Piece::File(0..insert_at)),
            (insert_at, Piece::Movie(0..movie_len)),
            (insert_at + movie_len, Piece::File(insert_at..movie_at)),
            (movie_end, Piece::File(movie_end..len)),
        ]
    }

    /// Where the `moov` is in the file.
    pub const fn movie(&self) -> Range<u64> {
        self.movie_at..self.movie_at + self.movie_len
    }

    /// Where the bytes `range` of the view come from, for a file of `len` bytes.
    pub fn pieces(&self, range: &Range<u64>, len: u64) -> Vec<Piece> {
        let cut = |(at, piece): (u64, Piece)| {
            let within = |of: Range<u64>| {
                let start = of.start + range.start.saturating_sub(at);
                let end = of.end.min(of.start + range.end.saturating_sub(at));
                (start < end).then_some(start..end)
            };
            match piece {
                Piece::File(of) => within(of).map(Piece::File),
                Piece::Movie(of) => within(of).map(Piece::Movie),
            }
        };
        self.stretches(len).into_iter().filter_map(cut).collect()
    }
}

/// As it is kept in a row.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::FastStart(fast) => {
                write!(f, "fast_start:{}:{}:{}", fast.insert_at, fast.movie_at, fast.movie_len)
            }
        }
    }
}

/// The text is no view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no view")]
pub struct NoView;

impl FromStr for View {
    type Err = NoView;

    fn from_str(text: &str) -> Result<Self, NoView> {
        if text == "plain" {
            return Ok(Self::Plain);
        }
        let numbers = text.strip_prefix("fast_start:").ok_or(NoView)?;
        let numbers: Vec<u64> = numbers.split(':').map_while(|number| number.parse().ok()).collect();
        let [insert_at, movie_at, movie_len] = numbers[..] else { return Err(NoView) };
        let sound = insert_at <= movie_at && movie_at.checked_add(movie_len).is_some();
        sound.then_some(Self::FastStart(FastStart { insert_at, movie_at, movie_len })).ok_or(NoView)
    }
}

#[cfg(test)]
mod tests;
