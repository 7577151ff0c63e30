use std::io::Cursor;

use super::super::{Length, ProbeError, probe};
use crate::media_type::MediaType;

/// How a file of unknown length is judged, and one whose length was promised.
fn judged(name: &str, bytes: &[u8], length: Length) -> bool {
    let media = MediaType::by_name(name).unwrap();
    match probe(&mut Cursor::new(bytes), bytes.len() as u64, length, media) {
        Ok(_) => true,
        Err(ProbeError::Truncated) => false,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// The file is whole; without its last byte, half of it or most of it, it is cut.
fn check(name: &str, bytes: &[u8]) {
    assert!(judged(name, bytes, Length::Unknown), "{name} is whole");
    for len in [bytes.len() - 1, bytes.len() * 3 / 4, bytes.len() / 2] {
        assert!(!judged(name, &bytes[..len], Length::Unknown), "{name}, {len} of {}", bytes.len());
        // A promised length vouches for the file: a player's tolerance is the measure.
        assert!(judged(name, &bytes[..len], Length::Promised), "{name}, {len} of {}", bytes.len());
    }
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

fn header(bytes: &[u8], body: usize) -> Vec<u8> {
    [bytes.to_vec(), vec![0x55; body]].concat()
}

#[test]
fn d06_boxes_end_inside_the_file() {
    let ftyp = boxed(b"ftyp", b"avif\0\0\0\0avif");
    check("image/avif", &[ftyp, boxed(b"meta", &[0; 40]), boxed(b"mdat", &[1; 400])].concat());
    let signature = boxed(b"JXL ", b"\r\n\x87\n");
    check("image/jxl", &[signature, boxed(b"jxlc", &[1; 400])].concat());
    // A codestream to the end of the file has its mark there.
    let stream = [vec![1; 400], vec![0xff, 0xd9]].concat();
    let jp2 = [boxed(b"jP  ", b"\r\n\x87\n"), boxed(b"jp2c", &stream)].concat();
    check("image/jp2", &jp2);
    let open = [&jp2[..12], &[0; 4], &jp2[16..]].concat();
    check("image/jp2", &open);
    check("image/j2c", &[&[0xff, 0x4f], &stream[..]].concat());
    assert!(judged("image/jxl", &header(b"\xff\x0a", 60), Length::Unknown), "it does not tell");
}

#[test]
fn d06_pictures_have_the_pixels_that_their_headers_tell() {
    let le = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    check("image/qoi", &[header(b"qoif\0\0\0\x08\0\0\0\x08\x03\0", 80), vec![0, 0, 0, 0, 0, 0, 0, 1]].concat());
    check("image/x-dpx", &header(&[&b"SDPX\0\0\x08\0V1.0\0\0\0\0"[..], &2048_u32.to_be_bytes()].concat(), 2028));
    check("image/x-dpx", &header(&[&b"XPDS\0\x08\0\0V1.0\0\0\0\0"[..], &le(&[2048])].concat(), 2028));
    check("image/x-portable-anymap", &header(b"P6\n# by a model\n16 8\n255\n", 16 * 8 * 3));
    check("image/x-portable-anymap", &header(b"P5 16 8 65535\n", 16 * 8 * 2));
    check("image/x-portable-anymap", &header(b"P4\n15 8\n", 2 * 8));
    check("image/x-portable-anymap", &header(b"Pf\n16 8\n-1.0\n", 16 * 8 * 4));
    let pam = b"P7\nWIDTH 16\nHEIGHT 8\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n";
    check("image/x-portable-anymap", &header(pam, 16 * 8 * 4));
    assert!(judged("image/x-portable-anymap", b"P3\n2 2\n255\n0 0 0", Length::Unknown), "text tells nothing");
    check("image/x-tga", &header(&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 8, 0, 24, 0], 16 * 8 * 3));
    assert!(judged(
        "image/x-tga",
        &header(&[0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 8, 0, 24, 0], 9),
        Length::Unknown
    ));
    let entry = |size: u32, at: u32| [vec![16, 16, 0, 0, 1, 0, 32, 0], le(&[size, at])].concat();
    check("image/vnd.microsoft.icon", &header(&[vec![0, 0, 1, 0, 2, 0], entry(64, 38), entry(128, 102)].concat(), 192));
}

#[test]
fn d06_drawings_shapes_and_archives_have_their_last_part() {
    let svg = format!("<?xml version=\"1.0\"?>\n<svg xmlns=\"x\">{}</svg>", "<path d=\"M0 0\"/>".repeat(300));
    check("image/svg+xml", svg.as_bytes());
    for whole in ["<svg width=\"9\"/>", "<svg></svg>\n<!-- by a model -->\n", "<s:svg xmlns:s=\"x\"></s:svg>"] {
        assert!(judged("image/svg+xml", whole.as_bytes(), Length::Unknown), "{whole}");
    }
    assert!(!judged("image/svg+xml", b"<svg><path/>", Length::Unknown));
    check("model/gltf-binary", &header(&[&b"glTF\x02\0\0\0"[..], &400_u32.to_le_bytes()].concat(), 388));
    let zip = [header(b"PK\x03\x04", 300), b"PK\x05\x06".to_vec(), vec![0; 18]].concat();
    check("application/zip", &zip);
    check("model/vnd.usdz+zip", &zip);
    assert!(judged("application/zip", &[&zip[..], b"a comment"].concat(), Length::Unknown));
    let ply =
        "ply\nformat binary_little_endian 1.0\nelement vertex 50\nproperty float x\nproperty double y\nend_header\n";
    check("model/ply", &header(ply.as_bytes(), 600));
    let text = "ply\nformat ascii 1.0\nelement vertex 90\nproperty float x\nend_header\n";
    check("model/ply", &[text, &"1\n".repeat(89), "1"].concat().into_bytes());
}

#[test]
fn d06_sound_and_moving_pictures_have_the_parts_that_they_count() {
    let riff = |name: &[u8], size: &[u8; 4], kind: &[u8], body| header(&[name, size, kind].concat(), body);
    check("audio/wav", &riff(b"RIFF", &404_u32.to_le_bytes(), b"WAVE", 400));
    let avi = riff(b"RIFF", &404_u32.to_le_bytes(), b"AVI ", 400);
    check("video/x-msvideo", &avi);
    // A large one goes on in parts.
    check("video/x-msvideo", &[avi, riff(b"RIFF", &604_u32.to_le_bytes(), b"AVIX", 600)].concat());
    check("audio/aiff", &riff(b"FORM", &404_u32.to_be_bytes(), b"AIFF", 400));
    // What a stream's writer did not know yet.
    for size in [0, u32::MAX, 0x7fff_ffff] {
        assert!(judged("audio/wav", &riff(b"RIFF", &size.to_le_bytes(), b"WAVE", 400), Length::Unknown));
    }
    let tag = |kind: u8, len: u8| {
        [header(&[kind, 0, 0, len, 0, 0, 0, 0, 0, 0, 0], len.into()), vec![0, 0, 0, len + 11]].concat()
    };
    check("video/x-flv", &[b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec(), tag(18, 90), tag(9, 200), tag(8, 180)].concat());
    let frame = |len: u8| header(&[&[len, 0, 0, 0][..], &[0; 8]].concat(), len.into());
    check("video/x-ivf", &[header(b"DKIF\0\0\x20\0VP80", 20), frame(200), frame(180)].concat());
    let key = |body: &[u8]| [&[0x06, 0x0e, 0x2b, 0x34][..], &[2; 12], body].concat();
    let mxf = [key(&header(&[40], 40)), key(&header(&[0x83, 0, 1, 0], 256))].concat();
    check("application/mxf", &mxf);
    check("audio/basic", &header(b".snd\0\0\0\x18\0\0\x01\0\0\0\0\x03\0\0\x1f\x40\0\0\0\x01", 256));
}

#[test]
fn d06_ogg_ends_with_a_page_that_says_so() {
    let page = |flags: u8, granule: u64, packet: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend(granule.to_le_bytes());
        page.extend([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, packet.len() as u8]);
        [&page, packet].concat()
    };
    let opus = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
    let pages = [page(2, 0, opus), page(0, 48_000, &[1; 200]), page(4, 96_000, &[1; 200])];
    let whole = pages.concat();
    let at = |bytes: &[u8]| judged("audio/ogg", bytes, Length::Unknown);
    assert!(at(&whole) && judged("audio/ogg", &whole[..300], Length::Promised));
    assert!(!at(&whole[..whole.len() - 1]) && !at(&pages[..2].concat()) && !at(&whole[..pages[0].len() + 20]));
}
