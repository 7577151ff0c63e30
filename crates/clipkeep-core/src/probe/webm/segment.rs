//! What a segment tells, gathered from wherever it stands, and made into facts.

use crate::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
    probe::{ProbeError, Result, codec, ebml::vint_len, seconds},
};

pub(super) struct Segment {
    /// Where positions are counted from.
    pub(super) start: u64,
    /// Where parts stand that may come late, as the segment says.
    pub(super) seeks: Vec<(u32, u64)>,
    pub(super) has_info: bool,
    /// Ticks at which blocks begin.
    pub(super) cluster: u64,
    pub(super) first_block: Option<u64>,
    pub(super) last_block: u64,
    /// Nanoseconds per tick.
    pub(super) scale: u64,
    pub(super) duration: Option<f64>,
    pub(super) tracks: Vec<Track>,
}

#[derive(Default)]
pub(super) struct Track {
    pub(super) kind: u64,
    pub(super) codec_id: String,
    pub(super) private: Vec<u8>,
    /// Nanoseconds per frame.
    pub(super) frame_nanos: u64,
    pub(super) pixels: (u64, u64),
    pub(super) display: (u64, u64),
    pub(super) display_unit: u64,
}

impl Segment {
    pub(super) const fn new(start: u64) -> Self {
        Self {
            start,
            seeks: Vec::new(),
            has_info: false,
            cluster: 0,
            first_block: None,
            last_block: 0,
            scale: 1_000_000,
            duration: None,
            tracks: Vec::new(),
        }
    }

    /// Notes a block: its track, its time in the cluster, flags, frames.
    pub(super) fn block(&mut self, head: &[u8]) {
        let Some(track_len) = head.first().and_then(|&first| vint_len(first)) else { return };
        let Some(&[high, low]) = head.get(track_len..).and_then(|rest| rest.first_chunk()) else { return };
        let at = self.cluster.saturating_add_signed(i16::from_be_bytes([high, low]).into());
        self.first_block.get_or_insert(at);
        self.last_block = self.last_block.max(at);
    }

    /// As the header says, else from the first block to the last one's end.
    fn seconds(&self, main: &Track) -> Option<f64> {
        let told = self.duration.and_then(|ticks| seconds(ticks * self.scale as f64, 1e9));
        told.or_else(|| {
            let ticks = self.last_block.saturating_sub(self.first_block?) as f64 * self.scale as f64;
            seconds(ticks + main.frame_nanos as f64, 1e9)
        })
    }

    pub(super) fn facts(&self, media: &'static MediaType) -> Result<MediaInfo> {
        const VIDEO_TRACK: u64 = 1;
        const AUDIO_TRACK: u64 = 2;
        let first = |kind| self.tracks.iter().find(|track| track.kind == kind);
        let (kind, main) = match (first(VIDEO_TRACK), first(AUDIO_TRACK)) {
            (Some(video), _) => (Kind::Video, video),
            (None, Some(sound)) => (Kind::Audio, sound),
            (None, None) => return Err(ProbeError::Malformed("no video or audio track")),
        };
        let mut facts = MediaInfo::of(media);
        if kind == Kind::Audio && media.name == "video/webm" {
            "audio/webm".clone_into(&mut facts.content_type);
        }
        facts.kind = kind;
        facts.duration = self.seconds(main);
        facts.codec = codec::of_matroska(&main.codec_id, &main.private);
        if kind == Kind::Video {
            facts.fps = seconds(1e9, main.frame_nanos as f64);
            // Other units than pixels tell only the shape.
            let has_display = main.display_unit == 0 && main.display.0 > 0 && main.display.1 > 0;
            let (width, height) = if has_display { main.display } else { main.pixels };
            facts.width = u32::try_from(width).ok().filter(|side| *side > 0);
            facts.height = u32::try_from(height).ok().filter(|side| *side > 0);
        }
        Ok(facts)
    }
}
