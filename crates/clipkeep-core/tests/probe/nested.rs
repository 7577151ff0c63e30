//! H1: no file ends the process. Each is probed, and its view is looked for,
//! on a thread with a stack of 512 KiB, and both must be quick.

use std::{
    io::Cursor,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clipkeep_core::{
    c2pa::is_marked,
    media_type::MediaType,
    probe::{Length, probe},
    sniff::sniff,
    view::{Scan, scan},
};

use crate::support::samples;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// `depth` boxes, each in the one before it.
fn nested(kinds: &[&[u8; 4]], depth: usize, innermost: &[u8]) -> Vec<u8> {
    (0..depth).rev().fold(innermost.to_vec(), |inner, level| boxed(kinds[level % kinds.len()], &inner))
}

/// A whole file whose only sample description is this one.
fn described(entry: &[u8; 4], fixed: usize, children: &[u8]) -> Vec<u8> {
    let entry = boxed(entry, &[&vec![0; fixed], children].concat());
    let description = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
    let handler = boxed(b"hdlr", &[&[0; 8][..], b"vide", &[0; 12]].concat());
    let media = boxed(b"mdia", &[handler, boxed(b"minf", &boxed(b"stbl", &description))].concat());
    file(&boxed(b"trak", &media))
}

/// A file with this in its `moov`, which stands behind its data.
fn file(movie: &[u8]) -> Vec<u8> {
    [boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"mdat", &[0; 64]), boxed(b"moov", movie)].concat()
}

/// Looks at the file as whatever it may be taken for.
fn survives(what: &str, file: Vec<u8>) {
    let began = Instant::now();
    let look = move || {
        for name in ["video/mp4", "video/webm", "image/heic", "image/jpeg", "audio/mpeg", "audio/wav"] {
            let media = MediaType::by_name(name).unwrap();
            let _ = probe(&mut Cursor::new(&file), file.len() as u64, Length::Promised, media);
        }
        let _ = sniff(&file);
        let _ = is_marked(&mut Cursor::new(&file), file.len() as u64);
        let file = Bytes::from(file);
        let have = |range: std::ops::Range<u64>| Some(file.slice(range.start as usize..range.end as usize));
        assert!(matches!(scan(file.len() as u64, have), Scan::Done(_)));
    };
    let ended = thread::Builder::new().stack_size(512 * 1024).spawn(look).unwrap().join();
    assert!(ended.is_ok(), "{what}");
    // A bound on the work: the machine may be slow, but not by this much.
    assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", began.elapsed());
}

#[test]
fn h01_boxes_nested_in_a_sample_entry_do_not_end_the_process() {
    for depth in [600, 30_000] {
        for kind in [b"avc1", b"hvc1", b"vp09", b"mett", b"meta", b"sinf"] {
            survives("avc1", described(b"avc1", 78, &nested(&[kind], depth, b"")));
        }
        survives("avc1 in avc1", described(b"avc1", 78, &nested(&[b"avc1"], depth, &[0; 78])));
        survives("encv", described(b"encv", 78, &nested(&[b"sinf", b"schi"], depth, b"")));
        survives("wave", described(b"mp4a", 28, &nested(&[b"wave"], depth, b"")));
        survives("mp4a in wave", described(b"mp4a", 28, &nested(&[b"wave", b"mp4a"], depth, &[0; 28])));
        survives("uncv", described(b"uncv", 78, &nested(&[b"uncv"], depth, &[0; 78])));
    }
}

#[test]
fn h01_boxes_nested_elsewhere_do_not_end_the_process() {
    for depth in [1000, 20_000] {
        for kinds in [
            &[b"trak"][..],
            &[b"moov"],
            &[b"mdia"],
            &[b"stbl"],
            &[b"edts", b"mdia"],
            &[b"trak", b"mdia", b"minf", b"stbl"],
            &[b"udta", b"meta"],
            &[b"meta", b"ilst"],
            &[b"ilst", b"data"],
            &[b"dinf", b"dref"],
            &[b"mvex"],
            &[b"uuid"],
        ] {
            let inner = nested(kinds, depth, b"");
            survives("in moov", file(&inner));
            survives("in trak", file(&boxed(b"trak", &inner)));
            survives("outside", [boxed(b"ftyp", b"isom\0\0\0\0"), inner, boxed(b"mdat", b"")].concat());
        }
        let fragment = nested(&[b"moof", b"traf"], depth, b"");
        survives("fragments", [file(&boxed(b"mvex", b"")), fragment].concat());
        // A `meta` is a full box, and HEIF nests its properties in it.
        let items = nested(&[b"iprp", b"ipco"], depth, b"");
        let meta = boxed(b"meta", &[&[0; 4][..], &items].concat());
        survives("heif", [boxed(b"ftyp", b"heic\0\0\0\0"), meta].concat());
    }
}

/// Descriptors nest like boxes do (ISO/IEC 14496-1).
#[test]
fn h01_descriptors_nested_in_an_esds_do_not_end_the_process() {
    let mut stream = Vec::new();
    for _ in 0..12_000 {
        let len = (stream.len() + 3) as u32;
        let size = [21, 14, 7, 0].map(|shift| (len >> shift & 0x7f) as u8 | if shift > 0 { 0x80 } else { 0 });
        stream = [&[3], &size[..], &[0, 1, 0], &stream].concat();
    }
    survives("esds", described(b"mp4a", 28, &boxed(b"esds", &[&[0; 4][..], &stream].concat())));
}

#[test]
fn h01_elements_nested_in_a_webm_do_not_end_the_process() {
    let header = b"\x1a\x45\xdf\xa3\x87B\x82\x84webm";
    // Of unknown size, so that thousands nest in a few bytes.
    for id in
        [&b"\x18\x53\x80\x67"[..], b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\x15\x49\xa9\x66", b"\x1f\x43\xb6\x75"]
    {
        let open = [id, b"\x01\xff\xff\xff\xff\xff\xff\xff"].concat();
        survives("webm", [&header[..], &open.repeat(50_000)].concat());
        let segment = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
        survives("in a segment", [&header[..], segment, &open.repeat(50_000)].concat());
        survives("empty ones", [&header[..], segment, &[id, b"\x80"].concat().repeat(50_000)].concat());
    }
}

#[test]
fn h01_counts_that_lie_take_no_memory() {
    let lie = u32::MAX.to_be_bytes();
    for (kind, before) in
        [(b"stts", 4), (b"stco", 4), (b"co64", 4), (b"stsc", 4), (b"ctts", 4), (b"elst", 4), (b"stsz", 8), (b"trun", 4)]
    {
        let table = boxed(kind, &[&vec![0; before], &lie[..], &[0, 0, 0, 1].repeat(6)].concat());
        let handler = boxed(b"hdlr", &[&[0; 8][..], b"vide", &[0; 12]].concat());
        let table = boxed(b"minf", &boxed(b"stbl", &table));
        survives("a count", file(&boxed(b"trak", &boxed(b"mdia", &[handler, table].concat()))));
    }
    // Every sample of one size, four billion of them in each of many chunks.
    let tables = [
        boxed(b"stsz", &[&[0; 4][..], &lie, &lie].concat()),
        boxed(b"stsc", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &1_u32.to_be_bytes(), &lie, &[0, 0, 0, 1]].concat()),
        boxed(b"co64", &[&[0, 0, 0, 0][..], &1000_u32.to_be_bytes(), &[0xff; 8000]].concat()),
    ];
    survives("sizes", file(&boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", &tables.concat()))))));
    let run = boxed(b"trun", &[&[0, 0, 0, 0][..], &lie].concat());
    let header = boxed(b"tfhd", &[&[0, 0, 0, 0x18][..], &[0, 0, 0, 1], &lie, &lie].concat());
    let moof = boxed(b"moof", &boxed(b"traf", &[header, run.repeat(100)].concat()));
    survives("runs", [file(&boxed(b"trak", &boxed(b"tkhd", &[0; 84]))), moof].concat());
}

#[test]
fn h16_millions_of_empty_boxes_take_no_time() {
    let began = Instant::now();
    let empty = boxed(b"free", b"").repeat(1_500_000);
    let mut whole = samples()[0].clone();
    whole.extend(&empty);
    let media = MediaType::by_name("video/mp4").unwrap();
    let mut counted = Counted { bytes: Cursor::new(&whole), seeks: 0 };
    // Players play it: what is not looked at is not held against it.
    assert!(probe(&mut counted, whole.len() as u64, Length::Promised, media).is_ok());
    assert!(counted.seeks < 10_000, "{}", counted.seeks);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let empty = &empty[..2_000_000];
    survives("in front", [&boxed(b"ftyp", b"isom\0\0\0\0")[..], empty].concat());
    survives("in moov", file(empty));
    survives("in trak", file(&boxed(b"trak", &boxed(b"mdia", empty))));
    survives("in an entry", described(b"avc1", 78, empty));
}

struct Counted<'a> {
    bytes: Cursor<&'a Vec<u8>>,
    seeks: u32,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(out)
    }
}

impl std::io::Seek for Counted<'_> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.seeks += 1;
        self.bytes.seek(to)
    }
}

#[test]
fn h01_hostile_pictures_do_not_end_the_process() {
    survives("jpeg", [&b"\xff\xd8"[..], &b"\xff\xd8\0\x02".repeat(300_000)].concat());
    survives("jpeg without lengths", [&b"\xff\xd8"[..], &b"\xff\xe0\0\0".repeat(300_000)].concat());
    survives("gif", [&b"GIF89a\xff\xff\xff\xff"[..], &[0x21; 1_000_000]].concat());
    survives("png", [&b"\x89PNG\r\n\x1a\n"[..], &[0xff; 1_000_000]].concat());
    survives("webp", [&b"RIFF\xff\xff\xff\xffWEBPVP8X"[..], &[0xff; 1_000_000]].concat());
    survives("tiff", [&b"II*\0\x08\0\0\0"[..], &[0xff; 1_000_000]].concat());
    survives(
        "tiff in a circle",
        [&b"II*\0\x08\0\0\0\x01\0"[..], &b"\x0e\x01\x04\0\x01\0\0\0\x08\0\0\0".repeat(9)].concat(),
    );
    let ispe = boxed(b"ispe", &[&[0; 4][..], &[0xff; 8]].concat());
    let meta = boxed(b"meta", &[&[0; 4][..], &boxed(b"iprp", &boxed(b"ipco", &ispe.repeat(40_000)))].concat());
    survives("heif", [boxed(b"ftyp", b"heic\0\0\0\0"), meta].concat());
    survives("jxl", [&b"\0\0\0\x0cJXL \r\n\x87\n"[..], &boxed(b"jxlp", b"").repeat(100_000)].concat());
}
