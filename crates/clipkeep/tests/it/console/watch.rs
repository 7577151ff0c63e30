//! The page that is shared: what it says to chats, to other sites, and to whom not.

use std::collections::BTreeMap;

use clipkeep_core::link::LinkTarget;

use super::*;

pub(super) fn page_link(t: &TestApp, key: &str, title: Option<&str>) -> String {
    let clip = (&key.parse().unwrap(), 0);
    t.app.sign_link(LinkTarget::Page, clip, Duration::from_secs(3600), title).unwrap().url
}

/// A node with one drawn clip.
async fn shared(query: &str) -> TestApp {
    let t = TestApp::with(&[("ffmpeg", "ffmpeg".to_owned())]).await;
    let source = t.sim.add_file("a.mp4", Media::new("video/mp4", video()));
    t.hook("g1", &source, &format!("?prompt=nobodys+business{query}")).await;
    t.until("g1.mp4", ClipState::Stored).await;
    let began = tokio::time::Instant::now();
    while t.app.catalog.clip(&"g1.mp4".parse().unwrap()).await.unwrap().unwrap().poster == Poster::Untried {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    t
}

/// A page's meta tags.
fn tags(page: &str) -> BTreeMap<String, String> {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
        Some(value.replace("&amp;", "&").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">"))
    };
    let metas = page.split("<meta ").skip(1).map(|rest| rest.split('>').next().unwrap());
    let named = metas.filter_map(|tag| {
        Some((attribute(tag, "property").or_else(|| attribute(tag, "name"))?, attribute(tag, "content")?))
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_unfurl_a_page_and_learn_nothing_else() {
    let t = shared("").await;
    let link = page_link(&t, "g1.mp4", Some("Holiday <2026>.mp4"));
    let answer = visitor().get(&link).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-robots-tag").as_deref(), Some("noindex"));
    assert!(header("content-security-policy").unwrap().ends_with("frame-ancestors 'none'"));
    let page = answer.text().await.unwrap();
    let tags = tags(&page);
    let tag = |name: &str| tags.get(name).unwrap_or_else(|| panic!("no {name} in {page}")).clone();
    // Slack and Facebook: Open Graph with absolute addresses; Discord plays og:video of a known type and size.
    assert_eq!(
        (tag("og:type"), tag("og:title"), tag("og:url")),
        ("video.other".into(), "Holiday <2026>".into(), link.clone())
    );
    assert_eq!((tag("og:video:type"), tag("og:site_name")), ("video/mp4".into(), "clipkeep".into()));
    let row = t.api("/api/v1/clips/g1.mp4").await;
    assert_eq!((tag("og:video:width"), tag("og:video:height")), (row["width"].to_string(), row["height"].to_string()));
    // Twitter: a player card needs player, its size, an image and a title.
    assert_eq!((tag("twitter:card"), tag("twitter:title")), ("player".into(), "Holiday <2026>".into()));
    assert_eq!(
        (tag("twitter:player:width"), tag("twitter:player:height")),
        (tag("og:video:width"), tag("og:video:height"))
    );
    assert_eq!(tag("twitter:image"), tag("og:image"));
    // What is named can be fetched, by whoever has the page alone.
    for (name, content_type) in
        [("og:video", "video/mp4"), ("og:image", "image/jpeg"), ("twitter:player:stream", "video/mp4")]
    {
        let got = visitor().get(tag(name)).send().await.unwrap();
        assert_eq!(
            (got.status().as_u16(), got.headers()["content-type"].to_str().unwrap()),
            (200, content_type),
            "{name}"
        );
        assert!(!got.headers().contains_key("content-disposition"), "{name}");
    }
    let embed = visitor().get(tag("twitter:player")).send().await.unwrap();
    let policy = embed.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(embed.status() == 200 && policy.ends_with("frame-ancestors *") && !policy.contains("unsafe"), "{policy}");
    let source = row["source_url"].as_str().unwrap();
    assert!(!page.contains(source) && !page.contains("nobodys") && !page.contains("/files/"), "{page}");
    assert!(page.contains("Holiday &lt;2026&gt;"));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_for_whom_its_link_is_and_no_longer() {
    let t = shared("").await;
    let link = page_link(&t, "g1.mp4", None);
    let status = async |url: &str| visitor().get(url).send().await.unwrap().status().as_u16();
    assert_eq!(status(&link).await, 200);
    for refused in [
        link.split('?').next().unwrap().to_owned(),
        link.replace("/w/", "/v/"),
        t.link("g1.mp4").replace("/v/", "/w/"),
        link.replace("expires=", "expires=1"),
    ] {
        assert_eq!(status(&refused).await, 403, "{refused}");
    }
    for unknown in ["/w/nobody.mp4", "/w/", "/w/../v/g1.mp4", "/w/g1"] {
        let status = status(&format!("{}{unknown}", t.url)).await;
        assert!([403, 404].contains(&status), "{unknown}: {status}");
    }
    // Revoked one by one by its URL, as any link.
    let revoke = t.client.post(format!("{}/api/v1/links/revoke", t.url)).bearer_auth(&t.token);
    assert_eq!(revoke.json(&json!({"url": link})).send().await.unwrap().status(), 200);
    assert_eq!(status(&link).await, 403);
    let ask = async |body: Value| {
        let request = t.client.post(format!("{}/api/v1/clips/g1.mp4/links", t.url)).bearer_auth(&t.token).json(&body);
        request.send().await.unwrap()
    };
    let made: Value = ask(json!({"page": true, "download": "x.mp4"})).await.json().await.unwrap();
    let url = made["url"].as_str().unwrap();
    assert!(url.contains("/w/g1.mp4?") && status(url).await == 200, "{made}");
    assert_eq!(status(made["poster_url"].as_str().unwrap()).await, 200);
    assert_eq!(ask(json!({"page": true, "audience": "internal"})).await.status(), 400);
    t.app.delete(&"g1.mp4".parse().unwrap(), "test").await.unwrap();
    let answer = visitor().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 410);
    assert!(answer.text().await.unwrap().contains("deleted"));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_page_needs_no_link_and_may_be_found() {
    let t = shared("&public=1").await;
    let answer = visitor().get(format!("{}/w/g1.mp4", t.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-robots-tag"));
    let page = answer.text().await.unwrap();
    assert!(!page.contains("noindex"));
    let video = tags(&page)["og:video"].clone();
    assert_eq!(video, format!("{}/v/g1.mp4", t.url));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_plays_what_is_still_coming() {
    let t = TestApp::start().await;
    let slow = Faults::always(Fault::rate(400_000));
    let source = t.sim.add_faulty_file("a.mp4", Media::padded_slow_start(8_000_000, 1), slow);
    t.hook("g1", &source, "").await;
    t.until("g1.mp4", ClipState::Filling).await;
    let page = visitor().get(page_link(&t, "g1.mp4", None)).send().await.unwrap().text().await.unwrap();
    let mut answer = visitor().get(tags(&page)["og:video"].as_str()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    t.register(&json!({"provider": "fal", "request_id": "later"})).await;
    let later = visitor().get(page_link(&t, "later.mp4", None)).send().await.unwrap();
    assert_eq!(later.status(), 503);
    assert!(later.headers().contains_key("retry-after"));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_any_size_that_it_claims_has_a_page() {
    let t = TestApp::start().await;
    for (nth, (width, height)) in [(65_536_u32, 65_536_u32), (0x7fff_ffff, 0x7fff_ffff), (0, 0)].into_iter().enumerate()
    {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        png.extend(b"\x08\x02\0\0\0\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82");
        let source = t.sim.add_file(&format!("{nth}.png"), Media::new("image/png", png.into()));
        let payload = json!({"image": {"url": source, "content_type": "image/png"}});
        assert_eq!(t.hook_payload(&format!("p{nth}"), &payload, "").await.status(), 200);
        let key = format!("p{nth}.png");
        t.until(&key, ClipState::Stored).await;
        let link = page_link(&t, &key, None);
        assert_eq!(visitor().get(&link).send().await.unwrap().status(), 200, "{width}");
        let address: String = url::form_urlencoded::byte_serialize(link.as_bytes()).collect();
        let embed = visitor().get(format!("{}/oembed?format=&url={address}", t.url)).send().await.unwrap();
        assert_eq!(embed.status(), 200, "{width}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_embed_a_page_by_oembed() {
    let t = shared("").await;
    let link = page_link(&t, "g1.mp4", Some("Holiday.mp4"));
    let page = visitor().get(&link).send().await.unwrap().text().await.unwrap();
    let found = page.split("application/json+oembed").nth(1).unwrap().split("href=\"").nth(1).unwrap();
    let address = found.split('"').next().unwrap().replace("&amp;", "&");
    let told: Value = visitor().get(&address).send().await.unwrap().json().await.unwrap();
    assert_eq!((&told["type"], &told["version"], &told["title"]), (&json!("video"), &json!("1.0"), &json!("Holiday")));
    assert!(told["html"].as_str().unwrap().starts_with("<iframe src="), "{told}");
    let thumbnail = told["thumbnail_url"].as_str().unwrap();
    assert_eq!(visitor().get(thumbnail).send().await.unwrap().status(), 200);
    let small: Value = visitor().get(format!("{address}&maxwidth=100")).send().await.unwrap().json().await.unwrap();
    assert!(small["width"].as_u64().unwrap() <= 100 && small["height"].as_u64() < told["height"].as_u64(), "{small}");
    let status = async |url: String| visitor().get(url).send().await.unwrap().status().as_u16();
    assert_eq!(status(address.replace("format=json", "format=xml")).await, 501);
    assert_eq!(status(format!("{}/oembed", t.url)).await, 400);
    let ask = |url: &str| {
        let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        format!("{}/oembed?url={url}", t.url)
    };
    assert_eq!(status(ask(link.split('?').next().unwrap())).await, 403);
    for none in ["https://evil.example/w/nobody.mp4", "nonsense", &t.link("g1.mp4")] {
        assert!([403, 404].contains(&status(ask(none)).await), "{none}");
    }
    // A consumer that others wrote.
    run("oembed.mjs", &t.url, &json!({"page": link, "title": "Holiday"})).await;
    t.stop().await;
}
