//! When a track's samples play: from its sample table, or fragment by fragment.

use std::io::{Read, Seek};

use mp4_atom::Trex;

use super::{
    Result,
    boxes::{BoxAt, Boxes, Table},
};

/// How many samples a track has and how long they play, in its own time scale.
#[derive(Clone, Debug, Default)]
pub(super) struct Timing {
    pub(super) track_id: u32,
    pub(super) samples: u64,
    played: u64,
    /// The first sample's time, once known.
    pub(super) start: Option<u64>,
    /// The last sample's end.
    pub(super) end: u64,
    /// What fragments take a sample's duration for where they do not say.
    default_duration: u32,
    in_fragments: bool,
    /// The majority vote on a sample's duration: who leads, and by how many.
    common: u32,
    lead: u64,
}

impl Timing {
    /// Counts the samples of the sample table (`stts`).
    pub(super) fn add_table<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, found: &BoxAt) -> Result<()> {
        let head = boxes.bytes(found, 8)?;
        let count = head.get(4..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_be_bytes);
        let mut table = Table::<8>::within(found, 8, count.into());
        while let Some([a, b, c, d, e, f, g, h]) = table.next(boxes)? {
            self.add(u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        }
        if self.samples > 0 {
            self.start = Some(0);
        }
        Ok(())
    }

    pub(super) fn set_defaults(&mut self, defaults: &Trex) {
        self.default_duration = defaults.default_sample_duration;
    }

    /// How long one sample plays on average. In fragments a sample also fills
    /// the gap before the next fragment, so there a common duration counts.
    pub(super) fn per_sample(&self) -> f64 {
        let is_steady = self.lead >= self.samples / 10 * 8;
        if self.in_fragments && is_steady { self.common.into() } else { self.played as f64 / self.samples as f64 }
    }

    /// A fragment says when its first sample plays.
    pub(super) fn start_at(&mut self, time: u64) {
        self.end = self.end.max(time);
        self.start.get_or_insert(time);
    }

    /// What a fragment takes a sample's duration for where it does not say.
    pub(super) const fn default_duration(&self) -> u32 {
        self.default_duration
    }

    /// A run of a fragment's samples begins.
    pub(super) fn begin_run(&mut self) {
        self.in_fragments = true;
        self.start.get_or_insert(self.end);
    }

    /// Counts `count` samples that play for `duration` each.
    pub(super) fn add(&mut self, count: u32, duration: u32) {
        let (count, played) = (u64::from(count), u64::from(count) * u64::from(duration));
        self.samples = self.samples.saturating_add(count);
        self.played = self.played.saturating_add(played);
        self.end = self.end.saturating_add(played);
        if self.common == duration {
            self.lead = self.lead.saturating_add(count);
        } else if self.lead >= count {
            self.lead -= count;
        } else {
            (self.common, self.lead) = (duration, count - self.lead);
        }
    }
}
