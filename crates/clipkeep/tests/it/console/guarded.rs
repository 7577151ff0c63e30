//! What keeps the console safe: sessions, forms, other sites, other tenants.

use super::*;

/// A node with a stored clip of each of two tenants, and a token of the first.
async fn two_tenants(more: &[(&'static str, String)]) -> (TestApp, String) {
    let t = TestApp::with(more).await;
    let source = t.sim.add_file("a.mp4", Media::new("video/mp4", video()));
    for (id, tenant) in [("mine", "alpha"), ("theirs", "beta")] {
        t.hook(id, &source, &format!("?tenant={tenant}&prompt=secret+of+{tenant}&model=model-of-{tenant}")).await;
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    }
    let answer = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token);
    let answer: Value =
        answer.json(&json!({"name": "a", "tenant": "alpha"})).send().await.unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap().to_owned();
    (t, token)
}

const ROOMS: [&str; 8] = [
    "/",
    "/console/clips/mine.mp4",
    "/console/queue",
    "/console/events",
    "/console/usage?by=clip",
    "/console/costs?by=clip",
    "/console/tokens",
    "/console/health",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_strict_and_nobody_gets_in_without_a_session() {
    let (t, _) = two_tenants(&[]).await;
    let client = visitor();
    let cookie = log_in(&client, &t.url, &t.token).await;
    for room in ROOMS.iter().chain(&["/login"]) {
        let url = format!("{}{room}", t.url);
        if *room != "/login" {
            let answer = client.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 303, "{room}");
            assert!(answer.headers()["location"].to_str().unwrap().starts_with("/login?to="), "{room}");
            let answer = page(&client, &url, "clipkeep=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
            assert_eq!(answer.status(), 303, "{room}: a made-up session");
            // A link from elsewhere comes without the cookie, and is asked for once more.
            let linked = client.get(&url).header("sec-fetch-site", "cross-site").send().await.unwrap();
            assert!(linked.status() == 200 && linked.text().await.unwrap().contains("refresh"), "{room}");
        }
        let answer = match *room {
            "/login" => client.get(&url).send().await.unwrap(),
            _ => page(&client, &url, &cookie).await,
        };
        assert_eq!(answer.status(), 200, "{room}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!((header("x-frame-options"), header("cache-control")), ("DENY".into(), "no-store".into()), "{room}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{room}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains(" style=") && !text.contains(" on") || !text.contains("onclick"), "{room}");
        assert!(!text.contains("<script>") && !text.contains(&t.token), "{room}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_for_browsers_alone_and_ends_with_its_token() {
    let (t, token) = two_tenants(&[]).await;
    let client = visitor();
    let planted = "clipkeep=PLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDP";
    let answer = post(&client, &format!("{}/login", t.url), Some(planted), &[("token", &token)]).await;
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(flag), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains(&token) && !set.contains("PLANTED"), "{set}");
    let cookie = cookie_of(&answer);
    let home = format!("{}/", t.url);
    assert_eq!(page(&client, &home, planted).await.status(), 303, "a session that somebody else chose");
    assert_eq!(page(&client, &home, &cookie).await.status(), 200);
    // Who logs in again from there has one session, not two.
    let again = post(&client, &format!("{}/login", t.url), Some(&cookie), &[("token", &token)]).await;
    assert_eq!(page(&client, &home, &cookie).await.status(), 303);
    let cookie = cookie_of(&again);
    // Logging out ends it for whoever has a copy of the cookie.
    let form = csrf(&client, &home, &cookie).await;
    assert_eq!(post(&client, &format!("{}/logout", t.url), Some(&cookie), &[("csrf", &form)]).await.status(), 303);
    assert_eq!(page(&client, &home, &cookie).await.status(), 303);
    // A revoked token's sessions end within seconds.
    let cookie = log_in(&client, &t.url, &token).await;
    let tokens = t.api("/api/v1/tokens").await;
    let id = tokens["tokens"][0]["id"].as_str().unwrap();
    t.client.delete(format!("{}/api/v1/tokens/{id}", t.url)).bearer_auth(&t.token).send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(page(&client, &home, &cookie).await.status(), 303);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_https_a_cookie_goes_over_https_alone() {
    let (t, _) = two_tenants(&[("public_url", "https://clips.example.com".to_owned())]).await;
    let answer = post(&visitor(), &format!("{}/login", t.url), None, &[("token", &t.token)]).await;
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-clipkeep=") && set.ends_with("; Secure"), "{set}");
    assert_eq!(page(&visitor(), &format!("{}/", t.url), &cookie_of(&answer)).await.status(), 200);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_can_send_a_form() {
    let (t, _) = two_tenants(&[]).await;
    let client = visitor();
    let cookie = log_in(&client, &t.url, &t.token).await;
    let url = |path: &str| format!("{}{path}", t.url);
    let form = csrf(&client, &url("/"), &cookie).await;
    let forms = [
        "/logout",
        "/console/clips/mine.mp4/link",
        "/console/clips/mine.mp4/revoke",
        "/console/clips/mine.mp4/fill",
        "/console/clips/mine.mp4/delete",
        "/console/events/replay",
        "/console/tokens",
        "/console/tokens/abc/revoke",
    ];
    for path in forms {
        for fields in [&[][..], &[("csrf", "")], &[("csrf", "0000")], &[("csrf", &"a".repeat(64))]] {
            let fields = [fields, &[("confirm", "mine.mp4"), ("name", "x"), ("admin", "1")]].concat();
            assert_eq!(post(&client, &url(path), Some(&cookie), &fields).await.status(), 403, "{path}");
        }
        // With the right field, but from another site's page.
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")]
        {
            let request = client.post(url(path)).header("cookie", &cookie).header(name, value);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let answer = request.body(format!("csrf={form}&confirm=mine.mp4&name=x&admin=1")).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{path} {name}: {value}");
        }
        assert_eq!(post(&client, &url(path), None, &[("csrf", &form)]).await.status(), 303, "{path} without a session");
    }
    let cross = client.post(url("/login")).header("origin", "https://evil.example");
    assert_eq!(cross.body(format!("token={}", t.token)).send().await.unwrap().status(), 403);
    let clip = t.app.catalog.clip(&"mine.mp4".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((clip.state, clip.link_generation), (ClipState::Stored, 0));
    assert_eq!(t.api("/api/v1/tokens").await["tokens"].as_array().unwrap().len(), 1);
    // A log-in leads nowhere else.
    for to in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let answer = post(&client, &url("/login"), None, &[("token", &t.token), ("to", to)]).await;
        assert_eq!(answer.headers()["location"], "/", "{to}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_in_every_room() {
    let (t, token) = two_tenants(&[]).await;
    assert_eq!(t.client.get(t.link("theirs.mp4")).send().await.unwrap().status(), 200);
    t.app.usage.flush().await;
    let client = visitor();
    let cookie = log_in(&client, &t.url, &token).await;
    for room in ROOMS {
        let answer = page(&client, &format!("{}{room}", t.url), &cookie).await;
        let expected = if matches!(room, "/console/tokens" | "/console/health") { 403 } else { 200 };
        assert_eq!(answer.status(), expected, "{room}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("beta") && !text.contains("theirs") && !text.contains("/files/"), "{room}: {text}");
    }
    for narrowed in
        ["/?tenant=beta", "/?q=theirs.mp4", "/?q=beta", "/console/usage?tenant=beta", "/console/costs?tenant=beta"]
    {
        let text = page(&client, &format!("{}{narrowed}", t.url), &cookie).await.text().await.unwrap();
        assert!(!text.contains("secret of beta") && !text.contains("model-of-beta"), "{narrowed}");
    }
    let form = csrf(&client, &format!("{}/", t.url), &cookie).await;
    for act in ["", "/link", "/revoke", "/fill", "/delete"] {
        let url = format!("{}/console/clips/theirs.mp4{act}", t.url);
        let answer = match act {
            "" => page(&client, &url, &cookie).await,
            _ => post(&client, &url, Some(&cookie), &[("csrf", &form), ("confirm", "theirs.mp4")]).await,
        };
        assert_eq!(answer.status(), 404, "{act}");
    }
    for (path, fields) in [
        ("/console/tokens", &[("name", "x"), ("admin", "1")][..]),
        ("/console/tokens/abc/revoke", &[]),
        ("/console/events/replay", &[("endpoint", "x")]),
    ] {
        let fields = [&[("csrf", form.as_str())], fields].concat();
        assert_eq!(post(&client, &format!("{}{path}", t.url), Some(&cookie), &fields).await.status(), 403, "{path}");
    }
    // Our nodes have names of ours.
    let text = page(&client, &format!("{}/console/clips/mine.mp4", t.url), &cookie).await.text().await.unwrap();
    assert!(text.contains("attempt 1 began") && !text.contains("began on"), "{text}");
    let story = t.client.get(format!("{}/api/v1/clips/mine.mp4/history", t.url)).bearer_auth(&token);
    let story: Value = story.send().await.unwrap().json().await.unwrap();
    let claimed = story["history"].as_array().unwrap().iter().find(|line| line["event"] == "claimed").unwrap();
    assert_eq!(claimed["detail"], "attempt 1");
    // An internal link would tell a source.
    let fields = [("csrf", form.as_str()), ("target", "internal"), ("expires_in", "10m")];
    let text = post(&client, &format!("{}/console/clips/mine.mp4/link", t.url), Some(&cookie), &fields)
        .await
        .text()
        .await
        .unwrap();
    assert!(!text.contains("/i/mine.mp4"), "{text}");
    let clip = t.app.catalog.clip(&"theirs.mp4".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((clip.state, clip.link_generation), (ClipState::Stored, 0));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_cannot_be_guessed_without_end() {
    let (t, _) = two_tenants(&[]).await;
    let client = visitor();
    let url = format!("{}/login", t.url);
    let mut statuses = Vec::new();
    for nth in 0..12 {
        statuses.push(post(&client, &url, None, &[("token", &format!("ck_{nth}"))]).await.status().as_u16());
    }
    assert_eq!(statuses[..10], [403; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    let wrong = post(&client, &url, None, &[("token", "ck_99")]).await;
    assert!(wrong.headers().contains_key("retry-after"));
    // Behind a proxy the stranger has the admin's address.
    let right = post(&client, &url, None, &[("token", &t.token)]).await;
    assert_eq!(right.status(), 303, "nobody is kept out by others' attempts");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_text_on_every_page() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("a.mp4", Media::new("video/mp4", video()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("prompt", EVIL).append_pair("model", EVIL).append_pair("tenant", "alpha").finish();
    assert_eq!(t.hook("mine", &source, &format!("?{query}")).await.status(), 200);
    t.until("mine.mp4", ClipState::Stored).await;
    let input = json!({"provider": "fal", "request_id": "mine", "input": {"prompt": EVIL, EVIL: EVIL}});
    t.register(&input).await;
    let page_of =
        t.sim.add_faulty_file("b.mp4", Media::named("silent.mp4"), Faults::always(Fault::page("text/html", EVIL)));
    t.hook("bad", &page_of, &format!("?{query}")).await;
    t.until("bad.mp4", ClipState::Rejected).await;
    t.client.get(t.link("mine.mp4")).send().await.unwrap();
    t.app.usage.flush().await;
    let client = visitor();
    let cookie = log_in(&client, &t.url, &t.token).await;
    let evil: String = url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect();
    let rooms = ROOMS.iter().map(|room| (*room).to_owned());
    let more = [
        format!("/?q={evil}&model={evil}&after={evil}"),
        format!("/console/usage?by=model&from={evil}"),
        "/console/usage?by=model".to_owned(),
        "/console/costs?by=model".to_owned(),
        "/console/clips/bad.mp4".to_owned(),
        format!("/console/clips/{evil}"),
        format!("/login?to=/{evil}"),
    ];
    for room in rooms.chain(more) {
        let text = page(&client, &format!("{}{room}", t.url), &cookie).await.text().await.unwrap();
        assert!(!text.contains("<script>window") && !text.contains("<img/src=x"), "{room}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_cookies_on_the_host_lock_nobody_out_and_forms_lead_back_to_pages() {
    let t = TestApp::start().await;
    let client = visitor();
    let cookie = log_in(&client, &t.url, &t.token).await;
    for others in ["other=caf\u{e9}; ", "clipkeep=x; ", "; =; clipkeep; "] {
        let answer = page(&client, &format!("{}/console/queue", t.url), &format!("{others}{cookie}")).await;
        assert_eq!(answer.status(), 200, "{others}");
    }
    let lead = async |path: &str| {
        let answer = client.get(format!("{}{path}", t.url)).header("cookie", &cookie).send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to, answer.headers()["content-type"].to_str().unwrap_or_default().to_owned())
    };
    for nowhere in
        ["/console/nothing", "/console/clips", "/console/queue/", "/login/", "/console/clips/%ff", "/w/", "/w/%ff"]
    {
        let (status, _, content_type) = lead(nowhere).await;
        assert!(
            (400..500).contains(&status) && content_type.starts_with("text/html"),
            "{nowhere}: {status} {content_type}"
        );
    }
    let location = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap().to_owned())
    };
    for form in ["link", "delete"] {
        let path = format!("{}/console/clips/a.mp4/{form}", t.url);
        assert_eq!(location(client.get(&path)).await, (303, "/console/clips/a.mp4".to_owned()));
        // Whose session ended meanwhile is led to the page, and not to a form's address.
        let to = "/login?to=%2Fconsole%2Fclips%2Fa.mp4".to_owned();
        assert_eq!(location(client.post(&path).body("csrf=x")).await, (303, to));
    }
    assert_eq!(location(client.get(format!("{}/console", t.url))).await, (303, "/".to_owned()));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once_and_is_not_used_by_who_looks_at_its_head() {
    let t = TestApp::start().await;
    let link = format!("{}/login?once={}&to=/console/queue", t.url, t.app.sessions.once().unwrap());
    let client = visitor();
    assert_eq!(client.head(&link).send().await.unwrap().status(), 200);
    let first = client.get(&link).send().await.unwrap();
    assert_eq!((first.status().as_u16(), &first.headers()["location"]), (303, &"/console/queue".parse().unwrap()));
    let cookie = cookie_of(&first);
    assert_eq!(page(&client, &format!("{}/console/tokens", t.url), &cookie).await.status(), 200);
    let second = client.get(&link).send().await.unwrap();
    assert!(second.status() == 200 && !second.headers().contains_key("set-cookie"));
    assert!(second.text().await.unwrap().contains("was used already"));
    t.stop().await;
}

/// What is newer and only waits must not hide it.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_in_the_queue_however_much_waits() {
    let t = TestApp::with(&[("retry_base", "1h".to_owned()), ("retry_max", "1h".to_owned())]).await;
    let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(500)));
    t.hook("failing", &source, "").await;
    let began = tokio::time::Instant::now();
    while t.app.catalog.clip(&"failing.mp4".parse().unwrap()).await.unwrap().unwrap().last_error.is_none() {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for nth in 0..60 {
        t.hook(&format!("waiting-{nth}"), &source, "?policy=on_demand").await;
    }
    let client = visitor();
    let cookie = log_in(&client, &t.url, &t.token).await;
    let queue = page(&client, &format!("{}/console/queue", t.url), &cookie).await.text().await.unwrap();
    assert!(queue.contains("failing.mp4") && queue.contains("there may be more"), "{queue}");
    // Days are meant to their end.
    let today = t.app.clock.now().to_string()[..10].to_owned();
    let wall = format!("{}/?after={today}&before={today}", t.url);
    assert!(page(&client, &wall, &cookie).await.text().await.unwrap().contains("waiting-59.mp4"));
    for room in ["usage", "costs"] {
        let room = format!("{}/console/{room}?from={today}&to={today}", t.url);
        assert!(!page(&client, &room, &cookie).await.text().await.unwrap().contains("role=\"alert\""));
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_console_still_shares_pages() {
    let (t, _) = two_tenants(&[("console", "false".to_owned())]).await;
    for path in ["/", "/login", "/console/queue", "/console/clips/mine.mp4"] {
        assert_eq!(visitor().get(format!("{}{path}", t.url)).send().await.unwrap().status(), 404, "{path}");
    }
    let link = watch::page_link(&t, "mine.mp4", None);
    let text = visitor().get(&link).send().await.unwrap().text().await.unwrap();
    let style = text.split("href=\"/assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let style = visitor().get(format!("{}/assets/{style}", t.url)).send().await.unwrap();
    assert!(style.status() == 200 && style.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(visitor().get(format!("{}/assets/other.css", t.url)).send().await.unwrap().status(), 404);
    t.stop().await;
}
