//! Files that are cut, broken, huge or mutated.

use std::io::{Cursor, Read, Seek, SeekFrom};

use clipkeep_core::{
    media_type::MediaType,
    probe::{Length, ProbeError, probe},
    sniff::sniff,
};
use proptest::prelude::*;

use crate::support::{probe_bytes, samples};

#[test]
fn case_19_a_clip_cut_anywhere_is_refused() {
    for (nth, whole) in samples().iter().enumerate() {
        assert!(probe_bytes(whole).is_ok());
        // A fragmented file may end between two fragments: nothing in it tells.
        let ends = fragment_ends(whole);
        for len in (100..whole.len()).step_by(97).chain([whole.len() - 1]).filter(|len| !ends.contains(len)) {
            let refused = probe_bytes(&whole[..len]);
            let told = matches!(refused, Err(ProbeError::Truncated | ProbeError::NoMovie));
            assert!(told, "sample {nth}, {len} of {}: {refused:?}", whole.len());
        }
    }
}

/// Where the top-level boxes of an MP4 end.
fn fragment_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    while let Some(size) = bytes.get(*ends.last().unwrap()..).and_then(|rest| rest.first_chunk()) {
        match u32::from_be_bytes(*size) as usize {
            0..8 => break,
            size => ends.push(ends.last().unwrap() + size),
        }
    }
    ends
}

#[test]
fn a_file_cut_between_moov_and_mdat_is_refused() {
    let whole = &samples()[0];
    let mdat = whole.windows(4).position(|bytes| bytes == b"mdat").unwrap() - 4;
    assert!(matches!(probe_bytes(&whole[..mdat]), Err(ProbeError::Truncated)));
    // An `mdat` that goes to the end of the file hides the cut.
    let mut open = whole.clone();
    open[mdat..mdat + 4].fill(0);
    assert!(probe_bytes(&open).is_ok());
    assert!(matches!(probe_bytes(&open[..mdat + 20]), Err(ProbeError::Truncated)));
}

#[test]
fn a_file_without_a_movie_header_is_refused() {
    let mut headless = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41".to_vec();
    headless.extend(b"\0\0\0\x10mdat12345678");
    assert!(matches!(probe_bytes(&headless), Err(ProbeError::NoMovie)));
    headless.extend([0; 5]);
    assert!(matches!(probe_bytes(&headless), Err(ProbeError::NoMovie)));
    headless.extend(b"\0\0\0\x07free");
    assert!(matches!(probe_bytes(&headless), Err(ProbeError::Malformed(_) | ProbeError::NoMovie)));
    let mut small_box = headless[..40].to_vec();
    small_box.extend(b"\0\0\0\x07free");
    assert!(matches!(probe_bytes(&small_box), Err(ProbeError::NoMovie)));
}

#[test]
fn a_track_name_in_any_encoding_does_not_hide_the_track() {
    let mut bytes = samples()[1].clone();
    let name = bytes.windows(12).position(|bytes| bytes == b"VideoHandler").unwrap();
    bytes[name..name + 12].fill(0xff);
    assert_eq!(probe_bytes(&bytes).unwrap(), probe_bytes(&samples()[1]).unwrap());
}

/// A file whose `mdat` holds 5 GiB of nothing, told by a 64-bit size.
struct Huge {
    head: Vec<u8>,
    hole: u64,
    tail: Vec<u8>,
    at: u64,
    read: u64,
}

impl Read for Huge {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let hole_end = self.head.len() as u64 + self.hole;
        let rest = match self.at {
            at if at < self.head.len() as u64 => &self.head[at as usize..],
            at if at < hole_end => panic!("the hole was read"),
            at => self.tail.get((at - hole_end) as usize..).unwrap_or_default(),
        };
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        self.at += len as u64;
        self.read += len as u64;
        Ok(len)
    }
}

impl Seek for Huge {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let SeekFrom::Start(at) = to else { panic!("only absolute") };
        self.at = at;
        Ok(at)
    }
}

#[test]
fn case_07_a_clip_beyond_4_gib_is_read_at_its_ends_only() {
    let whole = &samples()[1];
    let mdat = whole.windows(4).position(|bytes| bytes == b"mdat").unwrap() - 4;
    let mdat_len = u32::from_be_bytes(*whole[mdat..].first_chunk().unwrap()) as usize;
    let hole = 5u64 << 30;
    let mut head = whole[..mdat].to_vec();
    head.extend(b"\0\0\0\x01mdat");
    head.extend((hole + 16).to_be_bytes());
    let tail = whole[mdat + mdat_len..].to_vec();
    let len = head.len() as u64 + hole + tail.len() as u64;
    let mut huge = Huge { head, hole, tail, at: 0, read: 0 };
    let media = MediaType::by_name("video/mp4").unwrap();
    assert_eq!(probe(&mut huge, len, Length::Promised, media).unwrap(), probe_bytes(whole).unwrap());
    assert!(huge.read < 64 * 1024, "{}", huge.read);
    assert!(matches!(probe(&mut huge, len - 1, Length::Unknown, media), Err(ProbeError::Truncated)));
}

/// One type of each reader.
const EVERY: [&str; 18] = [
    "video/mp4",
    "video/webm",
    "video/x-msvideo",
    "video/x-flv",
    "image/avif",
    "image/webp",
    "image/gif",
    "image/png",
    "image/jpeg",
    "image/bmp",
    "image/tiff",
    "image/jxl",
    "audio/wav",
    "audio/flac",
    "audio/mpeg",
    "audio/ogg",
    "audio/aiff",
    "audio/x-caf",
];

proptest! {
    #[test]
    fn no_change_of_any_format_makes_anything_panic(
        nth in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = crate::support::every_format();
        let mut bytes = all[nth.index(all.len())].clone();
        // Headers are where changes matter most.
        let room = if changes.len() % 2 == 0 { bytes.len() } else { bytes.len().min(300) };
        for (place, byte) in changes {
            bytes[place.index(room)] = byte;
        }
        let keep = bytes.len() - cut.index(64);
        let _ = sniff(&bytes);
        for name in EVERY {
            let media = MediaType::by_name(name).unwrap();
            let _ = probe(&mut Cursor::new(&bytes[..keep]), keep as u64, Length::Unknown, media);
        }
    }

    #[test]
    fn no_bytes_make_the_probe_panic(
        nth in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        in_moov in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = samples()[nth].clone();
        // Half of the changes aim at the header, where they matter most.
        let moov = bytes.windows(4).position(|name| name == b"moov").unwrap_or(0);
        let (start, room) = if in_moov { (moov, (bytes.len() - moov).min(2500)) } else { (0, bytes.len()) };
        for (place, byte) in changes {
            bytes[start + place.index(room)] = byte;
        }
        let keep = bytes.len() - cut.index(64);
        for name in ["video/mp4", "video/webm", "image/heic", "image/jpeg", "audio/wav", "audio/flac"] {
            let media = MediaType::by_name(name).unwrap();
            let _ = probe(&mut Cursor::new(&bytes[..keep]), keep as u64, Length::Unknown, media);
            let _ = probe(&mut Cursor::new(&bytes[..keep]), keep as u64, Length::Promised, media);
        }
        let _ = sniff(&bytes);
    }

    #[test]
    fn random_bytes_make_nothing_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = sniff(&bytes);
        for name in EVERY {
            let media = MediaType::by_name(name).unwrap();
            let _ = probe(&mut Cursor::new(&bytes), bytes.len() as u64, Length::Unknown, media);
        }
    }
}
