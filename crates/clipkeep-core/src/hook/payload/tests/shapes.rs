//! Outputs in the shapes that workflows, other clouds and chats give them.

use serde_json::{Value, json};

use super::{check, walk};
use crate::hook::{
    json::Node,
    payload::{Scope, clips},
};

fn why(payload: &Value) -> String {
    let media = walk(&payload.to_string());
    assert_eq!(media.clips, [], "{payload}");
    media.unread.unwrap_or_else(|| panic!("{payload} is forgotten"))
}

fn sees(payload: &Value, expected: &[&str]) {
    check(&payload.to_string(), expected);
    assert_eq!(walk(&payload.to_string()).unread, None, "{payload}");
}

#[test]
fn d03_where_a_file_is_awaited_its_content_judges_and_not_an_ending() {
    sees(&json!({"video": "https://h/get.php?file=a.mp4"}), &["r.mp4 /video"]);
    sees(&json!({"video": "https://h/a.txt"}), &["r.mp4 /video"]);
    sees(&json!({"images": [{"url": "https://h/a.html"}]}), &["r.png /images/0"]);
    sees(&json!({"final": "https://h/get.php?id=7"}), &["r.mp4 /final"]);
    assert_eq!(
        walk(r#"{"video": "https://h/v.mp4", "captions": "https://h/c.srt", "video_info": "https://h/i.json"}"#)
            .clips
            .len(),
        1
    );
}

#[test]
fn d04_places_that_cannot_be_followed_are_told_under_any_name() {
    for payload in [
        json!({"videos": [{"gcsUri": "gs://b/o/s.mp4", "mimeType": "video/mp4"}]}),
        json!({"final_cut": "s3://b/a.mp4"}),
        json!({"x": ["ftp://h/My cut.mp4"]}),
        json!({"y": {"z": "ipfs://bafy/a"}}),
        json!({"out": "azure://c/a.mp4"}),
        json!("gs://b/c.mp4"),
    ] {
        assert!(why(&payload).ends_with("has a URL that is not http or https"), "{payload}");
    }
    let media = walk(r#"{"text": "copy it to s3://b and run", "docs": "vscode://extension", "n": 1}"#);
    assert_eq!((media.clips.len(), media.unread), (0, None));
}

#[test]
fn d08_users_names_are_no_links() {
    for name in ["card", "self_portrait", "license_plate", "page_1", "log_cabin"] {
        sees(&json!({name: {"url": "https://h/abc"}}), &[&format!("r.mp4 /{name}")]);
        sees(&json!({name: "https://h/abc"}), &[&format!("r.mp4 /{name}")]);
    }
    for name in ["status", "response_url", "docs", "webhook"] {
        sees(&json!({name: "https://h/abc", "n": 1}), &[]);
    }
    for name in ["prompt", "logs", "metrics"] {
        sees(&json!({name: {"url": "https://h/a.webm"}}), &[&format!("r.webm /{name}")]);
        sees(&json!({name: {"url": "https://h/a", "content_type": "video/mp4"}}), &[&format!("r.mp4 /{name}")]);
    }
    sees(&json!({"prompt": {"url": "https://h/p.png"}, "z": "https://h/z.png"}), &["r.png /z", "r.1.png /prompt"]);
    // What is called after an input is one only where nothing else was said.
    sees(&json!({"inputs": {"url": "https://h/a.mp4"}, "seed": 7}), &["r.mp4 /inputs"]);
    sees(&json!({"inputs": {"url": "https://h/a.mp4"}, "output": "A fox runs."}), &[]);
    sees(&json!({"input": {"image": "https://h/a.png"}, "video": "https://h/v"}), &["r.mp4 /video"]);
}

#[test]
fn d09_a_file_that_is_announced_without_a_url_is_told() {
    for payload in [
        json!({"video": {"content_type": "video/mp4", "file_name": "out.mp4"}}),
        json!({"video": {"url": null, "content_type": "video/mp4"}}),
        json!({"video": {"file_id": "file-abc"}}),
        json!({"videos": [{"id": "abc", "status": "done"}]}),
        json!({"inlineData": {"mimeType": "video/mp4", "data": ""}}),
        json!({"result": {"fileName": "a.webm", "size": 7}}),
    ] {
        assert!(why(&payload).ends_with("names a file without a URL"), "{payload} {}", why(&payload));
    }
    // What it holds is the file.
    sees(&json!({"video": {"content_type": "video/mp4", "files": ["https://h/a"]}}), &["r.mp4 /video/files/0"]);
    sees(&json!({"video": {"url": "https://h/a.mp4"}, "audio": {"url": null}}), &["r.mp4 /video"]);
}

#[test]
fn d10_texts_that_hold_an_output_are_read() {
    sees(&json!({"output": "![result](https://h/a.mp4)"}), &["r.mp4 /output"]);
    sees(&json!({"x": "Here it is: ![a fox](https://h/abc) and more"}), &["r.mp4 /x"]);
    sees(&json!({"html": "<video controls src=\"https://h/a.webm\"></video>"}), &["r.webm /html"]);
    sees(&json!({"video": "Done! It is at https://h/a.mp4 (for an hour)."}), &["r.mp4 /video"]);
    sees(&json!({"video": "https://h/a.mp4 and https://h/b.mp4"}), &["r.mp4 /video", "r.1.mp4 /video"]);
    sees(&json!({"video": "v3.fal.media/files/a/b.mp4"}), &["r.mp4 /video"]);
    sees(&json!({"video": {"url": "v3.fal.media/files/a/b.mp4"}}), &["r.mp4 /video"]);
    sees(&json!({"x": "files.old/a.mp4"}), &[]);
    let twice = json!(json!({"video": {"url": "https://h/a.mp4"}}).to_string()).to_string();
    sees(&json!({"x": twice}), &["r.mp4 /x/video"]);
    sees(&json!({"x": json!({"y": twice}).to_string().replace('/', "\\/")}), &["r.mp4 /x/y/video"]);
    assert!(why(&json!({"video": "it is at https://h/abc, I think"})).ends_with("holds a URL among other words"));
    sees(&json!({"text": "see https://h/a.mp4 for more", "n": 1}), &[]);
}

#[test]
fn d11_lists_in_a_text_end_where_their_urls_do() {
    for text in
        ["https://h/1.mp4, https://h/2.mp4", "https://h/1.mp4; https://h/2.mp4", "https://h/1.mp4,https://h/2.mp4,"]
    {
        let media = walk(&json!({"x": text}).to_string());
        let urls: Vec<&str> = media.clips.iter().map(|clip| clip.source_url.expose()).collect();
        assert_eq!(urls, ["https://h/1.mp4", "https://h/2.mp4"], "{text}");
    }
    assert_eq!(walk(r#"{"x": "https://h/1.mp4,"}"#).clips[0].source_url.expose(), "https://h/1.mp4");
}

#[test]
fn d18_beside_a_failure_only_what_is_surely_media_is_an_output() {
    let failed = |payload: Value| {
        let body = bytes::Bytes::from(payload.to_string());
        clips(&Node::read(&body).unwrap(), Scope::Sure, &body, &"r".parse().unwrap())
    };
    let media = failed(json!({"video": {"url": "https://h/a.mp4"}, "image": "https://h/abc",
        "detail": [{"url": "https://docs.fal.ai/errors#x", "input": "https://h/in.png", "msg": "no", "image": "https://h/i.png"}]}));
    assert_eq!(media.clips.iter().map(|clip| clip.slot.as_str()).collect::<Vec<_>>(), ["/video"]);
    assert_eq!(media.unread, None);
    assert_eq!(
        failed(json!({"video": "gs://b/a.mp4"})).unread.as_deref(),
        Some("/video has a URL that is not http or https")
    );
}

#[test]
fn many_small_texts_are_looked_at_in_bounded_time() {
    let texts = vec![r#"{"a fox": "that runs", "license_plate": "x"}"#; 60_000].join(",");
    let began = std::time::Instant::now();
    assert_eq!(walk(&format!(r#"{{"x": [{texts}], "y": "{}"}}"#, "![<img ".repeat(300_000))).clips, []);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
