//! What must be true, by the test's own books.

use std::{collections::BTreeMap, fmt};

use fal_sim::Media;

/// One generation that was told of.
pub(super) struct Told {
    pub(super) media: Media,
    pub(super) source: String,
    pub(super) acknowledged: bool,
}

/// All that was told, and what was done to the nodes meanwhile.
#[derive(Default)]
pub(super) struct Oracle {
    pub(super) acknowledged: BTreeMap<String, Told>,
    pub(super) kills: u32,
    pub(super) pauses: u32,
    pub(super) rotten: u32,
    pub(super) jumps: u32,
    pub(super) power_cuts: u32,
    pub(super) full_disks: u32,
    pub(super) bucket_faults: u32,
    pub(super) source_faults: u32,
    pub(super) views: u32,
}

impl Oracle {
    /// Those that some node answered 200.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (&String, &Told)> {
        self.acknowledged.iter().filter(|(_, told)| told.acknowledged)
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, rotten, jumps, power_cuts, full_disks, bucket_faults, source_faults, views, .. } =
            self;
        write!(
            f,
            "{} clips; {kills} kills, {pauses} pauses, {rotten} damaged copies, {jumps} clock jumps, \
             {power_cuts} power cuts, {full_disks} full disks, {bucket_faults} bucket faults, {source_faults} faulty sources, {views} views: nothing lost, doubled or wrong",
            self.acknowledged.len()
        )
    }
}

/// Numbers that a seed repeats.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `0..below` (xorshift).
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
