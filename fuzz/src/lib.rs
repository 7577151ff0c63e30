//! What the fuzz targets share: mutators that know how boxes and elements are
//! built, so that most mutants get past the outermost header.

pub mod boxes;
pub mod ebml;

/// No media input is longer: deep and wide structures fit, and each run stays short.
pub const MAX_MEDIA: usize = 1 << 20;

/// A small generator of numbers, so that a mutation follows from its seed alone.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed) << 1 | 1)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // xorshift64 (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        if end == 0 { 0 } else { (self.0 % end as u64) as usize }
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Replaces `data[..len]` by `new` where that fits, and answers the new length.
pub fn replace(data: &mut [u8], len: usize, new: &[u8]) -> usize {
    if new.is_empty() || new.len() > data.len() {
        return len;
    }
    data[..new.len()].copy_from_slice(new);
    new.len()
}
