//! Fragments (`moof`; ISO/IEC 14496-12, 8.8): when their samples play, and
//! where they end in the file.

use std::io::{Read, Seek};

use mp4_atom::{Tfdt, Tfhd};

use super::{
    Result,
    boxes::{BoxAt, Boxes, Table},
    mp4::Track,
};

/// Adds the samples of one `moof` to its tracks.
pub(super) fn add<R: Read + Seek>(boxes: &mut Boxes<'_, R>, moof: &BoxAt, tracks: &mut [Track]) -> Result<()> {
    // Where a track's data start that does not say: at its fragment, or behind
    // the data of the track before it.
    let mut base = moof.start;
    let mut rest = moof.body.clone();
    while let Some(child) = boxes.next(&mut rest)? {
        if child.name() == *b"traf" {
            base = add_track(boxes, &child, moof.start, base, tracks)?;
        }
    }
    Ok(())
}

/// Answers where the track's data end.
fn add_track<R: Read + Seek>(
    boxes: &mut Boxes<'_, R>,
    traf: &BoxAt,
    moof: u64,
    mut at: u64,
    tracks: &mut [Track],
) -> Result<u64> {
    let (mut header, mut base) = (Tfhd::default(), at);
    let mut rest = traf.body.clone();
    while let Some(child) = boxes.next(&mut rest)? {
        let track = tracks.iter_mut().find(|track| track.timing.track_id == header.track_id);
        // `tfhd` comes first and names the track, `tfdt` before any `trun`.
        match (&child.name(), track) {
            (b"tfhd", _) => {
                header = boxes.atom(&child)?.unwrap_or_default();
                base = if header.default_base_is_moof { moof } else { header.base_data_offset.unwrap_or(base) };
                at = base;
            }
            (b"tfdt", Some(track)) => {
                if let Some(Tfdt { base_media_decode_time, .. }) = boxes.atom(&child)? {
                    track.timing.start_at(base_media_decode_time);
                }
            }
            (b"trun", Some(track)) => {
                let run = Run::read(boxes, &child)?;
                at = run.offset.map_or(Some(at), |offset| base.checked_add_signed(offset.into())).unwrap_or(at);
                at = at.saturating_add(run.add(boxes, &child, &header, track)?);
                track.data_end = track.data_end.max(at);
            }
            _ => {}
        }
    }
    Ok(at)
}

/// What a `trun` says before its samples.
#[derive(Default)]
struct Run {
    flags: u32,
    count: u32,
    offset: Option<i32>,
    /// How many bytes stand before the samples.
    head: u64,
}

impl Run {
    const OFFSET: u32 = 0x1;
    const FIRST_FLAGS: u32 = 0x4;
    const DURATION: u32 = 0x100;
    const SIZE: u32 = 0x200;
    const FLAGS: u32 = 0x400;
    const COMPOSITION: u32 = 0x800;

    fn read<R: Read + Seek>(boxes: &mut Boxes<'_, R>, trun: &BoxAt) -> Result<Self> {
        let bytes = boxes.bytes(trun, 12)?;
        let word = |at: usize| bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map(u32::from_be_bytes);
        let (Some(flags), Some(count)) = (word(0), word(4)) else { return Ok(Self::default()) };
        let has = |flag| u64::from(flags & flag != 0);
        let offset = word(8).filter(|_| has(Self::OFFSET) == 1).map(u32::cast_signed);
        Ok(Self { flags, count, offset, head: 8 + 4 * (has(Self::OFFSET) + has(Self::FIRST_FLAGS)) })
    }

    /// Adds the run's samples to its track; answers how many bytes they have.
    fn add<R: Read + Seek>(
        &self,
        boxes: &mut Boxes<'_, R>,
        trun: &BoxAt,
        header: &Tfhd,
        track: &mut Track,
    ) -> Result<u64> {
        let timing = &mut track.timing;
        let duration = header.default_sample_duration.unwrap_or(timing.default_duration());
        let size = u64::from(header.default_sample_size.unwrap_or(track.default_size));
        timing.begin_run();
        let told = [Self::DURATION, Self::SIZE, Self::FLAGS, Self::COMPOSITION].map(|flag| self.flags & flag != 0);
        let words = told.into_iter().filter(|told| *told).count() as u64;
        if words == 0 {
            timing.add(self.count, duration);
            return Ok(size.saturating_mul(self.count.into()));
        }
        let mut table = Table::<4>::within(trun, self.head, words * u64::from(self.count));
        let mut sum = 0_u64;
        for _ in 0..self.count {
            let mut sample = [None; 4];
            for (word, _) in sample.iter_mut().zip(told).filter(|(_, told)| *told) {
                *word = table.next(boxes)?.map(u32::from_be_bytes);
                if word.is_none() {
                    return Ok(sum);
                }
            }
            timing.add(1, sample[0].unwrap_or(duration));
            sum = sum.saturating_add(sample[1].map_or(size, u64::from));
        }
        Ok(sum)
    }
}
