//! Finds a clip's fast start view, wherever its bytes are.

use std::ops::Range;

use bytes::Bytes;
use clipkeep_core::view::{FastStart, Movie, Scan, View, scan};

/// Wherever a clip's bytes can be looked at.
pub trait ReadAt: Send {
    /// Why they cannot.
    type Error: Send;

    /// The bytes of `range`; fewer only where the clip ends.
    fn read_at(&mut self, range: Range<u64>) -> impl Future<Output = Result<Bytes, Self::Error>> + Send;
}

/// A fast start view with the `moov` that it serves.
#[derive(Clone, Debug)]
pub struct Fast {
    pub at: FastStart,
    /// What stands first.
    pub movie: Movie,
}

impl Fast {
    /// The view that a row names, with its `moov`. `None` if the bytes there are
    /// no such `moov`.
    pub async fn load<L: ReadAt>(at: FastStart, clip: &mut L) -> Result<Option<Self>, L::Error> {
        let original = clip.read_at(at.movie()).await?;
        Ok(Movie::moved(&at, &original).map(|movie| Self { at, movie }))
    }

    /// As it is kept in a row.
    pub const fn view(&self) -> View {
        View::FastStart(self.at)
    }
}

/// The fast start view of a clip of `len` bytes, if it needs one. Looks at the
/// few pieces that tell.
pub async fn find<L: ReadAt>(len: u64, clip: &mut L) -> Result<Option<Fast>, L::Error> {
    let mut seen: Vec<(Range<u64>, Bytes)> = Vec::new();
    loop {
        let have = |range: Range<u64>| {
            let (of, bytes) = seen.iter().find(|(of, _)| of.start <= range.start && range.end <= of.end)?;
            // Within a piece that is in memory.
            Some(bytes.slice((range.start - of.start) as usize..(range.end - of.start) as usize))
        };
        match scan(len, have) {
            Scan::Done(View::Plain) => return Ok(None),
            Scan::Done(View::FastStart(at)) => {
                let movie = have(at.movie()).and_then(|original| Movie::moved(&at, &original));
                return Ok(movie.map(|movie| Fast { at, movie }));
            }
            Scan::Need(range) => {
                let bytes = clip.read_at(range.clone()).await?;
                if bytes.len() as u64 != range.end - range.start {
                    return Ok(None);
                }
                seen.push((range, bytes));
            }
        }
    }
}
