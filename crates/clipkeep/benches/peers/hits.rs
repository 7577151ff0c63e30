//! Delivery of a stored clip, beside nginx with `secure_link`.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use fal_sim::{Media, Sim, SimOptions};

use crate::{
    cold::varnish,
    run::{cpu_secs, median, program},
    support::node::{Node, NodeConfig, TOKEN},
};

pub(crate) const LEN: u64 = 40 << 20;
const ROUNDS: usize = 3;
/// 0 is the whole clip.
pub(crate) const SIZES: [(u64, &str); 4] =
    [(0, "full (40 MiB)"), (1 << 20, "1 MiB"), (64 << 10, "64 KiB"), (1 << 10, "1 KiB")];

/// The requests are made up before the clock runs: the load generator shares
/// the machine with what it measures.
pub(crate) const LUA: &str = r#"
local len, size = tonumber(os.getenv("LEN")), tonumber(os.getenv("SIZE"))
local requests, at = {}, 0
init = function(args)
  for n = 1, 4096 do
    local first = math.random(0, len - size)
    local range = size > 0 and { ["Range"] = "bytes=" .. first .. "-" .. (first + size - 1) } or nil
    requests[n] = wrk.format("GET", nil, range)
  end
end
request = function()
  at = at % 4096 + 1
  return requests[at]
end
done = function(summary, latency, requests)
  local wrong = summary.errors.status + summary.errors.read + summary.errors.connect
  io.stderr:write(string.format("%f %d\n", summary.requests / (summary.duration / 1e6), wrong))
end
"#;

struct Nginx {
    child: Child,
    url: String,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Nginx {
    fn pids(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(path).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

pub(crate) async fn run() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = NodeConfig::new(&dir.path().join("node")).start(&sim).await;
    let url = stored(&sim, &node).await;
    let varnish = varnish(&dir.path().join("varnish"), &sim.media_url().replace("http://", ""));
    let bare = bare_sendfile(&dir.path().join("node/clips/hit.mp4"));
    let nginx = nginx(&dir.path().join("nginx"), &dir.path().join("node/clips/hit.mp4"));
    fs::write(dir.path().join("range.lua"), LUA).unwrap();
    println!("\n## Hits: a stored clip of 40 MiB, signed links, keep-alive\n");
    let cached = varnish.url(&sim, &sim.add_file("hit.mp4", Media::padded(LEN, 1))).await;
    node.client.get(&cached).send().await.unwrap().bytes().await.unwrap();
    println!("| range | clipkeep | nginx | ratio | Varnish | ratio | CPU-ms per request: clipkeep | nginx | Varnish |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (size, name) in SIZES {
        let (mut ours, mut theirs, mut third) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(load(dir.path(), &url, size, &[node.pid()]));
            theirs.push(load(dir.path(), &nginx.url, size, &nginx.pids()));
            third.push(load(dir.path(), &cached, size, &varnish.pids()));
        }
        let rate = |runs: &[(f64, f64)]| median(runs.iter().map(|(rate, _)| *rate).collect());
        let cpu = |runs: &[(f64, f64)]| median(runs.iter().map(|(_, cpu)| *cpu * 1000.0).collect());
        let (a, b, c) = (rate(&ours), rate(&theirs), rate(&third));
        println!(
            "| {name} | {a:.0}/s | {b:.0}/s | {:.2} × | {c:.0}/s | {:.2} × | {:.3} | {:.3} | {:.3} |",
            a / b,
            a / c,
            cpu(&ours),
            cpu(&theirs),
            cpu(&third)
        );
    }
    let per_gb = |(_, cpu): (f64, f64)| cpu * 1e9 / LEN as f64;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        all[0].push(per_gb(load(dir.path(), &url, 0, &[node.pid()])));
        all[1].push(per_gb(load(dir.path(), &bare, 0, &[std::process::id()])));
    }
    let [ours, bare] = all.map(median);
    println!(
        "\nCPU-seconds per GB, whole clip: clipkeep {ours:.3}, a bare sendfile loop {bare:.3}: {:.2} ×.",
        ours / bare
    );
}

/// The least a server can do: one thread a connection, a fixed head, `sendfile`.
fn bare_sendfile(clip: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let clip = clip.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, file) = (stream.unwrap(), fs::File::open(&clip).unwrap());
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while std::io::Read::read(&mut stream, &mut request).is_ok_and(|read| read > 0) {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
                    let _ = std::io::Write::write_all(&mut stream, head.as_bytes());
                    let mut at = 0;
                    while at < LEN {
                        let left = (LEN - at) as usize;
                        match rustix::fs::sendfile(&stream, &file, Some(&mut at), left) {
                            Ok(1..) => {}
                            _ => return,
                        }
                    }
                }
            });
        }
    });
    url
}

async fn stored(sim: &Sim, node: &Node) -> String {
    let source = sim.add_file("hit.mp4", Media::padded(LEN, 1));
    assert_eq!(node.hook(sim, "hit", &source).await, Some(200));
    while node.api("/api/v1/clips/hit.mp4").await.unwrap()["state"] != "stored" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let link = node.client.post(format!("{}/api/v1/clips/hit.mp4/links", node.url)).bearer_auth(TOKEN);
    let link: serde_json::Value = link.send().await.unwrap().json().await.unwrap();
    link["url"].as_str().unwrap().to_owned()
}

/// nginx as its documentation would have it for this: sendfile, cached open
/// files, no log. `tcp_nopush` stays off: with it, 64 KiB ranges wait for
/// delayed acknowledgements here.
fn nginx(dir: &Path, clip: &Path) -> Nginx {
    fs::create_dir_all(dir).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 4096; multi_accept on; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush off; tcp_nodelay on; keepalive_requests 100000000;\n\
         open_file_cache max=100; open_file_cache_valid 600s; types {{ video/mp4 mp4; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ root {root};\n\
         secure_link $arg_signature,$arg_expires; secure_link_md5 \"$secure_link_expires$uri bench\";\n\
         if ($secure_link = \"\") {{ return 403; }} if ($secure_link = \"0\") {{ return 410; }} }} }} }}\n",
        dir = dir.display(),
        root = clip.parent().unwrap().display(),
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    // The workers of a root's nginx are somebody else.
    for folder in clip.ancestors().skip(1).take(3) {
        program(Command::new("chmod").arg("a+rx").arg(folder), "coreutils");
    }
    program(Command::new("chmod").arg("a+r").arg(clip), "coreutils");
    let child = Command::new("nginx")
        .args(["-p", &dir.display().to_string(), "-c", &dir.join("nginx.conf").display().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is needed: apt-get install nginx-light");
    let expires = 4_000_000_000_u64;
    let digest = program(
        Command::new("sh").args(["-c", &format!("printf '%s' '{expires}/hit.mp4 bench' | md5sum | cut -c1-32")]),
        "coreutils",
    );
    let digest = data_encoding::HEXLOWER.decode(String::from_utf8_lossy(&digest.stdout).trim().as_bytes()).unwrap();
    let signature = BASE64URL_NOPAD.encode(&digest);
    #[expect(clippy::disallowed_methods, reason = "a benchmark waits for its peer")]
    std::thread::sleep(Duration::from_millis(500));
    Nginx { child, url: format!("http://127.0.0.1:{port}/hit.mp4?signature={signature}&expires={expires}") }
}

/// Requests per second, and CPU seconds of the server per request.
pub(crate) fn load(dir: &Path, url: &str, size: u64, pids: &[u32]) -> (f64, f64) {
    let connections = if size == 0 { "4" } else { "32" };
    let cpu = cpu_secs(pids);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c", connections, "-d3s", "-s"]).arg(dir.join("range.lua")).arg(url);
    let out = program(wrk.env("LEN", LEN.to_string()).env("SIZE", size.to_string()), "wrk");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let (rate, wrong) = text.lines().last().unwrap().split_once(' ').unwrap();
    assert_eq!(wrong.trim(), "0", "{url}: {text}");
    let rate: f64 = rate.parse().unwrap();
    (rate, (cpu_secs(pids) - cpu) / (rate * 3.0))
}
