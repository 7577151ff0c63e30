//! K1, K23, K25, K26: what players pass over, we do.

use std::{io::Cursor, ops::Range};

use bytes::Bytes;
use clipkeep_core::{
    extents::Extents,
    generation::{Kind, MediaInfo},
    media_type::MediaType,
    probe::{Early, Length, ProbeError, content_type, probe},
    sniff::{Sniffed, sniff},
};

use crate::support::{make, probe_bytes, samples};

fn promised(bytes: &[u8]) -> Result<MediaInfo, ProbeError> {
    let media = MediaType::by_name("video/mp4").unwrap();
    probe(&mut Cursor::new(bytes), bytes.len() as u64, Length::Promised, media)
}

fn unknown(bytes: &[u8]) -> Result<MediaInfo, ProbeError> {
    probe_bytes(bytes)
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// Where the first box of a kind has its header.
fn place(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|bytes| bytes == kind).unwrap() - 4
}

/// With the size of the box at `at` raised by `by`.
fn grown(bytes: &[u8], at: usize, by: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let size = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
    bytes[at..at + 4].copy_from_slice(&(size + by).to_be_bytes());
    bytes
}

const SAMPLES: usize = 3;

#[test]
fn k01_bytes_behind_the_last_box_are_passed_over() {
    let newline = include_bytes!("media/trailing-newline.mp4");
    assert!(promised(newline).is_ok());
    assert!(unknown(newline).is_ok());
    for nth in 0..SAMPLES {
        let whole = &samples()[nth];
        let facts = promised(whole).unwrap();
        for behind in [
            &b"\r\n"[..],
            b"x",
            b"\0",
            b"1234567",
            b"\r\n--------------------boundary--\r\n",
            b"<!-- served by a proxy -->",
            b"\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x07free",
            b"\0\0\0\x01free\0\0\0\0\0\0\0\x08",
            b"\0\0\0\x01free",
            b"\0\0\x10\0free",
            b"\xff\xff\xff\xffmdat",
            b"\0\0\0\x01uuid\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(promised(&[whole, behind].concat()).unwrap(), facts, "sample {nth}, {}", behind.escape_ascii());
        }
    }
}

#[test]
fn k01_without_a_promised_length_only_a_box_that_breaks_off_tells_of_a_cut() {
    let whole = &samples()[0];
    for behind in [&b"\r\n"[..], b"x", b"\r\n--boundary--\r\n"] {
        assert!(unknown(&[whole, behind].concat()).is_ok(), "{}", behind.escape_ascii());
    }
    for behind in [&b"\0\0\x10\0free"[..], b"\0\0\x10\0uuid\xd8\xfe\xc3\xd6", b"\0\0\x10\0moof"] {
        let refused = unknown(&[whole, behind].concat());
        assert!(matches!(refused, Err(ProbeError::Truncated)), "{}", behind.escape_ascii());
    }
}

#[test]
fn k01_boxes_that_claim_more_than_there_is_end_where_there_is_no_more() {
    for nth in 0..SAMPLES {
        let whole = &samples()[nth];
        let facts = promised(whole).unwrap();
        for (kind, by) in [(b"udta", 3), (b"udta", 4000), (b"stts", 5_000_000), (b"stco", 1 << 30)] {
            if nth != 2 || *kind == *b"udta" {
                let grown = grown(whole, place(whole, kind), by);
                assert!(promised(&grown).is_ok_and(|told| told.codec == facts.codec), "{}", kind.escape_ascii());
            }
        }
    }
    // The last box of the file, and the one before its end.
    let (first, last) = (&samples()[0], &samples()[1]);
    let facts = promised(first).unwrap();
    assert_eq!(promised(&grown(first, place(first, b"mdat"), 9)).unwrap(), facts);
    assert_eq!(promised(&grown(last, place(last, b"moov"), 9)).unwrap(), promised(last).unwrap());
}

#[test]
fn k01_odd_children_at_a_boxs_end_are_passed_over() {
    let whole = &samples()[1];
    let facts = promised(whole).unwrap();
    let moov = place(whole, b"moov");
    for odd in
        [&b"x"[..], b"\0\0\0\0", b"\0\0\0\x05skip", b"\0\0\x01\0skip", b"\0\0\0\0\0\0\0\0", b"\0\0\0\x0cabcd1234"]
    {
        let more = grown(&[whole, odd].concat(), moov, odd.len() as u32);
        assert_eq!(promised(&more).unwrap(), facts, "{}", odd.escape_ascii());
        assert_eq!(unknown(&more).unwrap(), facts, "{}", odd.escape_ascii());
    }
}

#[test]
fn k01_a_file_whose_samples_are_missing_is_cut_whatever_was_promised() {
    let whole = &samples()[0];
    let data = place(whole, b"mdat");
    for len in (data + 8..whole.len()).step_by(101).chain([whole.len() - 1]) {
        assert!(matches!(promised(&whole[..len]), Err(ProbeError::Truncated)), "{len}");
        // Filled up with nothing, or with a box that lies of where it ends.
        let mut short = whole[..len].to_vec();
        short[data..data + 4].copy_from_slice(&((len - data) as u32).to_be_bytes());
        assert!(matches!(promised(&short), Err(ProbeError::Truncated)), "{len}");
    }
    let whole = &samples()[1];
    for len in (100..place(whole, b"moov") + 400).step_by(97) {
        assert!(matches!(promised(&whole[..len]), Err(ProbeError::Truncated)), "{len}");
    }
    // Fragments: the last run's samples end behind the file.
    let whole = &samples()[2];
    let last = whole.windows(4).rposition(|bytes| bytes == b"mdat").unwrap() - 4;
    assert!(matches!(promised(&whole[..last + 8]), Err(ProbeError::Truncated)));
    assert!(matches!(promised(&whole[..last + 60]), Err(ProbeError::Truncated)));
}

#[test]
fn k01_every_layout_of_a_whole_file_ends_where_its_samples_do() {
    for (name, options) in [
        ("x.mp4", "-c:v libx264 -c:a aac -movflags +faststart"),
        ("x.mov", "-c:v libx264 -c:a pcm_s16le"),
        ("x.mov", "-c:v mjpeg -c:a adpcm_ima_qt -ac 1"),
        ("x.mov", "-c:v prores -c:a pcm_u8"),
        ("x.mp4", "-c:v libx264 -c:a aac -movflags frag_keyframe"),
        ("x.mp4", "-c:v libx264 -c:a aac -movflags frag_keyframe+empty_moov+separate_moof"),
        ("x.mp4", "-c:v libx264 -c:a aac -movflags frag_keyframe+empty_moov+omit_tfhd_offset"),
        ("x.mp4", "-c:v libx264 -c:a aac -movflags dash+delay_moov"),
    ] {
        let (_dir, path) = make(name, options);
        let whole = std::fs::read(path).unwrap();
        assert!(promised(&whole).is_ok(), "{options}");
        // Without the boxes behind the samples, and with one byte of them less.
        let mdat = whole.windows(4).rposition(|bytes| bytes == b"mdat").unwrap() - 4;
        let end = mdat + u32::from_be_bytes(*whole[mdat..].first_chunk().unwrap()) as usize;
        if whole[..mdat].windows(4).any(|bytes| bytes == b"moov") {
            assert!(promised(&whole[..end]).is_ok(), "{options}");
            assert!(matches!(promised(&whole[..end - 200]), Err(ProbeError::Truncated)), "{options}");
        }
    }
}

#[test]
fn k23_dimensions_that_the_track_header_lacks_are_those_of_the_sample_description() {
    for nth in 0..SAMPLES {
        let mut bytes = samples()[nth].clone();
        let header = place(&bytes, b"tkhd");
        for zeroed in [80..84, 80..88, 84..88] {
            bytes[header + 8 + zeroed.start - 4..header + 8 + zeroed.end - 4].fill(0);
            let facts = promised(&bytes).unwrap();
            assert_eq!((facts.width, facts.height), (Some(96), Some(64)), "sample {nth}");
        }
        // No track header at all.
        bytes[header + 4..header + 8].copy_from_slice(b"free");
        let facts = unknown(&bytes).unwrap();
        assert_eq!((facts.width, facts.height), (Some(96), Some(64)), "sample {nth}");
    }
}

#[test]
fn k26_a_nested_box_without_a_length_hides_nothing() {
    let odd = include_bytes!("media/nested-box-size-0.mp4");
    let even = &include_bytes!("media/trailing-newline.mp4")[..odd.len()];
    assert_eq!(promised(odd).unwrap(), promised(even).unwrap());
    assert_eq!(promised(odd).unwrap().kind, Kind::Video);
    for kind in [b"mdia", b"minf", b"stbl"] {
        let mut open = samples()[1].clone();
        let at = place(&open, kind);
        open[at..at + 4].fill(0);
        assert_eq!(promised(&open).unwrap(), promised(&samples()[1]).unwrap(), "{}", kind.escape_ascii());
    }
    let free = boxed(b"free", b"");
    assert_eq!(promised(&[&samples()[1][..], &free].concat()).unwrap(), promised(&samples()[1]).unwrap());
}

#[test]
fn k25_the_media_type_is_told_by_the_header_as_by_the_whole() {
    for (name, options) in [
        ("x.mp4", "-vn -c:a aac"),
        ("x.mp4", "-vn -c:a aac -movflags +faststart"),
        ("x.mp4", "-vn -c:a aac -movflags frag_keyframe+empty_moov"),
        ("x.mov", "-vn -c:a pcm_s16le"),
        ("x.m4a", "-vn -c:a aac"),
        ("x.webm", "-vn -c:a libopus"),
        ("x.mkv", "-vn -c:a libopus"),
        ("x.mp4", "-c:v libx264 -c:a aac"),
        ("x.webm", "-c:v libvpx -deadline realtime -c:a libopus"),
        ("x.mp3", "-vn"),
    ] {
        let (_dir, path) = make(name, options);
        let whole = std::fs::read(path).unwrap();
        let Sniffed::Media(media) = sniff(&whole) else { panic!("{name}") };
        let (mut seen, mut looks) = (Extents::default(), 0);
        let told = loop {
            let have = |range: Range<u64>| {
                seen.covers(&range).then(|| Bytes::copy_from_slice(&whole[range.start as usize..range.end as usize]))
            };
            match content_type(whole.len() as u64, media, have) {
                Early::Need(range) => seen.insert(range),
                Early::Known(name) => break name,
                Early::Unknown => panic!("{name} {options}"),
            }
            looks += 1;
        };
        assert!(looks <= 8, "{name} {options}: {looks} looks");
        assert_eq!(told, probe_bytes(&whole).unwrap().content_type, "{name} {options}");
    }
}

#[test]
fn k25_without_its_header_the_media_type_is_not_known() {
    for file in [&b"\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x10mdat12345678"[..], b"\0\0\0\x18ftypisom", b""] {
        let media = MediaType::by_name("video/mp4").unwrap();
        let have = |range: Range<u64>| Some(Bytes::copy_from_slice(&file[range.start as usize..range.end as usize]));
        assert_eq!(content_type(file.len() as u64, media, have), Early::Unknown);
    }
}
