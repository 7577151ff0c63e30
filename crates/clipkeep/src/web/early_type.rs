//! Which media type the viewers of a clip are told before all of it is here. It
//! is the same for as long as the content epoch lasts, since its ETag is.

use std::ops::Range;

use bytes::Bytes;
use clipkeep_core::{
    generation::Clip,
    id::ClipKey,
    media_type::MediaType,
    probe::{self, content_type},
    sniff::SNIFF_LEN,
};

use crate::{
    app::App,
    catalog::CatalogError,
    faststart::{Fast, ReadAt},
};

/// How much of a clip is looked at that comes in one stream.
pub(super) const HEAD: u64 = 64 * 1024;
/// The most pieces that are looked at; a header that takes more is too long.
const MAX_READS: usize = 32;

/// What a look told.
pub(super) enum Early {
    /// What it is to be called.
    Decided(String),
    /// What it is to be called unless somebody was told otherwise: the row
    /// decides, because a later look may find more.
    Undecided(String),
}

impl Early {
    /// What the viewers of this content epoch are told; `None` if it is over.
    pub(super) async fn decided(self, app: &App, key: &ClipKey, epoch: i64) -> Result<Option<String>, CatalogError> {
        match self {
            Self::Decided(name) => Ok(Some(name)),
            Self::Undecided(name) => app.catalog.decide_type(key, epoch, &name).await,
        }
    }
}

/// What a look goes by.
pub(super) struct Seen<'a> {
    /// What it was sniffed as, from the first bytes.
    pub(super) media: &'static MediaType,
    /// Those bytes.
    pub(super) head: Bytes,
    /// The `moov` that it is served with, where that was moved.
    pub(super) fast: Option<&'a Fast>,
    /// How long the clip is; out of all bounds where that is not known.
    pub(super) len: u64,
    /// How far it may be looked at.
    pub(super) reach: u64,
}

/// Looks at a clip of a content epoch, at no more than must be seen.
pub(super) async fn early<L: ReadAt>(
    clip: &Clip,
    epoch: i64,
    seen: Seen<'_>,
    bytes: &mut L,
) -> Result<Early, L::Error> {
    if let Some(told) = clip.served_type.as_ref().filter(|_| clip.epoch == epoch) {
        return Ok(Early::Decided(told.clone()));
    }
    let Seen { media, head, fast, mut len, reach } = seen;
    let mut pieces = vec![(0, head)];
    if let Some(fast) = fast {
        // All that tells is in there.
        len = fast.movie.bytes().len() as u64;
        pieces = vec![(0, fast.movie.bytes().clone())];
    }
    if (pieces[0].1.len()) < SNIFF_LEN {
        len = len.min(pieces[0].1.len() as u64);
    }
    for _ in 0..MAX_READS {
        match content_type(len, media, |range| held(&pieces, &range)) {
            probe::Early::Known(name) if name == media.name => return Ok(Early::Decided(name)),
            probe::Early::Known(name) => return Ok(Early::Undecided(name)),
            probe::Early::Need(range) if range.end <= reach => {
                let there = bytes.read_at(range.clone()).await?;
                if (there.len() as u64) < range.end - range.start {
                    // It ends there.
                    len = range.start + there.len() as u64;
                }
                pieces.push((range.start, there));
            }
            probe::Early::Need(_) | probe::Early::Unknown => break,
        }
    }
    Ok(Early::Undecided(media.name.to_owned()))
}

/// The bytes of `range`, if one of the pieces has all of them.
fn held(pieces: &[(u64, Bytes)], range: &Range<u64>) -> Option<Bytes> {
    let holds = |(at, bytes): &&(u64, Bytes)| *at <= range.start && range.end <= at + bytes.len() as u64;
    let (at, bytes) = pieces.iter().find(holds)?;
    Some(bytes.slice((range.start - at) as usize..(range.end - at) as usize))
}
