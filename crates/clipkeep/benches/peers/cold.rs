//! A clip that is not here yet: clipkeep beside nginx, nginx with slices and
//! Varnish, in front of one and the same source.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::{StreamExt, future::join_all};
use reqwest::Client;

use crate::{
    run::median,
    support::{
        browser,
        node::{Node, NodeConfig, TOKEN},
    },
};

const MIB: u64 = 1 << 20;
/// Bytes per second on each connection to the source.
const RATE: u64 = 8_000_000;
const ROUNDS: u64 = 3;
const HERD: usize = 100;
/// How often a browser plays a clip: what it takes varies.
const PLAYS: usize = 5;

/// Someone who stands before the source.
pub(crate) enum Peer {
    Clipkeep(Node),
    Other { name: &'static str, port: u16, child: Child },
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Self::Other { child, .. } = self {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

impl Peer {
    const fn name(&self) -> &'static str {
        match self {
            Self::Clipkeep(_) => "clipkeep",
            Self::Other { name, .. } => name,
        }
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let parent = match self {
            Self::Clipkeep(node) => return vec![node.pid()],
            Self::Other { child, .. } => child.id(),
        };
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        [parent].into_iter().chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }

    /// Where a viewer finds the file, which this peer has never seen.
    pub(crate) async fn url(&self, sim: &Sim, source: &str) -> String {
        let path = source.strip_prefix(&sim.media_url()).unwrap();
        match self {
            Self::Other { port, .. } => format!("http://127.0.0.1:{port}{path}"),
            Self::Clipkeep(node) => {
                let id = path.rsplit('/').next().unwrap().trim_end_matches(".mp4");
                assert_eq!(node.hook(sim, id, source).await, Some(200));
                let url = format!("{}/api/v1/clips/{id}.mp4/links", node.url);
                let link: serde_json::Value =
                    node.client.post(url).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
                link["url"].as_str().unwrap().to_owned()
            }
        }
    }
}

pub(crate) async fn run() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let source = sim.media_url().replace("http://", "");
    let node = NodeConfig::new(&dir.path().join("clipkeep")).set("policy", "on_demand").start(&sim).await;
    let peers = [
        Peer::Clipkeep(node),
        nginx("nginx", &dir.path().join("nginx"), &source, "proxy_cache_key $uri;"),
        nginx("nginx slice", &dir.path().join("slice"), &source, SLICE),
        varnish(&dir.path().join("varnish"), &source),
    ];
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("\n## Cold: a clip of 40 MiB whose source gives {} MB/s per connection\n", RATE / 1_000_000);
    println!(
        "| who | first byte | 1 KiB at 90 % | the same during the fill | herd of {HERD}: last first byte | source bytes, herd | whole after one seek |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for peer in &peers {
        let mut ms = [const { Vec::new() }; 4];
        let (mut read, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let seen = look(&sim, peer).await;
            for (all, one) in ms.iter_mut().zip(seen.ms) {
                all.push(one);
            }
            read.push(seen.amplification);
            whole.push(seen.whole);
        }
        let [first, seek, during, herd] = ms.map(median);
        println!(
            "| {} | {first:.1} ms | {seek:.1} ms | {during:.1} ms | {herd:.1} ms | {:.2} × | {:.2} × |",
            peer.name(),
            median(read),
            median(whole),
        );
    }
    in_chromium(&sim, &peers, dir.path()).await;
}

/// What a real browser sees of a clip of a minute with its `moov` at the end.
async fn in_chromium(sim: &Sim, peers: &[Peer], dir: &Path) {
    const RATE: u64 = 1_500_000;
    println!("\n## Chromium: a cold clip, `moov` at the end, source at 1.5 MB/s per connection\n");
    println!("| who | first frame | seek to 90 % |\n| --- | ---: | ---: |");
    let add = |fast: bool| {
        let media = Media::new("video/mp4", browser::minute(dir, fast).into());
        sim.add_faulty_file("a.mp4", media, Faults::always(Fault::rate(RATE)))
    };
    let row = |who: &str, seen: &[browser::Seen]| {
        let first = median(seen.iter().map(|seen| seen.first).collect());
        let seek = median(seen.iter().map(|seen| seen.seek).collect());
        println!("| {who} | {first:.0} ms | {seek:.0} ms |");
    };
    let mut straight = Vec::new();
    for _ in 0..PLAYS {
        straight.push(browser::play(&add(true)).await);
    }
    row("the source itself, `moov` first", &straight);
    for peer in peers {
        let mut seen = Vec::new();
        for _ in 0..PLAYS {
            seen.push(browser::play(&peer.url(sim, &add(false)).await).await);
        }
        row(peer.name(), &seen);
    }
}

struct Seen {
    ms: [f64; 4],
    amplification: f64,
    whole: f64,
}

async fn look(sim: &Sim, peer: &Peer) -> Seen {
    let client = Client::builder().no_proxy().build().unwrap();
    let add = |len: u64| sim.add_faulty_file("a.mp4", Media::padded(len, 1), Faults::always(Fault::rate(RATE)));
    let (at, len) = (36 * MIB, 40 * MIB);

    let source = add(len);
    let first = first_byte(&client, &peer.url(sim, &source).await, None).await;

    let source = add(len);
    let seek = first_byte(&client, &peer.url(sim, &source).await, Some(at)).await;
    // What the source gave in as long as the whole takes.
    tokio::time::sleep(Duration::from_secs(len / RATE + 2)).await;
    let whole = sim.bytes_served(&source) as f64 / len as f64;

    let source = add(len);
    let url = peer.url(sim, &source).await;
    let viewer = tokio::spawn({
        let (client, url) = (client.clone(), url.clone());
        async move { client.get(url).send().await.unwrap().bytes().await.map(|bytes| bytes.len()) }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let during = first_byte(&client, &url, Some(at)).await;
    viewer.abort();

    let source = add(8 * MIB);
    let url = peer.url(sim, &source).await;
    let herd = (0..HERD).map(async |_| {
        let began = Instant::now();
        let response = client.get(&url).send().await.unwrap();
        let mut body = response.bytes_stream();
        let mut first = None;
        let mut read = 0;
        while let Some(chunk) = body.next().await {
            first.get_or_insert_with(|| began.elapsed());
            read += chunk.unwrap().len() as u64;
        }
        assert_eq!(read, 8 * MIB, "{}", peer.name());
        first.unwrap()
    });
    let last = join_all(herd).await.into_iter().max().unwrap();
    let amplification = sim.bytes_served(&source) as f64 / (8 * MIB) as f64;
    Seen { ms: [first, seek, during, last.as_secs_f64() * 1000.0], amplification, whole }
}

/// Milliseconds until the first byte, of the whole or of 1 KiB from `at` on.
async fn first_byte(client: &Client, url: &str, at: Option<u64>) -> f64 {
    let began = Instant::now();
    let mut request = client.get(url);
    if let Some(at) = at {
        request = request.header("range", format!("bytes={at}-{}", at + 1023));
    }
    let mut response = request.send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    began.elapsed().as_secs_f64() * 1000.0
}

const SLICE: &str =
    "slice 1m; proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range; proxy_cache_valid 206 1h;";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(command: &mut Command, package: &str) -> Child {
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.unwrap_or_else(|_| panic!("needed: apt-get install {package}"))
}

/// As nginx's documentation would have it: a lock against herds, keep-alive to
/// the source.
fn nginx(name: &'static str, dir: &Path, source: &str, key: &str) -> Peer {
    fs::create_dir_all(dir).unwrap();
    let port = free_port();
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; proxy_temp_path {dir}/temp; client_body_temp_path {dir}/body;\n\
         fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         proxy_cache_path {dir}/cache keys_zone=c:10m max_size=4g use_temp_path=off;\n\
         upstream source {{ server {source}; keepalive 16; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ proxy_pass http://source; proxy_cache c;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $proxy_host; proxy_cache_valid 200 1h;\n\
         proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s; {key} }} }} }}\n",
        dir = dir.display(),
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-p", &dir.display().to_string(), "-c", &dir.join("nginx.conf").display().to_string()]);
    Peer::Other { name, port, child: spawn(&mut command, "nginx-light") }
}

pub(crate) fn varnish(dir: &Path, source: &str) -> Peer {
    fs::create_dir_all(dir).unwrap();
    let (port, (host, of)) = (free_port(), source.split_once(':').unwrap());
    let vcl = format!(
        "vcl 4.1;\nbackend default {{ .host = \"{host}\"; .port = \"{of}\"; }}\n\
         sub vcl_backend_response {{ set beresp.do_stream = true; set beresp.ttl = 1h; }}\n"
    );
    fs::write(dir.join("default.vcl"), vcl).unwrap();
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-n"]).arg(dir.join("state"));
    command.args(["-a", &format!("127.0.0.1:{port}"), "-s", "malloc,2g", "-f"]).arg(dir.join("default.vcl"));
    Peer::Other { name: "Varnish", port, child: spawn(&mut command, "varnish") }
}
