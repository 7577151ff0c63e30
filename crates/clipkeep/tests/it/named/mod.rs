//! K13: a clip's bytes decide its name, whatever it was announced as; the name
//! that it had leads to it.

mod killed;
mod viewers;

use std::path::Path;

use clipkeep_core::{generation::Clip, state::ClipState};
use data_encoding::BASE64;
use fal_sim::Media;
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    cold::{all, header},
    support::app::TestApp,
};

/// A client that tells of redirects and does not follow them.
fn straight() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

async fn get(url: &str) -> Response {
    straight().get(url).send().await.unwrap()
}

/// A file of the simulator under this name, whatever it is.
fn file(t: &TestApp, name: &str, media: &str) -> String {
    t.sim.add_file(name, Media::named(media))
}

/// The names of all objects in the store's folder.
fn objects(folder: &Path) -> Vec<String> {
    let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// The clip is stored as `key`, and found under the name that it had.
async fn check(t: &TestApp, was: &str, key: &str, media: &str) -> Clip {
    let clip = t.until(was, ClipState::Stored).await;
    let media = Media::named(media);
    assert_eq!((clip.key.as_str(), clip.first_key().as_str()), (key, was));
    let sealed = clip.sealed.clone().unwrap();
    assert_eq!((sealed.media.content_type.as_str(), sealed.sha256), (media.content_type, media.sha256()), "{key}");
    let object = std::fs::read(t.app.store.local_path(clip.object()).unwrap()).unwrap();
    assert!(object == all(&media), "{key}");
    let there = get(&t.link(key)).await;
    assert_eq!(
        (there.status().as_u16(), header(&there, "content-type")),
        (200, media.content_type.to_owned()),
        "{key}"
    );
    if was != key {
        let led = get(&t.link(was)).await;
        assert_eq!((led.status().as_u16(), header(&led, "location")), (307, t.link(key)), "{was}");
    }
    clip
}

/// A generation whose output is this, in this slot.
async fn told(t: &TestApp, id: &str, slot: &str, url: &str, content_type: Option<&str>) {
    let payload = json!({slot: {"url": url, "content_type": content_type}});
    assert_eq!(t.hook_payload(id, &payload, "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_the_bytes_decide_the_name_whatever_is_said() {
    let t = TestApp::start().await;
    let (mp4, mov, png, jpg) = (Some("video/mp4"), Some("video/quicktime"), Some("image/png"), Some("image/jpeg"));
    let mut names = Vec::new();
    for (id, slot, (name, content_type), media, was, now) in [
        ("header", "video", ("a.mp4", png), "moov-first.mp4", "png", "mp4"),
        ("ending", "video", ("a.png", None), "moov-last.mp4", "png", "mp4"),
        ("slot", "image", ("a", None), "fragmented.mp4", "png", "mp4"),
        ("mov", "video", ("a.mov", mov), "silent.mp4", "mov", "mp4"),
        ("webm", "video", ("a.webm", None), "silent.mp4", "webm", "mp4"),
        ("gif", "image", ("a.gif", Some("image/gif")), "silent.mp4", "gif", "mp4"),
        ("quicktime", "video", ("a.mp4", mp4), "portrait.mov", "mp4", "mov"),
        ("matroska", "video", ("a.mp4", mp4), "clip.webm", "mp4", "webm"),
        ("jpeg", "image", ("a.png", png), "still.jpg", "png", "jpg"),
        ("png", "image", ("a.jpg", jpg), "still.png", "jpg", "png"),
        ("sound", "video", ("a.mp4", mp4), "tone.mp3", "mp4", "mp3"),
        ("seen", "audio", ("a.mp3", Some("audio/mpeg")), "moov-first.mp4", "mp3", "mp4"),
        ("unknown", "image", ("a.xyz", Some("application/octet-stream")), "still.jpg", "png", "jpg"),
        ("honest", "video", ("a.mp4", mp4), "moov-first.mp4", "mp4", "mp4"),
        ("alias", "image", ("a.jpeg", Some("image/jpg")), "still.jpg", "jpg", "jpg"),
    ] {
        let source = file(&t, name, media);
        told(&t, id, slot, &source, content_type).await;
        let (was, now) = (format!("{id}.{was}"), format!("{id}.{now}"));
        check(&t, &was, &now, media).await;
        assert_eq!(t.sim.bytes_served(&source), Media::named(media).len(), "{id}: read once");
        names.push(now);
    }
    // Equal bytes are one object.
    let stray: Vec<_> =
        objects(&t.data.path().join("clips")).into_iter().filter(|name| !names.contains(name)).collect();
    assert_eq!(stray, Vec::<String>::new(), "nothing lies under another name");
    assert_eq!(t.app.partials().read_dir().unwrap().count(), 0);
    let story = t.api("/api/v1/clips/header.mp4/history").await["history"].clone();
    let words: Vec<&str> = story.as_array().unwrap().iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["received", "claimed", "renamed", "sealed", "stored"]);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_each_output_has_its_own_name_and_so_has_data() {
    let t = TestApp::start().await;
    let pictures = [file(&t, "a.png", "still.png"), file(&t, "b.png", "still.jpg")];
    let payload = json!({"images": [{"url": pictures[0]}, {"url": pictures[1], "content_type": "image/png"}]});
    assert_eq!(t.hook_payload("two", &payload, "").await.status(), 200);
    check(&t, "two.png", "two.png", "still.png").await;
    check(&t, "two.1.png", "two.1.jpg", "still.jpg").await;
    let data = format!("data:image/png;base64,{}", BASE64.encode(&all(&Media::named("silent.mp4"))));
    for _ in 0..2 {
        assert_eq!(t.hook_payload("data", &json!({"video": {"url": data}}), "").await.status(), 200);
        check(&t, "data.mp4", "data.mp4", "silent.mp4").await;
    }
    assert_eq!(objects(&t.data.path().join("clips")), ["data.mp4", "two.1.jpg", "two.png"]);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_the_same_webhook_again_makes_no_second_clip() {
    let t = TestApp::start().await;
    let source = file(&t, "a.png", "moov-first.mp4");
    told(&t, "r", "image", &source, Some("image/png")).await;
    check(&t, "r.png", "r.mp4", "moov-first.mp4").await;
    let again = file(&t, "b.png", "moov-first.mp4");
    for (slot, url, content_type) in [
        ("image", &source, "image/png"),
        ("image", &again, "image/png"),
        ("image", &again, "video/mp4"),
        ("video", &source, "video/mp4"),
    ] {
        told(&t, "r", slot, url, Some(content_type)).await;
        let clips = t.api("/api/v1/clips").await["clips"].clone();
        assert_eq!(clips.as_array().unwrap().len(), 1, "{clips}");
        assert_eq!(clips[0]["key"], "r.mp4");
    }
    // Nor does the sweep take anything for a stranger's.
    t.app.sweep.round().await;
    assert_eq!(t.sim.bytes_served(&source) + t.sim.bytes_served(&again), Media::named("moov-first.mp4").len());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_a_name_that_is_taken_is_left_to_who_has_it() {
    let t = TestApp::start().await;
    t.hook("r", &file(&t, "a.mp4", "moov-first.mp4"), "").await;
    check(&t, "r.mp4", "r.mp4", "moov-first.mp4").await;
    // The provider ran it again; now it is a picture, or so it says.
    told(&t, "r", "image", &file(&t, "b.png", "silent.mp4"), Some("image/png")).await;
    let clip = check(&t, "r.png", "r.png", "silent.mp4").await;
    assert_eq!(clip.was_key, None);
    check(&t, "r.mp4", "r.mp4", "moov-first.mp4").await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_what_the_provider_named_in_our_store_keeps_its_name_and_is_led_to() {
    let t = TestApp::start().await;
    let folder = t.data.path().join("clips");
    std::fs::write(folder.join("a.png"), all(&Media::named("silent.mp4"))).unwrap();
    t.register(&json!({"request_id": "a", "adopt": true, "ending": "png"})).await;
    let clip = t.until("a.png", ClipState::Stored).await;
    assert_eq!((clip.key.as_str(), clip.content_type.as_str()), ("a.png", "video/mp4"));
    let led = get(&t.link("a.mp4")).await;
    assert_eq!((led.status().as_u16(), header(&led, "location")), (307, t.link("a.png")));
    assert_eq!(header(&get(&t.link("a.png")).await, "content-type"), "video/mp4");
    assert_eq!(objects(&folder), ["a.png"]);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_a_table_with_a_wrong_ending_is_imported_under_the_right_name() {
    let t = TestApp::start().await;
    let (sim, data) = t.stop().await;
    let source = sim.add_file("a.png", Media::named("moov-first.mp4"));
    let table = data.path().join("table.csv");
    std::fs::write(&table, format!("request_id,url\nr,{source}\n")).unwrap();
    for _ in 0..2 {
        let (code, out, errors) = clipkeep(&sim, data.path(), &["import", table.to_str().unwrap(), "--json"], &[]);
        assert_eq!(code, 0, "{out}{errors}");
    }
    let t = TestApp::on(sim, data, &[], &[]).await;
    check(&t, "r.png", "r.mp4", "moov-first.mp4").await;
    assert_eq!(t.api("/api/v1/clips").await["clips"].as_array().unwrap().len(), 1);
    assert_eq!(t.sim.bytes_served(&source), Media::named("moov-first.mp4").len());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_api_and_commands_find_the_clip_by_the_name_it_had() {
    let t = TestApp::start().await;
    told(&t, "r", "image", &file(&t, "a.png", "moov-first.mp4"), Some("image/png")).await;
    check(&t, "r.png", "r.mp4", "moov-first.mp4").await;
    for path in ["", "/history", "/lineage"] {
        let by = async |name: &str| t.api(&format!("/api/v1/clips/{name}{path}")).await;
        assert_eq!(by("r.png").await, by("r.mp4").await, "{path}");
    }
    assert_eq!(t.api("/api/v1/clips/r.png/receipt").await["receipt"]["key"], "r.mp4");
    let post = async |path: &str| {
        let request = t.client.post(format!("{}/api/v1/clips/r.png/{path}", t.url)).bearer_auth(&t.token);
        request.json(&json!({})).send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(post("fill").await, json!({"key": "r.mp4", "fill": "nothing_to_do"}));
    assert!(post("links").await["url"].as_str().unwrap().contains("/v/r.mp4?"));
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);
    for args in [&["find", "r.png"][..], &["find", "r.png", "--tree"], &["explain", "r.png"], &["link", "r.png"]] {
        let (code, out, errors) = run(args);
        assert!(code == 0 && out.contains("r.mp4"), "{args:?}: {out}{errors}");
    }
    assert!(
        run(&["explain", "r.png"]).1.contains("its bytes are not what its name said, so it has another (was r.png)")
    );
    let (code, out, _) = run(&["verify", "r.png"]);
    assert!(code == 0 && out.contains("1 right"), "{out}");
    let usage = run(&["usage", "--key", "r.png", "--by", "clip", "--json"]).1;
    assert!(!usage.contains("r.png"), "{usage}");
    let request = t.client.delete(format!("{}/api/v1/clips/r.png", t.url)).bearer_auth(&t.token);
    assert_eq!(request.send().await.unwrap().status(), 204);
    for name in ["r.png", "r.mp4"] {
        let gone = t.client.get(t.link(name)).send().await.unwrap();
        assert_eq!(gone.status(), 410, "{name}");
    }
    assert_eq!(objects(&t.data.path().join("clips")), Vec::<String>::new());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_a_promised_name_leads_to_its_clip_wherever_it_is_asked_for() {
    let t = TestApp::start().await;
    t.register(&json!({"request_id": "k11", "model": "fal-ai/flux", "prompt": "a fox"})).await;
    let source = file(&t, "a.png", "still.png");
    assert_eq!(t.hook_payload("k11", &json!({"image": {"url": source}}), "").await.status(), 200);
    t.until("k11.png", ClipState::Stored).await;
    assert_eq!(get(&t.link("k11.mp4")).await.status(), 307);
    for path in ["", "/history", "/lineage"] {
        let [own, promised] = ["k11.png", "k11.mp4"].map(|key| format!("/api/v1/clips/{key}{path}"));
        assert_eq!(t.api(&promised).await, t.api(&own).await, "{path}");
    }
    assert_eq!(t.api("/api/v1/clips/k11.mp4/receipt").await["receipt"]["key"], "k11.png");
    let ask = |method, path: &str| {
        t.client.request(method, format!("{}/api/v1/clips/{path}", t.url)).bearer_auth(&t.token).json(&json!({})).send()
    };
    let link: Value = ask(reqwest::Method::POST, "k11.mp4/links").await.unwrap().json().await.unwrap();
    assert!(link["url"].as_str().unwrap().contains("/v/k11.png"), "{link}");
    for (command, key) in [("find", "k11.mp4"), ("explain", "k11.mp4"), ("find", "k11.webm")] {
        let (code, out, _) = clipkeep(&t.sim, t.data.path(), &["--json", command, key], &[]);
        assert!(code == 0 && out.contains("k11.png"), "{command} {key}: {out}");
    }
    // What was never its name deletes nothing.
    assert_eq!(ask(reqwest::Method::DELETE, "k11.mp4").await.unwrap().status(), 404);
    assert_eq!(ask(reqwest::Method::GET, "k11.1.mp4").await.unwrap().status(), 404);
    assert_eq!(t.app.catalog.clip(&"k11.png".parse().unwrap()).await.unwrap().unwrap().state, ClipState::Stored);
}
