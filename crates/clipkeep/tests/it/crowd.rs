//! Invariant 13: what strangers hold leaves room for webhooks, health and admins.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Signer, Sim, SimOptions};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::{
    app::TestApp,
    node::{Node, NodeConfig, TOKEN},
    wire::{connect, exchange, target},
};

/// One that asks, and reads next to nothing.
async fn stalled(url: &str, target: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = url.trim_start_matches("http://").parse().unwrap();
    let mut stream = tokio::time::timeout(Duration::from_secs(5), socket.connect(address)).await.ok()?.ok()?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: c\r\n\r\n").as_bytes()).await.ok()?;
    Some(stream)
}

async fn stored(t: &TestApp, id: &str, media: Media) -> String {
    t.hook(id, &t.sim.add_file("a.mp4", media), "").await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    t.link(&format!("{id}.mp4"))
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn h06_i13_viewers_who_never_read_hold_up_neither_webhooks_nor_health_nor_admins() {
    let settings = [("max_connections", "48".to_owned()), ("send_timeout", "3s".to_owned())];
    let t = TestApp::with(&settings).await;
    let link = stored(&t, "c", Media::padded(32 << 20, 81)).await;
    let mut viewers = Vec::new();
    for _ in 0..100 {
        viewers.extend(stalled(&t.url, target(&link)).await);
    }
    let source = t.sim.add_file("b.mp4", Media::named("silent.mp4"));
    for n in 0..5 {
        let began = Instant::now();
        assert_eq!(t.hook(&format!("h{n}"), &source, "").await.status(), 200);
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        assert_eq!(client.get(format!("{}/healthz", t.url)).send().await.unwrap().status(), 200);
        let list = client.get(format!("{}/api/v1/clips", t.url)).bearer_auth(&t.token).send().await.unwrap();
        assert_eq!(list.status(), 200);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    let text = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metric(&text, "clipkeep_connections ") <= 49.0, "{text}");
    assert!(metric(&text, "clipkeep_connections_shed_total") > 0.0, "{text}");
    // Once nothing could be written for `send_timeout` they are gone, whoever they are.
    let began = Instant::now();
    while metric(
        &t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap(),
        "clipkeep_connections ",
    ) > 5.0
    {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let whole = t.client.get(&link).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len(), 32 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn h06_i13_who_reads_slowly_is_not_cut_off() {
    let t = TestApp::with(&[("send_timeout", "4s".to_owned())]).await;
    let link = stored(&t, "c", Media::padded(4 << 20, 82)).await;
    let mut stream = stalled(&t.url, target(&link)).await.unwrap();
    // So slowly that for longer than `send_timeout` nothing more can be sent.
    let (mut read, mut buffer) = (0, vec![0; 1024]);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let more = stream.read(&mut buffer).await.unwrap();
        assert!(more > 0, "cut off after {read} bytes");
        read += more;
    }
    // And then it stops.
    let began = Instant::now();
    while t
        .client
        .get(format!("{}/metrics", t.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
        .contains("clipkeep_connections 2")
    {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_i13_bodies_of_strangers_leave_room_for_small_webhooks() {
    let t = TestApp::with(&[("hook_max_body", "1MiB".to_owned()), ("hook_memory", "4MiB".to_owned())]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    assert_eq!(t.hook("warm-up", &source, "").await.status(), 200);
    let forged = Signer::new(99).sign("x", vec![b'x'; 1 << 20], {
        use clipkeep_core::time::Clock;
        clipkeep::clock::SystemClock.now().secs()
    });
    let head: String = forged.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut strangers = Vec::new();
    for _ in 0..60 {
        let mut stream = connect(&t.url).await;
        let head = format!("POST /hooks/fal HTTP/1.1\r\nHost: c\r\nContent-Length: {}\r\n{head}\r\n", 1 << 20);
        // All but the last byte, as far as it is taken.
        let (_, mut write) = stream.split();
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            write.write_all(head.as_bytes()).await?;
            write.write_all(&vec![b'x'; (1 << 20) - 1]).await
        })
        .await;
        assert!(t.app.hook_memory.used() <= 4 << 20, "{}", t.app.hook_memory.used());
        strangers.push(stream);
    }
    for n in 0..10 {
        let began = Instant::now();
        assert_eq!(t.hook(&format!("g{n}"), &source, "").await.status(), 200);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    drop(strangers);
    let began = Instant::now();
    while t.app.hook_memory.used() > 0 {
        assert!(began.elapsed() < Duration::from_secs(35), "{} bytes are kept", t.app.hook_memory.used());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h20_an_idle_connection_stays_open_for_keep_alive_and_no_longer() {
    let t = TestApp::with(&[("keep_alive", "2s".to_owned())]).await;
    let ask = "GET /healthz HTTP/1.1\r\nHost: c\r\n\r\n";
    let mut stream = connect(&t.url).await;
    for _ in 0..3 {
        assert_eq!(exchange(&mut stream, ask).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(clipkeep_core::config::Config::from_layers(Default::default()).unwrap().keep_alive.as_secs(), 75);
}

#[tokio::test(flavor = "multi_thread")]
async fn h11_while_the_keys_are_away_forgers_make_us_ask_seldom_and_a_genuine_webhook_gets_in_soon() {
    let t = TestApp::start().await;
    t.sim.set_jwks_away(true);
    for n in 0..40 {
        assert_eq!(t.hook_payload(&format!("r{n}"), &json!({}), "").await.status(), 503);
    }
    assert!(t.sim.jwks_requests() <= 6, "{}", t.sim.jwks_requests());
    t.sim.set_jwks_away(false);
    let began = Instant::now();
    while t.hook_payload("genuine", &json!({}), "").await.status() != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn link_of(node: &Node, key: &str) -> String {
    let link = node.client.post(format!("{}/api/v1/clips/{key}/links", node.url)).bearer_auth(TOKEN);
    let link: Value = link.send().await.unwrap().json().await.unwrap();
    link["url"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn h21_i13_one_viewer_of_four_hundred_clips_leaves_files_to_open() {
    const CLIPS: usize = 400;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut node = NodeConfig { files: Some(256), ..NodeConfig::new(dir.path()) }.start(&sim).await;
    let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
    for n in 0..CLIPS {
        assert_eq!(node.hook(&sim, &format!("c{n}"), &source).await, Some(200), "{n}");
    }
    let open = |node: &Node| std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count();
    for n in 0..CLIPS {
        let link = link_of(&node, &format!("c{n}.mp4")).await;
        let began = Instant::now();
        while node.client.get(&link).send().await.unwrap().status() != 200 {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "clip {n}, {} files", open(&node));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(open(&node) < 256, "clip {n}");
    }
    assert_eq!(node.hook(&sim, "after", &source).await, Some(200));
    let link = link_of(&node, "after.mp4").await;
    assert_eq!(node.client.get(&link).send().await.unwrap().status(), 200);
    let list = node.api("/api/v1/clips?limit=5").await.unwrap();
    assert_eq!(list["clips"].as_array().unwrap().len(), 5);
    assert!(open(&node) < 200, "{} files", open(&node));
    assert_eq!(node.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn h40_a_node_that_is_told_to_stop_takes_requests_until_others_know() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut node = NodeConfig::new(dir.path()).set("drain", "3s").start(&sim).await;
    let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
    let signal = |node: &Node, name: &str| {
        std::process::Command::new("kill").args([name, &node.pid().to_string()]).status().unwrap();
    };
    let ready =
        async |node: &Node| node.client.get(format!("{}/readyz", node.url)).send().await.map(|a| a.status().as_u16());
    signal(&node, "-HUP");
    assert_eq!(node.hook(&sim, "a", &source).await, Some(200));
    assert_eq!(ready(&node).await.unwrap(), 200);
    let began = Instant::now();
    signal(&node, "-TERM");
    while ready(&node).await.unwrap() != 503 {
        assert!(began.elapsed() < Duration::from_secs(3), "it does not say that it stops");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.hook(&sim, "b", &source).await, Some(200), "who does not know yet is served");
    while !node.is_dead() {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(3));
}

/// A POST of `len` bytes of JSON to register a generation, all but the last byte.
async fn all_but_the_last(t: &TestApp, token: &str, len: usize) -> TcpStream {
    let mut stream = connect(&t.url).await;
    let head = format!(
        "POST /api/v1/generations HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {len}\r\n\r\n"
    );
    let start = "{\"request_id\": \"x\", \"prompt\": \"";
    let body = format!("{start}{}", "x".repeat(len - start.len() - 1));
    let (_, mut write) = stream.split();
    let _ = tokio::time::timeout(Duration::from_secs(5), async {
        write.write_all(head.as_bytes()).await?;
        write.write_all(body.as_bytes()).await
    })
    .await;
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_h07_i13_bodies_of_one_tenants_calls_leave_room_for_others() {
    const MIB: u64 = 1 << 20;
    let t = TestApp::start().await;
    let token = async |tenant: &str| {
        let body = json!({"name": tenant, "tenant": tenant});
        let made = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body).send().await;
        made.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
    };
    let (eve, acme) = (token("eve").await, token("acme").await);
    let mut held = Vec::new();
    for _ in 0..80 {
        held.push(all_but_the_last(&t, &eve, 2 << 20).await);
        assert!(t.app.bodies.used() <= 32 * MIB, "{}", t.app.bodies.used());
    }
    assert!(t.app.bodies.used() >= 30 * MIB, "{}", t.app.bodies.used());
    let register = async |token: &str, body: Value| {
        let call = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(token).json(&body);
        call.send().await.unwrap().status().as_u16()
    };
    for (n, token) in [&acme, &t.token, &acme].into_iter().enumerate() {
        let began = Instant::now();
        let body = json!({"request_id": format!("r{n}"), "prompt": "p".repeat(1_500_000)});
        assert_eq!(register(token, body).await, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // Its own wait, and are told so.
    assert_eq!(register(&eve, json!({"request_id": "r", "prompt": "p".repeat(2_000_000)})).await, 503);
    let text = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metric(&text, "clipkeep_api_memory_bytes ") >= 30e6, "{text}");
    drop(held);
    let began = Instant::now();
    while t.app.bodies.used() > 0 {
        assert!(began.elapsed() < Duration::from_secs(35), "{} bytes are kept", t.app.bodies.used());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A text that a hundred times its length would be made of is none of ours.
    let maps = format!("{{\"request_id\": \"m\", \"input\": [{}0]}}", "{},".repeat(500_000));
    let call = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&eve).body(maps);
    assert_eq!(call.header("content-type", "application/json").send().await.unwrap().status(), 413);
    assert_eq!(register(&eve, json!({"request_id": "n", "input": {"mask": vec![0.25; 200_000]}})).await, 200);
}
