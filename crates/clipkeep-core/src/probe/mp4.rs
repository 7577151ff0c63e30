//! MP4 and QuickTime: facts from `moov`, and from the fragments where the
//! movie is fragmented.

use std::io::{Read, Seek};

use mp4_atom::{Co64, Mdhd, Mehd, Mvhd, Stco, Stts, Tkhd, Trex};

use super::{
    ProbeError, Result, bare,
    boxes::{BoxAt, Boxes},
    codec, seconds,
    timing::{self, Timing},
};
use crate::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};

const MAX_TRACKS: usize = 64;
const MAX_SMALL: u64 = 64 * 1024;
/// A sample description may embed a colour profile.
const MAX_DESCRIPTION: u64 = 1024 * 1024;
/// Two million entries; longer tables are not looked at.
const MAX_TABLE: u64 = 16 * 1024 * 1024;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<MediaInfo> {
    let mut boxes = Boxes::new(reader, len);
    let mut movie: Option<Movie> = None;
    let mut has_data = false;
    let mut rest = boxes.all();
    while let Some(found) = boxes.next(&mut rest)? {
        match (&found.name(), &mut movie) {
            (b"moov", None) => movie = Some(Movie::read(&mut boxes, &found)?),
            (b"mdat", _) => has_data = true,
            (b"moof", Some(movie)) => movie.add_fragment(&mut boxes, &found)?,
            _ => {}
        }
    }
    let movie = movie.ok_or(ProbeError::NoMovie)?;
    movie.check_whole(len, has_data)?;
    movie.facts(media)
}

#[derive(Default)]
struct Movie {
    timescale: u32,
    duration: u64,
    /// `mehd`: the duration with all fragments.
    whole_duration: u64,
    fragmented: bool,
    tracks: Vec<Track>,
}

#[derive(Default)]
struct Track {
    handler: [u8; 4],
    timescale: u32,
    /// In the movie's time scale, edits applied.
    duration: u64,
    width: u32,
    height: u32,
    codec: Option<String>,
    timing: Timing,
    /// Where the last chunk of the sample table starts.
    last_chunk: Option<u64>,
}

impl Movie {
    fn read<R: Read + Seek>(boxes: &mut Boxes<'_, R>, moov: &BoxAt) -> Result<Self> {
        let mut movie = Self::default();
        let mut defaults: Vec<Trex> = Vec::new();
        let mut rest = moov.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match &found.name() {
                b"mvhd" => {
                    let header: Mvhd = boxes.atom(&found, MAX_SMALL)?.ok_or(ProbeError::Malformed("mvhd"))?;
                    movie.timescale = header.timescale;
                    movie.duration = known(header.duration);
                }
                b"trak" if movie.tracks.len() < MAX_TRACKS => movie.tracks.push(Track::read(boxes, &found)?),
                b"mvex" => movie.read_extension(boxes, &found, &mut defaults)?,
                _ => {}
            }
        }
        for track in &mut movie.tracks {
            if let Some(own) = defaults.iter().find(|own| own.track_id == track.timing.track_id) {
                track.timing.set_defaults(own);
            }
        }
        Ok(movie)
    }

    fn read_extension<R: Read + Seek>(
        &mut self,
        boxes: &mut Boxes<'_, R>,
        mvex: &BoxAt,
        defaults: &mut Vec<Trex>,
    ) -> Result<()> {
        self.fragmented = true;
        let mut rest = mvex.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match &found.name() {
                b"mehd" => {
                    let header: Option<Mehd> = boxes.atom(&found, MAX_SMALL)?;
                    self.whole_duration = header.map_or(0, |header| known(header.fragment_duration));
                }
                b"trex" if defaults.len() < MAX_TRACKS => defaults.extend(boxes.atom::<Trex>(&found, MAX_SMALL)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn add_fragment<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, moof: &BoxAt) -> Result<()> {
        let mut timings: Vec<&mut Timing> = self.tracks.iter_mut().map(|track| &mut track.timing).collect();
        timing::add_fragment(boxes, moof, &mut timings)
    }

    /// Boxes may all be whole where the file is not: cut before its first
    /// `mdat`, or within an `mdat` that goes «to the end».
    fn check_whole(&self, len: u64, has_data: bool) -> Result<()> {
        let past_end = self.tracks.iter().filter_map(|track| track.last_chunk).any(|chunk| chunk >= len);
        if past_end || !has_data { Err(ProbeError::Truncated) } else { Ok(()) }
    }

    fn facts(&self, media: &'static MediaType) -> Result<MediaInfo> {
        let first = |handler: &[u8; 4]| self.tracks.iter().find(|track| track.handler == *handler);
        let (kind, main) = match (first(b"vide"), first(b"soun")) {
            (Some(video), _) => (Kind::Video, video),
            (None, Some(sound)) => (Kind::Audio, sound),
            (None, None) => return Err(ProbeError::Malformed("no video or audio track")),
        };
        let mut facts = bare(media);
        if kind != media.kind {
            facts.kind = kind;
            facts.content_type = if kind == Kind::Audio { "audio/mp4" } else { "video/mp4" }.to_owned();
        }
        facts.duration = self.seconds();
        facts.codec.clone_from(&main.codec);
        if kind == Kind::Video {
            facts.fps = seconds(main.timescale.into(), main.timing.per_sample());
            facts.width = Some(main.width).filter(|side| *side > 0);
            facts.height = Some(main.height).filter(|side| *side > 0);
        }
        Ok(facts)
    }

    fn seconds(&self) -> Option<f64> {
        let timescale = f64::from(self.timescale);
        let whole = seconds(self.whole_duration as f64, timescale);
        if self.fragmented {
            return whole.or_else(|| self.played()).or_else(|| seconds(self.duration as f64, timescale));
        }
        let longest = self.tracks.iter().map(|track| track.duration).max().unwrap_or(0);
        let told = if self.duration > 0 { self.duration } else { longest };
        seconds(told as f64, timescale).or_else(|| self.played())
    }

    /// From the earliest sample of any track to the last one's end.
    fn played(&self) -> Option<f64> {
        let ends = self.tracks.iter().filter_map(Track::span);
        let (start, end) = ends.reduce(|(start, end), (s, e)| (start.min(s), end.max(e)))?;
        seconds(end - start, 1.0)
    }
}

impl Track {
    fn read<R: Read + Seek>(boxes: &mut Boxes<'_, R>, trak: &BoxAt) -> Result<Self> {
        let mut track = Self::default();
        track.read_children(boxes, trak)?;
        Ok(track)
    }

    /// The containers on the way to the sample tables hold one of each kind,
    /// so one flat match reads them all.
    fn read_children<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, parent: &BoxAt) -> Result<()> {
        let mut rest = parent.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match (&parent.name(), &found.name()) {
                (b"trak", b"mdia") | (b"mdia", b"minf") | (b"minf", b"stbl") => self.read_children(boxes, &found)?,
                (b"trak", b"tkhd") => {
                    let header = boxes.atom(&found, MAX_SMALL)?.ok_or(ProbeError::Malformed("tkhd"))?;
                    self.set_header(&header);
                }
                (b"mdia", b"mdhd") => {
                    let header: Mdhd = boxes.atom(&found, MAX_SMALL)?.ok_or(ProbeError::Malformed("mdhd"))?;
                    self.timescale = header.timescale;
                }
                // Only the handler's kind: its name is in any encoding.
                (b"mdia", b"hdlr") => {
                    let head = boxes.bytes(&found, 12)?;
                    self.handler = head.last_chunk().copied().filter(|_| head.len() == 12).unwrap_or_default();
                }
                (b"stbl", _) => self.read_table(boxes, &found)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_table<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, found: &BoxAt) -> Result<()> {
        match &found.name() {
            b"stsd" => self.codec = codec::of_description(&boxes.bytes(found, MAX_DESCRIPTION)?),
            b"stts" => {
                if let Some(table) = boxes.atom::<Stts>(found, MAX_TABLE)? {
                    self.timing.add_table(&table);
                }
            }
            b"stco" => {
                let table: Option<Stco> = boxes.atom(found, MAX_TABLE)?;
                self.last_chunk = table.and_then(|table| table.entries.into_iter().max()).map(u64::from);
            }
            b"co64" => {
                let table: Option<Co64> = boxes.atom(found, MAX_TABLE)?;
                self.last_chunk = table.and_then(|table| table.entries.into_iter().max());
            }
            _ => {}
        }
        Ok(())
    }

    fn set_header(&mut self, header: &Tkhd) {
        self.timing.track_id = header.track_id;
        self.duration = known(header.duration);
        let round = |side: mp4_atom::FixedPoint<u16>| u32::from(side.integer()) + u32::from(side.decimal() >> 15);
        let (width, height) = (round(header.width), round(header.height));
        // A quarter turn has its scale off the diagonal.
        let turned = header.matrix.a == 0 && header.matrix.d == 0 && header.matrix.b != 0;
        (self.width, self.height) = if turned { (height, width) } else { (width, height) };
    }

    /// From the first sample to the last one's end, in seconds.
    fn span(&self) -> Option<(f64, f64)> {
        let start = self.timing.start?;
        let timescale = f64::from(self.timescale);
        (self.timescale > 0).then(|| (start as f64 / timescale, self.timing.end as f64 / timescale))
    }
}

/// A duration of all ones says «not known».
fn known(duration: u64) -> u64 {
    if duration == u64::MAX || duration == u64::from(u32::MAX) { 0 } else { duration }
}
