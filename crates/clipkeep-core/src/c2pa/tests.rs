use std::io::Cursor;

use super::*;

fn is_marked_bytes(bytes: &[u8]) -> bool {
    is_marked(&mut Cursor::new(bytes), bytes.len() as u64).unwrap()
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// A JUMBF superbox as C2PA's begins.
fn store() -> Vec<u8> {
    let description = [&b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"[..], &[0; 9]].concat();
    boxed(b"jumb", &boxed(b"jumd", &description))
}

fn mark() -> Vec<u8> {
    boxed(b"uuid", &[&BOX_TYPE[..], &[0; 4], b"manifest\0", &[0; 8], &store()].concat())
}

fn check(name: &str, with: &[u8], without: &[u8]) {
    assert!(is_marked_bytes(with), "{name} with");
    assert!(!is_marked_bytes(without), "{name} without");
    // Cut anywhere it is an answer; garbled, too.
    for len in 0..with.len() {
        let _ = is_marked_bytes(&with[..len]);
        let mut garbled = with.to_vec();
        garbled[len] ^= 0xff;
        let _ = is_marked_bytes(&garbled);
    }
}

#[test]
fn i14_a_mark_is_found_in_each_carrier() {
    let (ftyp, data) = (boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"mdat", &[7; 50]));
    let other = boxed(b"uuid", &[9; 40]);
    let large = [&[0, 0, 0, 1][..], b"uuid", &(mark().len() as u64 + 8).to_be_bytes(), &mark()[8..]].concat();
    check("in front", &[&ftyp[..], &mark(), &data].concat(), &[&ftyp[..], &other, &data].concat());
    check("at the end", &[&ftyp[..], &data, &mark()].concat(), &[&ftyp[..], &data].concat());
    check("64 bits", &[&ftyp[..], &data, &large].concat(), &[&ftyp[..], &boxed(b"moov", &mark())].concat());
    let jxl = boxed(b"JXL ", b"\r\n\x87\n");
    check("jxl", &[&jxl[..], &store()].concat(), &[&jxl[..], &boxed(b"jumb", &[0; 40])].concat());

    let segment = |kind: u8, body: &[u8]| [&[0xff, kind], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat();
    let jpeg = |segments: &[u8]| [&[0xff, 0xd8][..], segments, b"\xff\xda\0\x02picture\xff\xd9"].concat();
    let (app0, app11) = (segment(0xe0, b"JFIF\0"), segment(0xeb, &[&b"JP\0\x01\0\0\0\x01"[..], &store()].concat()));
    let hdr = segment(0xeb, b"HDR_RI ver=11 and more than thirty-two bytes");
    check("jpeg", &jpeg(&[&app0[..], &hdr, &app11].concat()), &jpeg(&[app0, hdr].concat()));

    let chunk = |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32).to_be_bytes(), &kind[..], body, &[0; 4]].concat();
    let png = |chunks: &[u8]| [&b"\x89PNG\r\n\x1a\n"[..], chunks, &chunk(b"IEND", b"")].concat();
    let (head, data) = (chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", &[0; 99]));
    check("png", &png(&[&head[..], &chunk(b"caBX", &store()), &data].concat()), &png(&[head, data].concat()));

    let chunk = |kind: &[u8; 4], body: &[u8]| [&kind[..], &(body.len() as u32).to_le_bytes(), body].concat();
    for form in [b"WEBP", b"WAVE", b"AVI "] {
        let riff = |more: &[u8]| [&b"RIFF\0\0\0\0"[..], form, &chunk(b"VP8 ", b"odd"), b"\0", more].concat();
        check("riff", &riff(&chunk(b"C2PA", &store())), &riff(&chunk(b"EXIF", b"C2PA")));
    }

    let gif = |more: &[u8]| {
        [&b"GIF89a\x01\0\x01\0\x80\0\0"[..], &[0; 6], more, b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x01\0\0\x3b"].concat()
    };
    let (ours, theirs) = (b"\x21\xff\x0bC2PA_GIF\x01\0\0\x02ab\0", b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0");
    check("gif", &gif(&[&theirs[..], ours].concat()), &gif(theirs));

    let frame = |kind: &[u8; 4], body: &[u8]| [&kind[..], &(body.len() as u32).to_be_bytes(), &[0; 2], body].concat();
    let id3 = |frames: &[u8]| {
        [&b"ID3\x04\0\0\0\0"[..], &[(frames.len() >> 7) as u8, frames.len() as u8 & 0x7f], frames].concat()
    };
    let title = frame(b"TIT2", b"\x03a song");
    let object = frame(b"GEOB", b"\0application/x-c2pa-manifest-store\0\0\0 manifest");
    check(
        "mp3",
        &id3(&[title.clone(), object].concat()),
        &id3(&[title, frame(b"GEOB", b"\0image/png\0 and what it is")].concat()),
    );

    let entry = |tag: u16| [&tag.to_le_bytes()[..], &[7, 0, 4, 0, 0, 0, 0, 0, 0, 0]].concat();
    let tiff = |tags: &[u16]| {
        let entries: Vec<u8> = tags.iter().flat_map(|tag| entry(*tag)).collect();
        [&b"II*\0\x08\0\0\0"[..], &(tags.len() as u16).to_le_bytes(), &entries, &[0; 4]].concat()
    };
    check("tiff", &tiff(&[256, 257, 52545]), &tiff(&[256, 257, 34665]));
}

#[test]
fn h01_lists_without_an_end_end() {
    let circle = [&b"II*\0\x08\0\0\0\0\0"[..], &8_u32.to_le_bytes()].concat();
    assert!(!is_marked_bytes(&circle));
    assert!(!is_marked_bytes(&boxed(b"free", b"").repeat(2_000_000)));
    assert!(!is_marked_bytes(&[&b"\xff\xd8\xff"[..], &[0xff; 3_000_000]].concat()));
    assert!(!is_marked_bytes(b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0"));
    assert!(!is_marked_bytes(&[&b"RIFF\0\0\0\0WEBP"[..], &[0; 12_000_000]].concat()));
    for bytes in [&b""[..], b"\0", b"\0\0\0\x01uuid\0\0\0\0\0\0\0\0", b"\0\0\0\0mdat and so on"] {
        assert!(!is_marked_bytes(bytes));
    }
}
