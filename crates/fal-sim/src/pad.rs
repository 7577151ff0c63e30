//! Large clips that are mostly padding, made up as they are read.

use std::{ops::Range, sync::OnceLock};

use bytes::Bytes;

/// The random bytes that all padding is cut from.
const BLOCK: u64 = 1 << 20;
/// Each stretch of padding starts elsewhere in the block, so that no two are
/// alike: swapped, repeated or shifted bytes show.
const STRETCH: u64 = 64 << 10;

/// A clip, then a `free` box up to the wanted length.
#[derive(Debug)]
pub(crate) struct Padded {
    head: Bytes,
    tail: Bytes,
    len: u64,
    seed: u64,
}

impl Padded {
    /// The padding stands behind the first `at` bytes of the clip.
    pub(crate) fn new(clip: Bytes, at: usize, len: u64, seed: u64) -> Self {
        let free = len.checked_sub(clip.len() as u64).filter(|free| *free >= 16);
        let free = free.unwrap_or_else(|| panic!("a padded clip has at least {} bytes", clip.len() + 16));
        let (mut head, tail) = (clip[..at].to_vec(), clip.slice(at..));
        // A 64-bit box size: 1, the type, then the real size.
        head.extend_from_slice(&1_u32.to_be_bytes());
        head.extend_from_slice(b"free");
        head.extend_from_slice(&free.to_be_bytes());
        Self { head: head.into(), tail, len, seed }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn chunk(&self, range: Range<u64>) -> Bytes {
        let head = self.head.len() as u64;
        if range.start < head {
            return self.head.slice(range.start as usize..range.end.min(head) as usize);
        }
        let padded = self.len - self.tail.len() as u64;
        if range.start >= padded {
            return self.tail.slice((range.start - padded) as usize..(range.end - padded) as usize);
        }
        let range = range.start..range.end.min(padded);
        let at = range.start - head;
        let (stretch, within) = (at / STRETCH, at % STRETCH);
        let take = (STRETCH - within).min(range.end - range.start);
        let shift = mix(stretch ^ self.seed.rotate_left(32)) % (BLOCK - STRETCH);
        let start = (shift + within) as usize;
        block().slice(start..start + take as usize)
    }
}

fn block() -> &'static Bytes {
    static RANDOM: OnceLock<Bytes> = OnceLock::new();
    RANDOM.get_or_init(|| (0..BLOCK / 8).flat_map(|i| mix(i).to_le_bytes()).collect())
}

/// SplitMix64: any number to one that looks random.
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
