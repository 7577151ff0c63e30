use super::*;

fn walk(payload: &str) -> Media {
    clips(&serde_json::from_str(payload).unwrap(), &"r".parse().unwrap())
}

/// Each clip as `key slot`.
fn check(payload: &str, expected: &[&str]) {
    let media = walk(payload);
    let found: Vec<String> = media.clips.iter().map(|clip| format!("{} {}", clip.key, clip.slot)).collect();
    assert_eq!(found, expected, "{payload}\n{:?}", media.notes);
    assert!((0..).zip(&media.clips).all(|(index, clip)| clip.index == index));
}

/// The first clip's media type of `{slot: {url, content_type}}`.
fn type_of(slot: &str, url: &str, content_type: &str) -> Option<String> {
    let payload = format!(r#"{{"{slot}": {{"url": "{url}", "content_type": {content_type}}}}}"#);
    walk(&payload).clips.into_iter().next().map(|clip| clip.content_type)
}

#[test]
fn the_video_takes_the_first_key() {
    check(
        r#"{"thumbnail": {"url": "https://h/t.jpg"}, "audio": {"url": "https://h/a.mp3"}, "spritesheet": {"url": "https://h/s.png"},
            "video": {"url": "https://h/v.mp4"}, "mask_video": {"url": "https://h/m.webm"}}"#,
        &["r.mp4 /video", "r.1.webm /mask_video", "r.2.mp3 /audio", "r.3.jpg /thumbnail", "r.4.png /spritesheet"],
    );
}

#[test]
fn clips_are_numbered_in_document_order() {
    check(
        r#"{"z": {"url": "https://h/1.png"}, "images": [{"url": "https://h/2.png"}, {"url": "https://h/3.png"}], "a": {"url": "https://h/4.png"}}"#,
        &["r.png /z", "r.1.png /images/0", "r.2.png /images/1", "r.3.png /a"],
    );
}

#[test]
fn case_32_files_are_found_wherever_they_stand() {
    check(r#"{"a": [[{"b": {"url": "https://h/x.mp4"}}]]}"#, &["r.mp4 /a/0/0/b"]);
    check(r#"{"video": [{"url": "https://h/1"}, {"url": "https://h/2"}]}"#, &["r.mp4 /video/0", "r.1.mp4 /video/1"]);
    check(r#"{"a/b~c": {"url": "https://h/x.mp4"}}"#, &["r.mp4 /a~1b~0c"]);
    check(r#"{"url": "https://h/x.mp4"}"#, &["r.mp4 "]);
    check(
        r#"{"video_url": "https://h/v", "thumbnail_url": "https://h/t", "audio_url": {"url": "https://h/a"}}"#,
        &["r.mp4 /video_url", "r.1.mp3 /audio_url", "r.2.png /thumbnail_url"],
    );
    check(r#"{"output": "https://h/x.webm"}"#, &["r.webm /output"]);
    check(r#"{"output": ["https://h/1.mp4", "https://h/2.mp4"]}"#, &["r.mp4 /output/0", "r.1.mp4 /output/1"]);
    check(r#"["https://h/1.mp4"]"#, &["r.mp4 /0"]);
    check(
        r#"{"video": {"url": "https://h/x.mp4", "start_frame_url": "https://h/s.png"}}"#,
        &["r.mp4 /video", "r.1.png /video/start_frame_url"],
    );
}

#[test]
fn what_was_put_in_is_not_output() {
    check(
        r#"{"input": {"image": {"url": "https://h/in.png"}}, "inputs": [{"url": "https://h/i.png"}], "prompt": {"url": "https://h/p.png"},
            "logs": [{"url": "https://h/l.png"}], "description": "see https://h/d.png", "video": {"url": "https://h/v.mp4"}}"#,
        &["r.mp4 /video"],
    );
}

#[test]
fn files_that_are_no_media_are_noted() {
    let media = walk(
        r#"{"config_file": {"url": "https://h/c.json", "content_type": "application/json"}, "diffusers_lora_file": {"url": "https://h/l.safetensors"},
            "model_glb": {"url": "https://h/m.glb"}, "frames_zip": {"url": "https://h/f"}, "images": [{"url": "https://h/x.svg"}],
            "status_url": "https://h/status", "video": {"url": "https://h/v", "content_type": "application/zip"}}"#,
    );
    assert_eq!(media.clips, []);
    assert_eq!(media.notes.len(), 7);
    let note = Note { slot: "/images/0".into(), reason: "is no video, audio or image" };
    assert!(media.notes.contains(&note), "{:?}", media.notes);
}

#[test]
fn the_type_comes_from_the_content_type_the_ending_then_the_slot() {
    for (slot, url, content_type, expected) in [
        ("video", "https://h/x", r#""video/mp4""#, Some("video/mp4")),
        ("video", "https://h/x.webm", r#""video/mp4""#, Some("video/mp4")),
        ("file", "https://h/x.mov", r#""Video/QuickTime; a=b""#, Some("video/quicktime")),
        ("file", "https://h/x.webm", r#""video/new""#, Some("video/webm")),
        ("file", "https://h/x.bin", r#""video/new""#, Some("video/mp4")),
        ("file", "https://h/x.MOV?a=b.png#c.gif", "null", Some("video/quicktime")),
        ("video", "https://h/x.webm", r#""application/octet-stream""#, Some("video/webm")),
        ("video", "https://h/x.bin", r#""binary/octet-stream""#, Some("video/mp4")),
        ("video", "https://h/x", "null", Some("video/mp4")),
        ("video", "https://h/x", r#""""#, Some("video/mp4")),
        ("vocals", "https://h/x", "null", Some("audio/mpeg")),
        ("thumbnail", "https://h/x", "null", Some("image/png")),
        ("images", "https://h/x.gif", r#""image/gif""#, Some("image/gif")),
        ("image", "https://h/x.svg", r#""image/svg+xml""#, None),
        ("data", "https://h/x", "null", None),
        ("video", "https://h/x", r#""text/html""#, None),
    ] {
        assert_eq!(type_of(slot, url, content_type).as_deref(), expected, "{slot} {url} {content_type}");
    }
}

#[test]
fn the_same_url_is_one_clip() {
    check(
        r#"{"video": {"url": "https://h/x.mp4"}, "video_url": "https://h/x.mp4", "images": [{"url": "https://h/y.png"}, {"url": "https://h/y.png"}]}"#,
        &["r.mp4 /video", "r.1.png /images/0"],
    );
}

#[test]
fn case_32_urls_that_cannot_be_fetched_are_noted() {
    for (url, reason) in [
        ("data:video/mp4;base64,AAAA", "is inline data, not a URL"),
        ("DATA:,", "is inline data, not a URL"),
        ("ftp://h/x.mp4", "has a URL that is not http or https"),
        ("file:///x.mp4", "has a URL that is not http or https"),
        ("javascript:alert(1)//.mp4", "has a URL that is not http or https"),
        ("//h/x.mp4", "has no valid URL"),
        ("x.mp4", "has no valid URL"),
        ("", "has no valid URL"),
        ("https://h/x .mp4", "has no valid URL"),
        ("https://h/x\\n.mp4", "has no valid URL"),
        ("https://user@h/x.mp4", "has a URL with a user name in it"),
        ("https://:pw@h/x.mp4", "has a URL with a user name in it"),
        (&format!("https://h/{}.mp4", "x".repeat(4096)), "has a URL that is too long"),
    ] {
        let media = walk(&format!(r#"{{"video": {{"url": "{url}"}}}}"#));
        assert_eq!(media.clips, [], "{url}");
        assert_eq!(media.notes, [Note { slot: "/video".into(), reason }], "{url}");
    }
}

#[test]
fn case_32_a_host_nobody_expected_is_recorded_all_the_same() {
    check(r#"{"video": {"url": "http://10.0.0.1:8080/x.mp4"}}"#, &["r.mp4 /video"]);
}

#[test]
fn clips_notes_and_slots_are_bounded() {
    let many = |prefix: &str| {
        let items: Vec<String> = (0..2000).map(|n| format!(r#"{{"url": "{prefix}{n}.png"}}"#)).collect();
        walk(&format!(r#"{{"images": [{}]}}"#, items.join(",")))
    };
    let media = many("https://h/");
    assert_eq!((media.clips.len(), media.notes.len()), (MAX_CLIPS, MAX_NOTES));
    assert_eq!(media.clips[255].key.as_str(), "r.255.png");
    assert_eq!(many("data:").notes.len(), MAX_NOTES);
    check(&format!(r#"{{"{}": {{"url": "https://h/x.mp4"}}}}"#, "k".repeat(MAX_SLOT)), &[]);
}

#[test]
fn the_seed_is_an_integer() {
    for (payload, seed) in [
        (r#"{"seed": -7}"#, Some(-7)),
        (r#"{"seed": 18446744073709551615}"#, None),
        (r#"{"seed": 1.5}"#, None),
        (r#"{"seed": "7"}"#, None),
        (r#"{"a": {"seed": 7}}"#, None),
    ] {
        assert_eq!(walk(payload).seed, seed, "{payload}");
    }
}

/// Each clip of a plain output as `key slot`.
fn plain(output: &str, input: &str) -> Vec<String> {
    let input: Node = serde_json::from_str(input).unwrap();
    let media = plain_clips(serde_json::from_str(output).unwrap(), Some(&input), &"r".parse().unwrap());
    media.clips.iter().map(|clip| format!("{} {}", clip.key, clip.slot)).collect()
}

#[test]
fn case_32_a_plain_output_is_a_text_a_list_or_an_object() {
    for (output, expected) in [
        (r#""https://h/x.mp4""#, &["r.mp4 /output"][..]),
        (r#"["https://h/1.png", "https://h/2.png"]"#, &["r.png /output/0", "r.1.png /output/1"]),
        (
            r#"{"thumb": "https://h/t.webp", "video": "https://h/v.mp4", "n": [["HTTPS://h/w.mp4"]]}"#,
            &["r.mp4 /output/video", "r.1.mp4 /output/n/0/0", "r.2.webp /output/thumb"],
        ),
        (r#"[{"url": "https://h/x.mp4", "mime_type": "video/mp4"}]"#, &["r.mp4 /output/0"]),
        (r#"{"video": "https://h/no-ending"}"#, &["r.mp4 /output/video"]),
        (r#"["a ", "cat.mp4", " sat"]"#, &[]),
        (r#"{"text": "see https://h/x.mp4", "n": 7}"#, &[]),
        ("null", &[]),
        (r#""data:image/png;base64,AAAA""#, &[]),
    ] {
        assert_eq!(plain(output, "{}"), expected, "{output}");
    }
    let input = r#"{"image": "https://h/in.png", "more": ["https://h/i2.png"]}"#;
    assert_eq!(
        plain(r#"["https://h/in.png", {"url": "https://h/i2.png"}, "https://h/o.png"]"#, input),
        ["r.png /output/2"]
    );
}
