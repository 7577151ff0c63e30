//! MP4 and QuickTime: facts from `moov`, and from the fragments where the
//! movie is fragmented; and whether all samples are there.

use std::io::{Read, Seek};

use mp4_atom::{Mdhd, Mehd, Mvhd, Tkhd, Trex};

use super::{
    Length, ProbeError, Result,
    boxes::{BoxAt, Boxes},
    codec::{self, Description},
    fragment,
    samples::SampleTables,
    seconds,
    timing::Timing,
};
use crate::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};

const MAX_TRACKS: usize = 64;
/// How deep boxes of a track are followed. Four levels are the rule.
const MAX_DEPTH: u8 = 8;
const NO_TRACK: ProbeError = ProbeError::Malformed("no video or audio track");

pub(super) fn probe<R: Read + Seek>(
    reader: &mut R,
    len: u64,
    length: Length,
    media: &'static MediaType,
) -> Result<MediaInfo> {
    let mut boxes = Boxes::new(reader, len);
    let mut movie: Option<Movie> = None;
    let mut end = End::default();
    let mut rest = boxes.all();
    while let Some(found) = boxes.next(&mut rest)? {
        match (&found.name(), &mut movie) {
            (b"moov", None) => movie = Some(Movie::read(&mut boxes, &found)?),
            (b"mdat", _) => end.has_data = true,
            (b"moof", Some(movie)) => fragment::add(&mut boxes, &found, &mut movie.tracks)?,
            _ => {}
        }
        end.cut = found.is_cut.then(|| found.name());
    }
    end.odd = rest.end - rest.start;
    match movie {
        Some(movie) => {
            movie.check_whole(len, length, &end)?;
            movie.facts(media)
        }
        None if boxes.gave_up() => Err(ProbeError::Malformed("too many boxes")),
        None if end.cut.is_some() => Err(ProbeError::Truncated),
        None => Err(ProbeError::NoMovie),
    }
}

/// The media type that [`probe`] will find, from the handlers of the first
/// `moov` alone.
pub(super) fn content_type<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<String> {
    let mut boxes = Boxes::new(reader, len);
    let mut rest = boxes.all();
    while let Some(found) = boxes.next(&mut rest)? {
        if found.name() == *b"moov" {
            let mut handlers = Vec::new();
            let mut inner = found.body.clone();
            while let Some(found) = boxes.next(&mut inner)? {
                if found.name() == *b"trak" && handlers.len() < MAX_TRACKS {
                    let mut track = Track::default();
                    track.read_handler(&mut boxes, &found, 1)?;
                    handlers.push(track.handler);
                    if track.handler == *b"vide" {
                        break;
                    }
                }
            }
            let kind = match handlers {
                handlers if handlers.contains(b"vide") => Kind::Video,
                handlers if handlers.contains(b"soun") => Kind::Audio,
                _ => return Err(NO_TRACK),
            };
            return Ok(name_of(kind, media).to_owned());
        }
    }
    Err(ProbeError::NoMovie)
}

/// What a movie of this kind is called that was sniffed as `media`.
fn name_of(kind: Kind, media: &'static MediaType) -> &'static str {
    match kind {
        kind if kind == media.kind => media.name,
        Kind::Audio => "audio/mp4",
        _ => "video/mp4",
    }
}

/// How a file's outermost boxes end.
#[derive(Default)]
struct End {
    has_data: bool,
    /// The box that claims more than there is.
    cut: Option<[u8; 4]>,
    /// Bytes behind the last box that are no box.
    odd: u64,
}

impl End {
    /// Whether a box breaks off there. What is none of these is rather text or
    /// filling behind the last box.
    fn is_cut_box(&self) -> bool {
        const KNOWN: &[&[u8; 4]] = &[
            b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"meta", b"udta", b"sidx",
            b"ssix", b"styp", b"emsg", b"prft", b"pdin", b"imda",
        ];
        self.cut.is_some_and(|kind| KNOWN.contains(&&kind))
    }
}

#[derive(Default)]
struct Movie {
    timescale: u32,
    duration: u64,
    /// `mehd`: the duration with all fragments.
    whole_duration: u64,
    fragmented: bool,
    tracks: Vec<Track>,
    /// Whether it breaks off in a track, or before the first one.
    is_cut: bool,
}

#[derive(Default)]
pub(super) struct Track {
    handler: [u8; 4],
    timescale: u32,
    /// In the movie's time scale, edits applied.
    duration: u64,
    /// Pixels as displayed, by `tkhd`; the turn is in them.
    width: u32,
    height: u32,
    is_turned: bool,
    description: Description,
    pub(super) timing: Timing,
    /// What fragments take a sample's size for where they do not say.
    pub(super) default_size: u32,
    /// Where the last sample ends in the file.
    pub(super) data_end: u64,
}

impl Movie {
    fn read<R: Read + Seek>(boxes: &mut Boxes<'_, R>, moov: &BoxAt) -> Result<Self> {
        let mut movie = Self::default();
        let mut defaults: Vec<Trex> = Vec::new();
        let mut rest = moov.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match &found.name() {
                b"mvhd" => {
                    if let Some(Mvhd { timescale, duration, .. }) = boxes.atom(&found)? {
                        (movie.timescale, movie.duration) = (timescale, known(duration));
                    }
                }
                b"trak" if movie.tracks.len() < MAX_TRACKS => movie.tracks.push(Track::read(boxes, &found)?),
                b"mvex" => movie.read_extension(boxes, &found, &mut defaults)?,
                _ => {}
            }
            movie.is_cut |= moov.is_cut && found.is_cut && found.name() == *b"trak";
        }
        movie.is_cut |= moov.is_cut && movie.tracks.is_empty();
        for track in &mut movie.tracks {
            if let Some(own) = defaults.iter().find(|own| own.track_id == track.timing.track_id) {
                track.timing.set_defaults(own);
                track.default_size = own.default_sample_size;
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
                    let header: Option<Mehd> = boxes.atom(&found)?;
                    self.whole_duration = header.map_or(0, |header| known(header.fragment_duration));
                }
                b"trex" if defaults.len() < MAX_TRACKS => defaults.extend(boxes.atom::<Trex>(&found)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// All samples must be there. What stands behind them is nothing to
    /// players; where nobody said how long the file is, it may tell of a cut.
    fn check_whole(&self, len: u64, length: Length, end: &End) -> Result<()> {
        let played = |track: &&Track| matches!(&track.handler, b"vide" | b"soun");
        let past_end = self.tracks.iter().filter(played).any(|track| track.data_end > len);
        let breaks_off = end.is_cut_box() || (self.fragmented && end.odd > 0);
        let cut = past_end || !end.has_data || self.is_cut || (length == Length::Unknown && breaks_off);
        if cut { Err(ProbeError::Truncated) } else { Ok(()) }
    }

    fn facts(&self, media: &'static MediaType) -> Result<MediaInfo> {
        let first = |handler: &[u8; 4]| self.tracks.iter().find(|track| track.handler == *handler);
        let main = first(b"vide").or_else(|| first(b"soun")).ok_or(NO_TRACK)?;
        let kind = if main.handler == *b"vide" { Kind::Video } else { Kind::Audio };
        let mut facts = MediaInfo::of(media);
        facts.kind = kind;
        name_of(kind, media).clone_into(&mut facts.content_type);
        facts.duration = self.seconds();
        facts.codec.clone_from(&main.description.codec);
        if kind == Kind::Video {
            facts.fps = seconds(main.timescale.into(), main.timing.per_sample());
            (facts.width, facts.height) = main.size().unzip();
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
        let (mut track, mut tables) = (Self::default(), SampleTables::default());
        track.read_children(boxes, trak, 1, &mut tables)?;
        track.data_end = tables.end(boxes)?;
        Ok(track)
    }

    /// The containers on the way to the sample tables hold one of each kind,
    /// so one flat match reads them all, wherever they stand: a container
    /// without a length swallows those behind it.
    fn read_children<R: Read + Seek>(
        &mut self,
        boxes: &mut Boxes<'_, R>,
        parent: &BoxAt,
        depth: u8,
        tables: &mut SampleTables,
    ) -> Result<()> {
        let mut rest = parent.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match &found.name() {
                b"mdia" | b"minf" | b"stbl" | b"edts" | b"dinf" if depth < MAX_DEPTH => {
                    self.read_children(boxes, &found, depth + 1, tables)?;
                }
                b"tkhd" => {
                    if let Some(header) = boxes.atom(&found)? {
                        self.set_header(&header);
                    }
                }
                b"mdhd" => {
                    let header: Option<Mdhd> = boxes.atom(&found)?;
                    self.timescale = header.map_or(0, |header| header.timescale);
                }
                b"hdlr" => self.set_handler(&boxes.bytes(&found, 12)?),
                b"stsd" => self.description = codec::of_description(boxes, &found)?,
                b"stts" => self.timing.add_table(boxes, &found)?,
                _ => tables.take(found),
            }
        }
        Ok(())
    }

    /// Only what its media is, looking at nothing else.
    fn read_handler<R: Read + Seek>(&mut self, boxes: &mut Boxes<'_, R>, parent: &BoxAt, depth: u8) -> Result<()> {
        let mut rest = parent.body.clone();
        while let Some(found) = boxes.next(&mut rest)? {
            match &found.name() {
                b"mdia" | b"minf" | b"stbl" | b"edts" | b"dinf" if depth < MAX_DEPTH => {
                    self.read_handler(boxes, &found, depth + 1)?;
                }
                b"hdlr" => self.set_handler(&boxes.bytes(&found, 12)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Only the handler's kind: its name is in any encoding. QuickTime also
    /// tells of a data handler (`dhlr`), which says nothing of the media.
    fn set_handler(&mut self, head: &[u8]) {
        if let Some([_, _, _, _, component @ .., a, b, c, d]) = head.first_chunk::<12>()
            && component != b"dhlr"
            && self.handler == [0; 4]
        {
            self.handler = [*a, *b, *c, *d];
        }
    }

    fn set_header(&mut self, header: &Tkhd) {
        self.timing.track_id = header.track_id;
        self.duration = known(header.duration);
        let round = |side: mp4_atom::FixedPoint<u16>| u32::from(side.integer()) + u32::from(side.decimal() >> 15);
        (self.width, self.height) = (round(header.width), round(header.height));
        // A quarter turn has its scale off the diagonal.
        self.is_turned = header.matrix.a == 0 && header.matrix.d == 0 && header.matrix.b != 0;
    }

    /// Pixels as displayed: the header's, else those that are coded.
    fn size(&self) -> Option<(u32, u32)> {
        let told = [(self.width, self.height), self.description.size];
        let (width, height) = told.into_iter().find(|(width, height)| *width > 0 && *height > 0)?;
        Some(if self.is_turned { (height, width) } else { (width, height) })
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
