//! What is drawn of which media.

use super::*;

/// Tells of a file and answers its poster, or none.
async fn poster(t: &TestApp, id: &str, slot: &str, content_type: &'static str, bytes: Bytes) -> Option<Bytes> {
    told(t, id, slot, content_type, bytes, "").await;
    let began = Instant::now();
    let key = loop {
        let generation = t.api(&format!("/api/v1/generations/{id}")).await;
        match generation["clips"][0]["state"].as_str() {
            Some("stored") => break generation["clips"][0]["key"].as_str().unwrap().to_owned(),
            _ => assert!(began.elapsed() < PATIENCE, "{generation}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let clip = tried(t, &key).await;
    let answer = get(t, &poster_link(t, &key)).await;
    assert_eq!(answer.status() == 200, matches!(clip.poster, Poster::Made { .. }), "{id}");
    assert!([200, 404].contains(&answer.status().as_u16()), "{id} {}", answer.status());
    if answer.status() != 200 {
        return None;
    }
    Some(answer.bytes().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_that_shows_something_is_drawn() {
    let t = drawing(&[]).await;
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    let filmed = |input: &[&str]| made("mp4", &[input, &x264].concat());
    let after_black = [
        "-f",
        "lavfi",
        "-i",
        "color=black:s=640x360:r=24:d=2",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=640x360:r=24:d=1",
        "-filter_complex",
        "[0][1]concat=n=2",
    ];
    let after_white =
        after_black.map(|word| if word.starts_with("color=black") { "color=white:s=640x360:r=24:d=2" } else { word });
    let faded = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=24:d=3", "-vf", "fade=in:0:48"];
    for (id, input) in [("black", &after_black[..]), ("white", &after_white[..]), ("faded", &faded[..])] {
        let (.., mean) = measured(&poster(&t, id, "video", "video/mp4", filmed(input)).await.unwrap());
        assert!((40..220).contains(&mean), "{id}: {mean}");
    }
    // Where nothing else is to be seen, that is what is drawn.
    let black = poster(&t, "night", "video", "video/mp4", filmed(&after_black[..4])).await.unwrap();
    assert!(measured(&black).2 < 20);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_turns_are_as_they_are_shown() {
    let t = drawing(&[]).await;
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    let of = |source: &str, more: &[&str]| made("mp4", &[&["-f", "lavfi", "-i", source], &x264[..], more].concat());
    for (id, bytes, size) in [
        ("small", of("testsrc2=s=64x48:d=0.2", &[]), (64, 48)),
        ("tall", of("testsrc2=s=400x3000:d=0.2", &[]), (170, 1274)),
        ("wide", of("testsrc2=s=3840x400:d=0.2", &[]), (640, 66)),
        ("squeezed", of("testsrc2=s=360x360:d=0.2", &["-vf", "setsar=16/9"]), (640, 360)),
    ] {
        let (width, height, _) = measured(&poster(&t, id, "video", "video/mp4", bytes).await.unwrap());
        assert_eq!((width, height), size, "{id}");
    }
    let upright =
        made("mp4", &["-f", "lavfi", "-i", "testsrc2=s=640x360:d=0.2", "-c:v", "libx264", "-pix_fmt", "yuv420p"]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.mp4"), upright).unwrap();
    let input = dir.path().join("in.mp4");
    let turned = made("mp4", &["-i", input.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"]);
    let (width, height, _) = measured(&poster(&t, "turned", "video", "video/mp4", turned).await.unwrap());
    assert!(width < height, "{width} x {height}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_media_has_one_that_can() {
    let t = drawing(&[]).await;
    let frame = ["-f", "lavfi", "-i", "testsrc2=s=900x600:d=1", "-frames:v", "1"];
    let tone = ["-f", "lavfi", "-i", "sine=440:d=2"];
    let clear = ["-f", "lavfi", "-i", "color=red@0.0:s=64x64,format=rgba", "-frames:v", "1"];
    for (id, slot, content_type, bytes, size) in [
        ("png", "image", "image/png", made("png", &frame), (640, 426)),
        ("jpeg", "image", "image/jpeg", made("jpg", &frame), (640, 426)),
        ("webp", "image", "image/webp", made("webp", &frame), (640, 426)),
        ("gif", "image", "image/gif", made("gif", &frame), (640, 426)),
        ("clear", "image", "image/png", made("png", &clear), (64, 64)),
        ("webm", "video", "video/webm", made("webm", &["-f", "lavfi", "-i", "testsrc2=s=320x180:d=0.5"]), (320, 180)),
        ("mp3", "audio", "audio/mpeg", made("mp3", &tone), (640, 240)),
        ("wav", "audio", "audio/wav", made("wav", &tone), (640, 240)),
        ("flac", "audio", "audio/flac", made("flac", &tone), (640, 240)),
    ] {
        let jpeg = poster(&t, id, slot, content_type, bytes).await;
        let (width, height, mean) = measured(&jpeg.unwrap_or_else(|| panic!("{id} has none")));
        assert_eq!((width, height), size, "{id}");
        assert!(mean > 8 || id == "clear", "{id}: {mean}");
    }
    let zip = Bytes::from_static(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(poster(&t, "zip", "archive", "application/zip", zip).await, None);
    t.stop().await;
}
