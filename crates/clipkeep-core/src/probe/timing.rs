//! When a track's samples play: from its sample table, or fragment by fragment.

use std::io::{Read, Seek};

use mp4_atom::{Stts, Tfdt, Tfhd, Trex, Trun, TrunSamples};

use super::{
    Result,
    boxes::{BoxAt, Boxes},
};

/// About 65,000 samples in one run.
const MAX_TRUN: u64 = 1024 * 1024;
const MAX_SMALL: u64 = 64 * 1024;

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
    /// Counts the samples of the sample table.
    pub(super) fn add_table(&mut self, table: &Stts) {
        for entry in &table.entries {
            self.add(entry.sample_count, entry.sample_delta);
        }
        if self.samples > 0 {
            self.start = Some(0);
        }
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

    fn start_at(&mut self, time: u64) {
        self.end = self.end.max(time);
        self.start.get_or_insert(time);
    }

    fn add_run(&mut self, run: &Trun, default_duration: Option<u32>) {
        let default_duration = default_duration.unwrap_or(self.default_duration);
        self.in_fragments = true;
        self.start.get_or_insert(self.end);
        match &run.samples {
            TrunSamples::Inherited { count, .. } => self.add(*count, default_duration),
            TrunSamples::Explicit(entries) => {
                entries.iter().for_each(|entry| self.add(1, entry.duration.unwrap_or(default_duration)));
            }
        }
    }

    fn add(&mut self, count: u32, duration: u32) {
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

/// Counts the samples of one `moof`.
pub(super) fn add_fragment<R: Read + Seek>(
    boxes: &mut Boxes<'_, R>,
    fragment: &BoxAt,
    tracks: &mut [&mut Timing],
) -> Result<()> {
    let mut rest = fragment.body.clone();
    while let Some(child) = boxes.next(&mut rest)? {
        if child.name() == *b"traf" {
            add_track_fragment(boxes, &child, tracks)?;
        }
    }
    Ok(())
}

fn add_track_fragment<R: Read + Seek>(
    boxes: &mut Boxes<'_, R>,
    fragment: &BoxAt,
    tracks: &mut [&mut Timing],
) -> Result<()> {
    let mut header = Tfhd::default();
    let mut rest = fragment.body.clone();
    while let Some(child) = boxes.next(&mut rest)? {
        // `tfhd` comes first and names the track, `tfdt` before any `trun`.
        match &child.name() {
            b"tfhd" => header = boxes.atom(&child, MAX_SMALL)?.unwrap_or_default(),
            b"tfdt" => {
                let time: Option<Tfdt> = boxes.atom(&child, MAX_SMALL)?;
                if let (Some(time), Some(timing)) = (time, of_track(tracks, header.track_id)) {
                    timing.start_at(time.base_media_decode_time);
                }
            }
            b"trun" => {
                let run: Option<Trun> = boxes.atom(&child, MAX_TRUN)?;
                if let (Some(run), Some(timing)) = (run, of_track(tracks, header.track_id)) {
                    timing.add_run(&run, header.default_sample_duration);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn of_track<'t>(tracks: &'t mut [&mut Timing], track_id: u32) -> Option<&'t mut Timing> {
    tracks.iter_mut().find(|timing| timing.track_id == track_id).map(|timing| &mut **timing)
}
