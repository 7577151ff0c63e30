use super::*;

fn check(head: &[u8], expected: &str) {
    let told = match sniff(head) {
        Sniffed::Media(media) => media.name,
        Sniffed::NotMedia(what) => what,
        Sniffed::Unknown => "unknown",
    };
    assert_eq!(told, expected, "{}", head.escape_ascii());
}

#[test]
fn iso_media_is_told_by_its_brands() {
    check(b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1", "video/mp4");
    check(b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ", "video/quicktime");
    check(b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isom", "audio/mp4");
    check(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "image/avif");
    check(b"\0\0\0\x1cftypmif1\0\0\0\0heicmif1", "image/heic");
    // K31: HEIF of other codings, and the short header of newer AVIF files.
    check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafMiAC", "image/heic");
    check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1iso8avci", "image/heic");
    check(b"\0\0\0\x18ftypjpeg\0\0\0\0mif1jpeg", "image/heic");
    check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif");
    check(b"\0\0\0\x10ftypmif3avif\0\0\0\x20mini", "image/avif");
    check(b"\0\0\0\x10ftypmif3vvic\0\0\0\x20mini", "image/heic");
    check(b"\0\0\0\x14ftypXXXX\0\0\0\0YYYY", "video/mp4");
    check(b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime");
    check(b"\0\0\0\x01mdat\0\0\0\0\0\0\x10\0", "video/quicktime");
    check(b"\0\0\0\x03ftypisom", "unknown");
}

#[test]
fn other_media_is_told_by_its_magic() {
    check(b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm", "video/webm");
    check(b"\x1a\x45\xdf\xa3\xa3B\x82\x88matroska", "video/x-matroska");
    check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png");
    check(b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg");
    check(b"GIF89a\x01\0", "image/gif");
    check(b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp");
    check(b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav");
    check(b"ID3\x04\0\0", "audio/mpeg");
    check(b"\xff\xfb\x90\x64\0\0", "audio/mpeg");
    check(b"\xff\xf1\x50\x80\x02\x1f\xfc", "audio/aac");
    check(b"OggS\0\x02\0\0\0\0\0\0\0\0OpusHead", "audio/ogg");
    check(b"fLaC\0\0\0\x22", "audio/flac");
}

#[test]
fn windows_media_without_pictures_is_sound() {
    const HEADER: &[u8] = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
    let stream = |kind: &[u8; 4]| [kind, &b"\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b"[..]].concat();
    let (sound, pictures) = (stream(b"\x40\x9e\x69\xf8"), stream(b"\xc0\xef\x19\xbc"));
    check(&[HEADER, b"padding", &sound].concat(), "audio/x-ms-wma");
    check(&[HEADER, &sound, b"between", &pictures].concat(), "video/x-ms-wmv");
    check(&[HEADER, &pictures].concat(), "video/x-ms-wmv");
    check(HEADER, "video/x-ms-wmv");
}

#[test]
fn case_23_an_error_page_is_no_media() {
    check(b"", "empty");
    check(b"<!DOCTYPE html><title>Gone</title>", "HTML");
    check(b"\xef\xbb\xbf\r\n  <HTML>", "HTML");
    check(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML");
    check(b"{\"detail\":\"Not found\"}", "JSON");
    check(b"Not found\n", "plain text");
    check(b"\xff\xfeN\0o\0", "plain text");
    check(b"\x1f\x8b\x08\0", "gzip");
    check(b"<!-- no --><p>Gone</p>", "HTML");
    check(b"{\"error\": {\"asset\": \"not found\"}}", "JSON");
    check(b"\0\0\0\0\0\0\0\0\0\0\0\0", "unknown");
}

#[test]
fn a_head_that_ends_inside_a_character_is_still_text() {
    let mut page = "é".repeat(SNIFF_LEN);
    page.insert(0, 'x');
    check(page.as_bytes(), "plain text");
}

fn declared(name: &str, bytes: &[u8], expected: &str) {
    let mut sniffer = Sniffer::new(MediaType::by_name(name));
    let told = loop {
        let Range { start, end } = sniffer.range();
        let cut = |at: u64| bytes.len().min(usize::try_from(at).unwrap());
        if let Some(told) = sniffer.see(&bytes[cut(start)..cut(end)]) {
            break told;
        }
    };
    let told = match told {
        Sniffed::Media(media) => media.name,
        Sniffed::NotMedia(what) => what,
        Sniffed::Unknown => "unknown",
    };
    assert_eq!(told, expected, "declared {name}");
}

/// `count` frames of 128 kbit/s at 44.1 kHz.
fn mp3(count: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x64];
    frame.resize(417, 0x55);
    frame.repeat(count)
}

fn adts(count: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf1, 0x50, 0x80, 0x20, 0x1f, 0xfc];
    frame.resize(0x100, 0x55);
    frame.repeat(count)
}

fn id3(len: usize) -> Vec<u8> {
    let mut tag = b"ID3\x04\0\0".to_vec();
    tag.extend([21, 14, 7, 0].map(|shift| (len >> shift & 0x7f) as u8));
    tag.resize(10 + len, b'x');
    tag
}

#[test]
fn k06_sound_is_found_behind_junk() {
    check(&[vec![0; 731], mp3(9)].concat(), "audio/mpeg");
    check(&[vec![0; 30_000], mp3(9)].concat(), "audio/mpeg");
    check(&[b"\x01\x02junk\xff\xfb".repeat(900), mp3(9)].concat(), "audio/mpeg");
    check(&[vec![0; 5_000], adts(9)].concat(), "audio/aac");
    check(&[mp3(5), b"TAG".to_vec(), vec![0; 125]].concat(), "audio/mpeg");
    // Too few frames to be sure, and none at all.
    check(&[vec![0; 731], mp3(1), vec![1; 70_000]].concat(), "unknown");
    check(&vec![0; 100_000], "unknown");
}

#[test]
fn k06_what_has_no_mark_is_what_its_sender_says() {
    // -2 at the beginning, as sixteen bits, looks like the mark of UTF-16.
    let noise: Vec<u8> = [0xff, 0xfe].into_iter().chain((0..9000u32).map(|n| ((n * n) >> 3) as u8)).collect();
    declared("audio/L16;rate=24000", &noise, "audio/l16");
    declared("audio/pcm", &noise[2..], "audio/pcm");
    declared("model/splat", &noise, "model/splat");
    declared("image/x-tga", &[0, 0, 2, 0, 0, 0, 0, 0], "image/x-tga");
    // A mark of its own is missed, and text is nobody's sound.
    declared("image/png", &noise[2..], "unknown");
    declared("audio/pcm", b"Not found", "plain text");
    declared("audio/basic", b"{\"detail\": \"expired\"}", "JSON");
    declared("model/stl", b"<!DOCTYPE html><p>Gone", "HTML");
    // What shows itself is what it is, whatever it is called.
    declared("audio/pcm", b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav");
}

#[test]
fn k28_what_stands_behind_tags_counts() {
    check(&[id3(2000), b"fLaC\0\0\0\x22".to_vec()].concat(), "audio/flac");
    check(&[id3(300_000), id3(10), adts(5)].concat(), "audio/aac");
    check(&[id3(100), b"APETAGEX\xd0\x07\0\0\x08\0\0\0".to_vec(), vec![0; 24], mp3(5)].concat(), "audio/mpeg");
    check(&[id3(100), vec![0; 5000], mp3(5)].concat(), "audio/mpeg");
    check(&[id3(100), b"<html>".to_vec()].concat(), "audio/mpeg");
    check(&id3(100)[..40], "audio/mpeg");
    check(&id3(5).repeat(200), "audio/mpeg");
}

#[test]
fn k30_drawings_shapes_and_archives_are_told() {
    check(b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "image/svg+xml");
    check(b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- by a model -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://x/svg11.dtd\">\n<svg width=\"9\"/>", "image/svg+xml");
    check(b"<!DOCTYPE svg [<!ENTITY a \"b\">]><svg>", "image/svg+xml");
    check(b"<html><svg></svg></html>", "HTML");
    let wide: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("<?xml?><svg width=\"9\"/>".bytes().flat_map(|b| [b, 0])).collect();
    check(&wide, "image/svg+xml");
    check(b"glTF\x02\0\0\0\x10\0\0\0", "model/gltf-binary");
    check(b"{\"asset\": {\"version\": \"2.0\"}, \"scenes\": []}", "model/gltf+json");
    check(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.png", "application/zip");
    check(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\0\0\0a.usdc", "model/vnd.usdz+zip");
    check(b"#usda 1.0\n(", "model/vnd.usda");
    check(b"PXR-USDC\0\x08", "model/vnd.usd");
    check(b"ply\nformat binary_little_endian 1.0\n", "model/ply");
    check(b"solid cube\n facet normal 0 0 1\n", "model/stl");
    check(b"Kaydara FBX Binary  \0\x1a\0", "model/fbx");
    declared("model/obj", b"# cube\nmtllib a.mtl\nv 0 0 0\nvn 0 0 1\nf 1 2 3\n", "model/obj");
    declared("model/obj", b"Not found\nv 0 0 0\n", "plain text");
    declared("model/spz", b"\x1f\x8b\x08\0\0", "model/spz");
    declared("video/mp4", b"\x1f\x8b\x08\0\0", "gzip");
}

#[test]
fn k06_every_format_that_generators_make_is_known() {
    for (head, expected) in [
        (&b"FORM\0\0\x10\0AIFFCOMM"[..], "audio/aiff"),
        (b"FORM\0\0\x10\0AIFCFVER", "audio/aiff"),
        (b"caff\0\x01\0\0desc", "audio/x-caf"),
        (b"RIFX\0\0\0\x10WAVEfmt ", "audio/wav"),
        (b"BW64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"#!AMR\n<", "audio/amr"),
        (b"\0\0\x01\xba\x44\0", "video/mpeg"),
        (b"\0\0\0\x01\x67\x64\0\x0a", "video/h264"),
        (b"\0\0\0\x14ftyp3gp4\0\0\x02\x003gp4", "video/3gpp"),
        (b"\0\0\0\x14ftypM4V \0\0\x02\0M4V ", "video/mp4"),
        (b"\0\0\0\x14ftypmif3avif", "image/avif"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "image/heic"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"\xff\x0a\xfa\x7f", "image/jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
        (b"v/1\x01\x02\0\0\0", "image/x-exr"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "image/vnd.radiance"),
        (b"P6\n96 64\n255\n", "image/x-portable-anymap"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", "image/vnd.microsoft.icon"),
        (b"BM\x16\0\0\0\x01\0\0\0\x1a\0\0\0\x0c\0\0\0", "image/bmp"),
        (
            b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\xec\x01\0\0\0\0\0\0\x01\0\x42\x82\x01\0\0\0\0\0\0\x04webm",
            "video/webm",
        ),
    ] {
        check(head, expected);
    }
    let packet = [vec![0x47], vec![0; 187]].concat();
    check(&packet.repeat(30), "video/mp2t");
    check(&[vec![0; 50], packet.repeat(30)].concat(), "video/mp2t");
    check(&[vec![0; 4], packet.clone()].concat().repeat(30), "video/mp2t");
    // 48 kHz, 192 kbit/s.
    let ac3 = [vec![0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43], vec![0; 761]].concat();
    check(&ac3.repeat(3), "audio/ac3");
}
