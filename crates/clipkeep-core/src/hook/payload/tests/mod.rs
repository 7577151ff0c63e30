mod data;
mod shapes;

use data_encoding::BASE64;

use super::{
    walk::{MAX_NOTES, MAX_SLOT},
    *,
};

fn walk(payload: &str) -> Media {
    let body = Bytes::copy_from_slice(payload.as_bytes());
    clips(&Node::read(&body).unwrap(), Scope::All, &body, &"r".parse().unwrap())
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
        &["r.mp4 /video", "r.1.mp3 /audio", "r.2.webm /mask_video", "r.3.jpg /thumbnail", "r.4.png /spritesheet"],
    );
}

#[test]
fn clips_of_a_sort_are_numbered_in_document_order() {
    check(
        r#"{"z": {"url": "https://h/1.png"}, "images": [{"url": "https://h/2.png"}, {"url": "https://h/3.png"}], "a": {"url": "https://h/4.png"}}"#,
        &["r.png /images/0", "r.1.png /images/1", "r.2.png /z", "r.3.png /a"],
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
    check(r#"{"video": {"uri": "https://h/x", "mimeType": "video/webm"}}"#, &["r.webm /video"]);
    check(r#"{"file": {"url": "https://h/x", "file_name": "a.mov"}}"#, &["r.mov /file"]);
}

#[test]
fn what_was_put_in_is_not_output() {
    check(
        r#"{"input": {"image": {"url": "https://h/in.png"}}, "inputs": [{"url": "https://h/i.png"}], "prompt": "https://h/p.png",
            "logs": [{"url": "https://h/l"}], "description": "see https://h/d.png", "video": {"url": "https://h/v.mp4"}}"#,
        &["r.mp4 /video"],
    );
}

#[test]
fn k30_files_that_are_no_media_are_told() {
    let media = walk(
        r#"{"config_file": {"url": "https://h/c.json", "content_type": "application/json"}, "diffusers_lora_file": {"url": "https://h/l.safetensors"},
            "captions": {"url": "https://h/x", "content_type": "text/vtt"}}"#,
    );
    assert_eq!((media.clips.len(), media.notes.len()), (0, 3));
    assert_eq!(media.unread.as_deref(), Some("/config_file is no media"));
    // Beside what was asked for they are as they should be.
    let media = walk(r#"{"video": {"url": "https://h/v.mp4"}, "config_file": {"url": "https://h/c.json"}}"#);
    assert_eq!((media.clips.len(), media.notes.len(), media.unread), (1, 1, None));
}

#[test]
fn k30_shapes_and_archives_are_fetched() {
    for (slot, url, content_type) in [
        ("model_glb", "https://h/m.glb", "null"),
        ("model_mesh", "https://h/m.glb", r#""application/octet-stream""#),
        ("frames_zip", "https://h/f", r#""application/zip""#),
        ("image", "https://h/x.svg", r#""image/svg+xml""#),
        ("splat", "https://h/x.splat", "null"),
        ("scene", "https://h/x", r#""model/gltf-binary""#),
    ] {
        let payload = format!(r#"{{"{slot}": {{"url": "{url}", "content_type": {content_type}}}}}"#);
        let media = walk(&payload);
        assert_eq!((media.clips.len(), &media.unread), (1, &None), "{payload}");
    }
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
        ("file", "https://h/x", r#""application/mp4""#, Some("video/mp4")),
        ("audio", "https://h/x", r#""application/x-new""#, Some("audio/mpeg")),
        ("data", "https://h/x", "null", Some("video/mp4")),
        ("data", "https://h/x.bin", r#""application/octet-stream""#, Some("video/mp4")),
        ("image", "https://h/x.svg", r#""image/svg+xml""#, Some("image/svg+xml")),
        ("model_mesh", "https://h/x.glb", r#""application/octet-stream""#, Some("model/gltf-binary")),
        ("file", "https://h/x", r#""model/gltf-binary""#, Some("model/gltf-binary")),
        ("frames", "https://h/x.zip", r#""application/zip""#, Some("application/zip")),
        ("speech", "https://h/x", r#""audio/L16;rate=24000""#, Some("audio/l16")),
        ("video", "https://h/x", r#""application/mp4""#, Some("video/mp4")),
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
fn case_32_an_output_that_cannot_be_fetched_is_told() {
    for (url, reason) in [
        ("ftp://h/x.mp4", "has a URL that is not http or https"),
        ("file:///x.mp4", "has a URL that is not http or https"),
        ("javascript:alert(1)//.mp4", "has no valid URL"),
        ("x.mp4", "has no valid URL"),
        ("https://user@h/x.mp4", "has a URL with a user name in it"),
        ("https://:pw@h/x.mp4", "has a URL with a user name in it"),
        (&format!("https://h/{}.mp4", "x".repeat(32 * 1024)), "has a URL that is too long"),
        ("data:video/mp4;base64,AAA*", "holds data that cannot be decoded"),
        ("data:video/mp4;base64", "holds data that breaks off"),
        ("data:application/octet-stream;base64,AAAA", "holds data of no known media type"),
    ] {
        let media = walk(&format!(r#"{{"thumbnail": {{"url": "https://h/t.png"}}, "video": {{"url": "{url}"}}}}"#));
        assert_eq!(media.clips.len(), 1, "{url:.40}");
        assert_eq!(media.notes, [Note { slot: "/video".into(), reason }], "{url:.40}");
        assert_eq!(media.unread, Some(format!("/video {reason}")));
    }
    let media = walk(r#"{"video": {"url": ""}}"#);
    assert_eq!((media.clips.len(), media.unread.as_deref()), (0, Some("/video has no URL")));
}

#[test]
fn k08_a_text_that_is_a_url_is_an_output_under_any_name() {
    check(r#"{"video": "https://h/a.mp4"}"#, &["r.mp4 /video"]);
    check(r#"{"My final cut": "https://h/a.webm"}"#, &["r.webm /My final cut"]);
    check(r#"{"final": "https://h/download/8231", "n": 1}"#, &["r.mp4 /final"]);
    check(r#"{"video": "https://h/abc?x=1"}"#, &["r.mp4 /video"]);
    check(r#"{"a": {"b": ["https://h/1.png", ["https://h/2.png"]]}}"#, &["r.png /a/b/0", "r.1.png /a/b/1/0"]);
    check(r#""https://h/a.mp4""#, &["r.mp4 "]);
    check(r#"{"clips": "https://h/1.mp4\n https://h/2.mp4"}"#, &["r.mp4 /clips", "r.1.mp4 /clips"]);
    check(r#"{"result": "{\"video\": {\"url\": \"https://h/a.mp4\"}}"}"#, &["r.mp4 /result/video"]);
    check(r#"{"json": "[\"https:\\/\\/h\\/a.mp4\"]"}"#, &["r.mp4 /json/0"]);
    check(r#"{"video": " HTTPS://h/a.mp4 "}"#, &["r.mp4 /video"]);
    check(r#"{"video": "//h.example/a.mp4"}"#, &["r.mp4 /video"]);
}

#[test]
fn k08_links_to_something_else_are_no_outputs() {
    let media = walk(
        r#"{"status_url": "https://queue.fal.run/x/requests/r/status", "response_url": "https://queue.fal.run/x/requests/r",
            "webhook": {"url": "https://app.example/hook"}, "docs": "https://docs.example/models", "license": "https://h/l",
            "notice": "https://h/terms.html", "text": "see https://h/a.mp4", "logs": ["https://h/log"],
            "description": "https://h/x is a fox that runs", "rating": "// none", "more": "mailto:a@b.example", "uri": "urn:x"}"#,
    );
    assert_eq!(media.clips, []);
    let media = walk(r#"{"caption": "a fox", "scores": [0.5, 1], "page": "https://h/a", "video": null, "images": []}"#);
    assert_eq!((media.clips.len(), media.unread), (0, None));
}

#[test]
fn k10_what_is_of_no_known_type_is_fetched_and_comes_after_what_is() {
    check(
        r#"{"a": {"url": "https://h/1"}, "b": {"url": "https://h/2.png"}, "c": {"url": "https://h/3", "content_type": "binary/octet-stream"}}"#,
        &["r.png /b", "r.1.mp4 /a", "r.2.mp4 /c"],
    );
}

#[test]
fn k12_the_main_output_has_the_first_name_whatever_the_others_are_called() {
    for (payload, first) in [
        (r#"{"mask_video": {"url": "https://h/m.mp4"}, "video": {"url": "https://h/v.mp4"}}"#, "/video"),
        (r#"{"debug": {"video": {"url": "https://h/d.mp4"}}, "videos": [{"url": "https://h/v.mp4"}]}"#, "/videos/0"),
        (r#"{"alpha_video": {"url": "https://h/a.mp4"}, "output": "https://h/x"}"#, "/output"),
        (r#"{"a_preview_video": {"url": "https://h/a.mp4"}, "image": {"url": "https://h/i.png"}}"#, "/image"),
        (r#"{"coverVideo": {"url": "https://h/a.mp4"}, "final": {"url": "https://h/i.mp4"}}"#, "/final"),
        (r#"{"depth": {"url": "https://h/d.mp4"}, "video_url": "https://h/v.mp4"}"#, "/video_url"),
        (r#"{"audio": {"url": "https://h/a.mp4"}, "video": {"url": "https://h/v.mp4"}}"#, "/video"),
        (r#"{"original": {"video": "https://h/o.mp4"}, "video": "https://h/v.mp4"}"#, "/video"),
    ] {
        let media = walk(payload);
        assert_eq!((media.clips[0].slot.as_str(), media.clips.len()), (first, 2), "{payload}");
    }
}

#[test]
fn k16_data_is_an_output() {
    let png = BASE64.encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and more than sixty-four letters of it, as a picture has");
    for (payload, slot) in [
        (format!(r#"{{"image": {{"url": "data:image/png;base64,{png}", "content_type": "image/png"}}}}"#), "/image"),
        (format!(r#"{{"images": ["data:;base64,{png}"]}}"#), "/images/0"),
        (format!(r#"{{"x": {{"url": " DATA:application/octet-stream;base64,{png}"}}}}"#), "/x"),
        (format!(r#"{{"b64_json": "{png}"}}"#), "/b64_json"),
        (format!(r#"{{"x": "{{\"url\": \"data:image/png;base64,{png}\"}}"}}"#), "/x"),
    ] {
        let media = walk(&payload);
        let [clip] = media.clips.as_slice() else { panic!("{payload}: {media:?}") };
        assert_eq!((clip.key.as_str(), clip.slot.as_str(), clip.content_type.as_str()), ("r.png", slot, "image/png"));
        assert_eq!((media.inlines.len(), &media.unread), (1, &None));
        assert_eq!(clip.source_url, media.inlines[0].source());
    }
    // The same bytes twice are one clip.
    let media = walk(&format!(r#"{{"a": "data:image/png;base64,{png}", "b": "data:image/png;base64, {png}"}}"#));
    assert_eq!((media.clips.len(), media.inlines.len()), (1, 1));
    let media = walk(r#"{"a": "data:text/plain,hello", "b": "data:application/json,%7B%7D"}"#);
    assert_eq!((media.clips.len(), media.unread.as_deref()), (0, Some("/a holds data that is no media")));
}

#[test]
fn what_lies_too_deep_is_told() {
    let deep = format!(r#"{{"a": {}"https://h/a.mp4"{}}}"#, "[".repeat(300), "]".repeat(300));
    let media = walk(&deep);
    assert_eq!(media.clips, []);
    assert!(media.unread.unwrap().ends_with("is nested too deeply, or stands behind too much"));
    let nested =
        (0..6).fold(r#"{"url": "https://h/a.mp4"}"#.to_owned(), |json, _| serde_json::json!({"x": json}).to_string());
    let nested = walk(&nested);
    assert_eq!(nested.clips.len(), 0, "JSON in JSON has an end");
    assert!(nested.unread.unwrap().ends_with("is nested too deeply, or stands behind too much"));
}

#[test]
fn a_file_that_is_only_named_is_told() {
    let media = walk(r#"{"video": "file-8213"}"#);
    assert_eq!(media.unread.as_deref(), Some("/video holds a text that is no URL"));
    assert_eq!(walk(r#"{"output": "Once upon a time", "image_size": "square"}"#).unread, None);
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
    assert_eq!(media.unread.as_deref(), Some("/images/256 is one file too many"));
    assert_eq!(many("data:").notes.len(), MAX_NOTES);
    check(&format!(r#"{{"{}": {{"url": "https://h/x.mp4"}}}}"#, "k".repeat(MAX_SLOT)), &["r.mp4 "]);
}

#[test]
fn k15_the_seed_is_a_whole_number_of_64_bits() {
    for (payload, seed) in [
        (r#"{"seed": -7}"#, Some("-7")),
        (r#"{"seed": 9223372036854775808}"#, Some("9223372036854775808")),
        (r#"{"seed": 18446744073709551615}"#, Some("18446744073709551615")),
        (r#"{"seed": 42.0}"#, Some("42")),
        (r#"{"seed": 18446744073709551616}"#, None),
        (r#"{"seed": 1.5}"#, None),
        (r#"{"seed": NaN}"#, None),
        (r#"{"seed": "7"}"#, None),
        (r#"{"a": {"seed": 7}}"#, None),
    ] {
        assert_eq!(walk(payload).seed.map(|seed| seed.to_string()).as_deref(), seed, "{payload}");
    }
}

/// Each clip of a plain output as `key slot`.
fn plain(output: &str, input: &str) -> Vec<String> {
    let (body, input) = (Bytes::copy_from_slice(output.as_bytes()), serde_json::from_str(input).unwrap());
    let media = output_clips(&Node::read(&body).unwrap(), Scope::All, Some(&input), &body, &"r".parse().unwrap());
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
    ] {
        assert_eq!(plain(output, "{}"), expected, "{output}");
    }
    let input = r#"{"image": "https://h/in.png", "more": ["https://h/i2.png"]}"#;
    assert_eq!(
        plain(r#"["https://h/in.png", {"url": "https://h/i2.png"}, "https://h/o.png"]"#, input),
        ["r.png /output/2"]
    );
}
