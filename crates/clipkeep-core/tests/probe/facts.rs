//! Every fact is what ffprobe says.

use clipkeep_core::generation::Kind;

use crate::support::{
    PICTURE, SOUND, assert_close, check, check_made, check_with, ffprobe, make, make_from, probe_file,
};

#[test]
fn mp4_with_moov_first_is_as_ffprobe_says() {
    check_made("x.mp4", "-c:v libx264 -c:a aac -movflags +faststart", "video/mp4");
}

#[test]
fn mp4_with_moov_last_is_as_ffprobe_says() {
    check_made("x.mp4", "-c:v libx264 -profile:v main -c:a aac", "video/mp4");
    check_made("x.mp4", "-c:v libx264 -profile:v baseline -an", "video/mp4");
}

#[test]
fn mp4_with_b_frames_and_edit_lists_is_as_ffprobe_says() {
    check_made("x.mp4", "-c:v libx264 -bf 3 -c:a aac", "video/mp4");
    check_made("x.mp4", "-c:v libx264 -bf 3 -an -use_editlist 0", "video/mp4");
    // Cut while copying: the edit list leaves out what was stored before the cut.
    let (_dir, whole) = make("x.mp4", "-c:v libx264 -bf 3 -g 12 -c:a aac");
    let (_cut_dir, cut) = make_from("y.mp4", &["-ss", "0.7", "-i", whole.to_str().unwrap()], "-c copy");
    check(&cut, "video/mp4");
    // Sound that starts late: an empty edit.
    let inputs = ["-f", "lavfi", "-i", PICTURE, "-itsoffset", "0.5", "-f", "lavfi", "-i", SOUND];
    let (_late_dir, late) = make_from("z.mp4", &inputs, "-c:v libx264 -c:a aac");
    check(&late, "video/mp4");
}

#[test]
fn fragmented_mp4_is_as_ffprobe_says() {
    for options in [
        "-bf 0 -c:a aac -movflags frag_keyframe+empty_moov",
        "-bf 0 -c:a aac -movflags frag_keyframe",
        "-bf 0 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof",
        "-bf 0 -c:a aac -movflags cmaf",
        "-bf 0 -c:a aac -movflags dash",
        "-bf 2 -c:a aac -movflags dash+global_sidx+frag_keyframe",
        "-bf 2 -an -movflags frag_keyframe+empty_moov+delay_moov",
        "-bf 2 -an -movflags frag_every_frame+empty_moov",
    ] {
        let (_dir, path) = make("x.mp4", &format!("-c:v libx264 -g 12 {options}"));
        check_with(&path, "video/mp4", "r_frame_rate");
    }
}

#[test]
fn fps_is_as_ffprobe_says() {
    for rate in ["24000/1001", "25", "30", "60"] {
        let picture = format!("testsrc=size=96x64:rate={rate}:duration=1,format=yuv420p");
        let (_dir, path) = make_from("x.mp4", &["-f", "lavfi", "-i", &picture], "-c:v libx264");
        check(&path, "video/mp4");
    }
}

#[test]
fn quicktime_is_as_ffprobe_says() {
    check_made("x.mov", "-c:v libx264 -c:a aac", "video/quicktime");
}

#[test]
fn a_turned_clip_has_its_displayed_size() {
    let (_dir, path) = make("x.mov", "-c:v libx264 -c:a aac");
    let (_turned_dir, turned) =
        make_from("y.mov", &["-i", path.to_str().unwrap()], "-c copy -metadata:s:v:0 rotate=90");
    check(&turned, "video/quicktime");
    let info = probe_file(&turned);
    assert_eq!((info.width, info.height), (Some(64), Some(96)));
}

#[test]
fn other_codecs_are_as_ffprobe_says() {
    check_made("x.mp4", "-c:v libx265 -tag:v hvc1 -x265-params log-level=none -c:a aac", "video/mp4");
    check_made("x.mp4", "-c:v libsvtav1 -preset 13 -an", "video/mp4");
    let (_dir, path) = make("x.mp4", "-c:v libvpx-vp9 -deadline realtime -an");
    assert_eq!(probe_file(&path).codec.as_deref(), Some("vp09.00.10.08"));
    let (_dir, path) = make("x.mp4", "-c:v mpeg4 -an");
    assert_eq!(probe_file(&path).codec.as_deref(), Some("mp4v"));
}

#[test]
fn webm_is_as_ffprobe_says() {
    check_made("x.webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus", "video/webm");
    check_made("x.webm", "-c:v libvpx -deadline realtime -an", "video/webm");
    check_made("x.mkv", "-c:v libx264 -c:a aac", "video/x-matroska");
    check_made("x.webm", "-vn -c:a libopus", "audio/webm");
}

#[test]
fn sound_is_as_ffprobe_says() {
    check_made("x.m4a", "-vn -c:a aac", "audio/mp4");
    check_made("x.mp4", "-vn -c:a aac", "audio/mp4");
    for (name, content_type) in [("x.wav", "audio/wav"), ("x.flac", "audio/flac")] {
        let (_dir, path) = make(name, "-vn");
        let ours = probe_file(&path);
        assert_eq!((ours.kind, ours.content_type.as_str()), (Kind::Audio, content_type));
        assert_close(ours.duration, ffprobe(&path).duration, 0.05, name);
    }
}

#[test]
fn pictures_are_as_ffprobe_says() {
    for (name, content_type) in [
        ("x.png", "image/png"),
        ("x.jpg", "image/jpeg"),
        ("x.gif", "image/gif"),
        ("x.webp", "image/webp"),
        ("x.bmp", "image/bmp"),
    ] {
        let (_dir, path) = make(name, "-an -frames:v 1");
        let (ours, theirs) = (probe_file(&path), ffprobe(&path));
        assert_eq!((ours.kind, ours.content_type.as_str()), (Kind::Image, content_type));
        assert_eq!(ours.width.zip(ours.height).map(|(w, h)| (w.into(), h.into())), theirs.size(), "{name}");
    }
}
