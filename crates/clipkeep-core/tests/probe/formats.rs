//! Sound and pictures of all sorts: every fact is what ffprobe says, or what
//! browsers show where ffprobe does not know.

use clipkeep_core::{
    generation::MediaInfo,
    probe::{Length, ProbeError},
};

use crate::support::{assert_close, ffprobe, make, make_from, probe_as, probe_bytes, probe_file, run};

const TONE: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:duration=2"];
/// Loud, silent, loud: what a variable rate varies with.
const VARIED: &[&str] =
    &["-f", "lavfi", "-i", "aevalsrc='if(lt(mod(t,4),2),0,random(0)*sin(2*PI*t*(200+300*t)))':d=12"];

fn sound(name: &str, inputs: &[&str], options: &str) -> Vec<u8> {
    let (_dir, path) = make_from(name, inputs, options);
    std::fs::read(path).unwrap()
}

/// The duration is ffprobe's.
fn check_duration(name: &str, inputs: &[&str], options: &str) {
    let (_dir, path) = make_from(name, inputs, options);
    let (ours, theirs) = (probe_file(&path), ffprobe(&path));
    assert!(theirs.duration.is_some(), "{name} {options}");
    assert_close(ours.duration, theirs.duration, 0.1, &format!("{name} {options}"));
    assert!(ours.codec.is_some(), "{name} {options}");
}

fn lasts(bytes: &[u8], secs: f64) {
    assert_close(probe_bytes(bytes).unwrap().duration, Some(secs), 0.1, "duration");
}

#[test]
fn k22_mpeg_audio_lasts_as_long_as_ffprobe_says() {
    check_duration("x.mp3", TONE, "-b:a 128k");
    check_duration("x.mp3", TONE, "-b:a 64k -ar 22050 -ac 1 -write_xing 0 -id3v2_version 0");
    check_duration("x.mp3", TONE, "-b:a 16k -ar 8000 -ac 1");
    check_duration("x.mp3", VARIED, "-q:a 2");
    check_duration("x.mp2", TONE, "-c:a mp2 -b:a 192k");
    // Without a table of frames ffprobe only guesses; the sound lasts twelve seconds.
    lasts(&sound("x.mp3", VARIED, "-q:a 2 -write_xing 0"), 12.0);
    lasts(&sound("x.mp3", VARIED, "-q:a 9 -write_xing 0 -id3v2_version 4 -metadata title=x"), 12.0);
}

#[test]
fn k22_junk_tags_and_lies_make_no_difference_to_mpeg_audio() {
    let plain = sound("x.mp3", TONE, "-b:a 128k -id3v2_version 0");
    let tag = b"ID3\x04\0\0\0\0\x07\x68".iter().copied().chain(vec![0; 1000]).collect::<Vec<_>>();
    let trailer = [b"TAG".to_vec(), vec![b' '; 125]].concat();
    lasts(&[&tag[..], &tag, &plain, &trailer].concat(), 2.0);
    lasts(&[&[0; 5000][..], &plain].concat(), 2.0);
    lasts(&[&plain[..], &[0; 5000], &plain].concat(), 4.05);
    // A table that was made for a file twice as long.
    lasts(&plain[..plain.len() / 2], 1.0);
    let zeros = include_bytes!("media/zeros-in-front.mp3");
    let info = probe_bytes(zeros).unwrap();
    assert_eq!((info.content_type.as_str(), info.codec.as_deref()), ("audio/mpeg", Some("mp3")));
    assert!(info.duration.is_some());
}

#[test]
fn k22_other_bare_frames_last_as_long_as_ffprobe_says() {
    check_duration("x.aac", TONE, "-c:a aac");
    check_duration("x.ac3", TONE, "-c:a ac3");
    check_duration("x.ac3", TONE, "-c:a ac3 -ar 44100 -ac 2");
    lasts(&sound("x.aac", VARIED, "-c:a aac -b:a 96k"), 12.0);
    lasts(&sound("x.eac3", TONE, "-c:a eac3"), 2.0);
}

#[test]
fn k22_ogg_and_flac_last_as_long_as_ffprobe_says() {
    check_duration("x.ogg", TONE, "-c:a libvorbis");
    check_duration("x.opus", TONE, "-c:a libopus");
    check_duration("x.spx", TONE, "-c:a libspeex -ar 16000");
    check_duration("x.oga", TONE, "-c:a flac");
    check_duration("x.flac", TONE, "-c:a flac");
    check_duration("x.ogv", &["-f", "lavfi", "-i", "testsrc=size=96x64:rate=24:duration=2"], "-c:v libtheora");
    // One after another, and one that was cut out of a longer stream.
    let whole = sound("x.ogg", TONE, "-c:a libvorbis -serial_offset 1");
    let next = sound("x.ogg", TONE, "-c:a libvorbis -serial_offset 9");
    lasts(&[whole, next].concat(), 4.0);
    // Written to a pipe, FLAC's header counts nothing.
    let args = [&["-v", "error"], TONE, &["-c:a", "flac", "-f", "flac", "pipe:1"]].concat();
    lasts(&run("ffmpeg", &args), 2.0);
}

#[test]
fn k28_flac_behind_a_tag_is_flac() {
    let info = probe_bytes(include_bytes!("media/id3-in-front.flac")).unwrap();
    assert_eq!((info.content_type.as_str(), info.codec.as_deref()), ("audio/flac", Some("flac")));
    assert!(info.duration.is_some());
}

#[test]
fn k22_uncompressed_sound_lasts_as_long_as_ffprobe_says() {
    for options in [
        "",
        "-c:a pcm_s24le -ac 6",
        "-rf64 always",
        "-rf64 always -c:a adpcm_ms",
        "-c:a pcm_f32le",
        "-c:a pcm_u8 -ar 11025",
        "-c:a adpcm_ms",
        "-c:a pcm_mulaw",
    ] {
        check_duration("x.wav", TONE, options);
    }
    for options in ["", "-c:a pcm_s24be", "-c:a pcm_mulaw"] {
        check_duration("x.aiff", TONE, options);
    }
    for options in ["-c:a pcm_s16le", "-c:a alac", "-c:a pcm_mulaw"] {
        check_duration("x.caf", TONE, options);
    }
    check_duration("x.au", TONE, "");
    // Streams, whose headers promise nothing or everything.
    let args = [&["-v", "error"], TONE, &["-f", "wav", "pipe:1"]].concat();
    let mut streamed = run("ffmpeg", &args);
    lasts(&streamed, 2.0);
    let data = streamed.windows(4).position(|name| name == b"data").unwrap();
    streamed[data + 4..data + 8].fill(0);
    lasts(&streamed, 2.0);
}

#[test]
fn k22_a_long_list_before_the_sound_is_passed_over() {
    let wav = sound("x.wav", TONE, "-bitexact");
    let list = [b"LIST".to_vec(), 999_999u32.to_le_bytes().to_vec(), vec![b'x'; 1_000_000]].concat();
    lasts(&[&wav[..36], &list, &wav[36..]].concat(), 2.0);
}

#[test]
fn k22_avi_and_flv_are_as_ffprobe_says() {
    let (_dir, movie) = make("x.avi", "-c:v mjpeg -c:a mp3");
    let (_flv_dir, flv) = make("x.flv", "-c:v libx264 -c:a aac");
    for path in [&movie, &flv] {
        let (ours, theirs) = (probe_file(path), ffprobe(path));
        assert_close(ours.duration, theirs.duration, 0.1, "duration");
        assert_eq!(ours.width.zip(ours.height), Some((96, 64)));
        assert_close(ours.fps, Some(24.0), 0.01, "fps");
        assert!(ours.codec.unwrap().starts_with(if path == &flv { "avc1." } else { "mjpeg" }));
    }
    // Headers that were written before anything was counted.
    let mut bytes = std::fs::read(&movie).unwrap();
    let headers: Vec<usize> = (0..bytes.len() - 4).filter(|&at| &bytes[at..at + 4] == b"strh").collect();
    headers.iter().for_each(|at| bytes[at + 40..at + 44].fill(0));
    lasts(&bytes, 2.0);
    let mut bytes = std::fs::read(&flv).unwrap();
    let named = bytes.windows(8).position(|name| name == b"duration").unwrap();
    bytes[named + 9..named + 17].fill(0);
    lasts(&bytes, 2.0);
}

fn picture(name: &str, options: &str) -> Vec<u8> {
    let (_dir, path) = make_from(name, &["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10:duration=1"], options);
    std::fs::read(path).unwrap()
}

fn size(info: &MediaInfo) -> Option<(u32, u32)> {
    info.width.zip(info.height)
}

#[test]
fn k22_animations_last_as_long_as_their_frames() {
    for (name, options) in [("x.gif", ""), ("x.png", "-f apng"), ("x.webp", "-c:v libwebp_anim")] {
        let info = probe_bytes(&picture(name, options)).unwrap();
        assert_close(info.duration, Some(1.0), 0.1, name);
        assert_close(info.fps, Some(10.0), 0.5, name);
        assert_eq!(size(&info), Some((96, 64)), "{name}");
    }
    // Next to no time is a tenth of a second.
    let mut gif = picture("x.gif", "");
    let controls: Vec<usize> = (0..gif.len() - 4).filter(|&at| gif[at..].starts_with(b"\x21\xf9\x04")).collect();
    controls.iter().for_each(|at| gif[at + 4..at + 6].fill(0));
    lasts(&gif, 1.0);
    for name in ["x.gif", "x.png", "x.webp"] {
        assert_eq!(probe_bytes(&picture(name, "-frames:v 1")).unwrap().duration, None, "{name}");
    }
}

#[test]
fn k19_a_picture_that_is_cut_is_refused_unless_its_length_was_promised() {
    for (name, options) in [
        ("x.png", ""),
        ("x.png", "-f apng"),
        ("x.jpg", ""),
        ("x.gif", ""),
        ("x.webp", ""),
        ("x.webp", "-c:v libwebp_anim"),
        ("x.bmp", ""),
        ("x.tif", "-compression_algo raw"),
        ("x.tif", "-compression_algo lzw"),
    ] {
        let still = if options.contains("anim") || options.contains("apng") { "" } else { " -frames:v 1" };
        let whole = picture(name, &format!("{options}{still}"));
        assert_eq!(size(&probe_bytes(&whole).unwrap()), Some((96, 64)), "{name} {options}");
        assert!(probe_bytes(&[&whole[..], b"\r\n\0"].concat()).is_ok(), "{name} {options}");
        for len in [whole.len() - 2, whole.len() * 3 / 4, whole.len() / 2] {
            let cut = &whole[..len];
            let refused = probe_bytes(cut);
            assert!(matches!(refused, Err(ProbeError::Truncated)), "{name} {options} {len}: {refused:?}");
            assert!(probe_as(cut, Length::Promised).is_ok(), "{name} {options} {len}");
        }
    }
}

#[test]
fn k29_bitmaps_of_every_kind_have_their_size() {
    let bmp = picture("x.bmp", "-frames:v 1");
    let mut top_down = bmp.clone();
    top_down[22..26].copy_from_slice(&(-64i32).to_le_bytes());
    assert_eq!(size(&probe_bytes(&top_down).unwrap()), Some((96, 64)));
    // OS/2: a short header with short sides.
    let mut core = b"BM\0\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x60\0\x40\0\x01\0\x18\0".to_vec();
    core.extend(vec![0x7f; 96 * 64 * 3]);
    assert_eq!(size(&probe_bytes(&core).unwrap()), Some((96, 64)));
    let ico = [&b"\0\0\x01\0\x01\0\x30\x20\0\0\x01\0\x18\0\x10\0\0\0\x16\0\0\0"[..], &[0; 64]].concat();
    assert_eq!(size(&probe_bytes(&ico).unwrap()), Some((48, 32)));
}

/// Exif that says nothing but how the picture is turned.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    if big_endian {
        return [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat();
    }
    [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation], &[0; 7]].concat()
}

/// A segment of a JPEG.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

#[test]
fn k29_a_jpeg_is_measured_and_turned_as_browsers_show_it() {
    let jpeg = picture("x.jpg", "-frames:v 1");
    let with = |segments: &[u8]| [&jpeg[..2], segments, &jpeg[2..]].concat();
    for (orientation, expected) in
        [(1, (96, 64)), (3, (96, 64)), (5, (64, 96)), (6, (64, 96)), (8, (64, 96)), (9, (96, 64))]
    {
        for big_endian in [false, true] {
            let app1 = segment(0xe1, &[b"Exif\0\0".as_slice(), &exif(orientation, big_endian)].concat());
            let info = probe_bytes(&with(&app1)).unwrap();
            assert_eq!(size(&info), Some(expected), "{orientation} {big_endian}");
        }
    }
    let metadata = segment(0xe2, &[b'x'; 65_000]).repeat(40);
    assert_eq!(size(&probe_bytes(&with(&metadata)).unwrap()), Some((96, 64)));
    // Filling bytes, and junk between segments.
    assert_eq!(size(&probe_bytes(&with(b"\xff\xff\xff\xfe\0\x04ab")).unwrap()), Some((96, 64)));
    // Progressive, and arithmetic coding.
    for kind in [0xc2, 0xc9, 0xca] {
        let mut other = jpeg.clone();
        let frame = other.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        other[frame + 1] = kind;
        assert_eq!(size(&probe_bytes(&other).unwrap()), Some((96, 64)), "{kind:x}");
    }
}

#[test]
fn k29_other_pictures_are_turned_by_their_exif() {
    let png = picture("x.png", "-frames:v 1");
    let mut chunk = vec![0, 0, 0, 26];
    chunk.extend([b"eXIf".as_slice(), &exif(6, true), &[0; 4]].concat());
    chunk[3] = exif(6, true).len() as u8;
    assert_eq!(size(&probe_bytes(&[&png[..33], &chunk, &png[33..]].concat()).unwrap()), Some((64, 96)));
    let mut webp = picture("x.webp", "-frames:v 1");
    let exif = exif(8, false);
    webp.extend([b"EXIF".as_slice(), &(exif.len() as u32).to_le_bytes(), &exif].concat());
    let len = webp.len() as u32 - 8;
    webp[4..8].copy_from_slice(&len.to_le_bytes());
    assert_eq!(size(&probe_bytes(&webp).unwrap()), Some((64, 96)));
    let (_dir, path) =
        make_from("x.avif", &["-f", "lavfi", "-i", "testsrc=size=96x64"], "-frames:v 1 -c:v libaom-av1 -cpu-used 8");
    assert_eq!(size(&probe_file(&path)), Some((96, 64)));
}

#[test]
fn k27_tracks_behind_the_clusters_are_found() {
    let info = probe_bytes(include_bytes!("media/tracks-last.mkv")).unwrap();
    assert!(info.width.is_some() && info.codec.is_some() && info.duration.is_some(), "{info:?}");
}

#[test]
fn k27_a_live_stream_lasts_until_its_last_block() {
    for options in
        ["-c:v libvpx -deadline realtime -an -live 1", "-c:v libvpx -deadline realtime -c:a libopus -f webm -live 1"]
    {
        let (_dir, path) = make("x.webm", options);
        lasts(&std::fs::read(path).unwrap(), 2.0);
    }
    // Clusters of known size, but a header without a duration.
    let (_dir, path) = make("x.mkv", "-c:v libx264 -g 12 -c:a aac -cluster_time_limit 500");
    let mut bytes = std::fs::read(path).unwrap();
    let duration = bytes.windows(3).position(|id| id == [0x44, 0x89, 0x88]).unwrap();
    // An element of the same length that says nothing: `Void`.
    bytes[duration..duration + 11].copy_from_slice(&[0xec, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    lasts(&bytes, 2.0);
}
