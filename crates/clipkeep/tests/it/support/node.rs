//! The real binary as a process of its own, to be killed.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fal_sim::Sim;
use reqwest::Client;
use serde_json::{Value, json};

use super::{app::own_settings, postgres};

pub(crate) const TOKEN: &str = "test-admin-token-0123456789";
/// How often a node is started that ends at its start.
const STARTS: usize = 10;

/// A node's settings, so that it can be started again as it was.
#[derive(Clone)]
pub(crate) struct NodeConfig {
    pub(crate) data: PathBuf,
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) aws: Vec<(String, String)>,
    /// What else stands in its environment.
    pub(crate) env: Vec<(String, String)>,
    /// How many files it may have open, if not as many as the tests.
    pub(crate) files: Option<u32>,
    /// What it reads as `/etc/hosts`, if not the machine's.
    pub(crate) hosts: Option<PathBuf>,
}

/// A running node. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) log: PathBuf,
}

impl NodeConfig {
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), settings: Vec::new(), aws: Vec::new(), env: Vec::new(), files: None, hosts: None }
    }

    pub(crate) fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.retain(|(name, _)| *name != key);
        self.settings.push((key, value.into()));
        self
    }

    /// The only row that its catalogue answers.
    pub(crate) async fn row(&self, sql: &str) -> [i64; 4] {
        let Some((_, url)) = self.settings.iter().find(|(key, _)| *key == "database") else {
            let database = rusqlite::Connection::open(self.data.join("clipkeep.db")).unwrap();
            let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
            return database.query_row(sql, (), read).unwrap();
        };
        let row = postgres::connect(url).await.query_one(sql, &[]).await.unwrap();
        [0, 1, 2, 3].map(|column| row.get(column))
    }

    /// Starts the binary and waits until it is ready. One that ends instead (its
    /// port was taken meanwhile, or the database is too busy to answer in time) is
    /// started again, as a supervisor does.
    pub(crate) async fn start(&self, sim: &Sim) -> Node {
        for _ in 1..STARTS {
            let mut node = self.spawn(sim);
            if node.is_ready().await {
                return node;
            }
        }
        let mut node = self.spawn(sim);
        assert!(node.is_ready().await, "the node ends at its start:\n{}", fs::read_to_string(&node.log).unwrap());
        node
    }

    fn spawn(&self, sim: &Sim) -> Node {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        fs::create_dir_all(&self.data).unwrap();
        let log = self.data.join("node.log");
        let to_log = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(sim, &url);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(to_log);
        command.env("CLIPKEEP_LISTEN", format!("127.0.0.1:{port}"));
        let child = command.spawn().unwrap();
        Node { child, url, client: Client::builder().no_proxy().build().unwrap(), log }
    }
}

impl NodeConfig {
    /// The binary with these settings, for a node whose URL that is.
    pub(crate) fn command(&self, sim: &Sim, url: &str) -> Command {
        let program = std::env::var_os("CLIPKEEP_BIN").unwrap_or(env!("CARGO_BIN_EXE_clipkeep").into());
        let limit = self.files.map_or(String::new(), |files| format!("ulimit -n {files}; "));
        let hosts = self.hosts.as_ref().map(|hosts| format!("mount --bind {} /etc/hosts && ", hosts.display()));
        let mut command = match &hosts {
            // A world of its own, in which anybody may mount.
            Some(_) => Command::new("unshare"),
            None => Command::new("/bin/sh"),
        };
        if hosts.is_some() {
            command.args(["--user", "--map-root-user", "--mount", "/bin/sh"]);
        }
        command.arg("-c").arg(format!("{limit}{}exec \"$0\" \"$@\"", hosts.unwrap_or_default())).arg(program);
        command.env_clear().env("CLIPKEEP_LOG", "info");
        for (name, value) in own_settings(sim, url, &self.data, TOKEN).into_iter().chain(self.settings.clone()) {
            command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
        }
        command.envs(self.aws.iter().chain(&self.env).cloned());
        command
    }
}

impl Node {
    /// Waits until it is ready; whether it did not end before.
    async fn is_ready(&mut self) -> bool {
        let began = tokio::time::Instant::now();
        loop {
            if self.is_dead() {
                return false;
            }
            let ready = self.client.get(format!("{}/readyz", self.url)).send().await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(
                began.elapsed() < crate::support::eventually::PATIENCE,
                "the node does not become ready:\n{}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and the end of it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        super::clock::forget(self.pid());
    }

    /// Whether it is dead already.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGTERM; its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        let began = tokio::time::Instant::now();
        while !self.is_dead() {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "the node does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child.wait().unwrap().code()
    }

    /// Sends a signed webhook for one video; its status, if there was an answer.
    pub(crate) async fn hook(&self, sim: &Sim, request_id: &str, source: &str) -> Option<u16> {
        let payload = json!({"video": {"url": source, "content_type": "video/mp4"}});
        let delivery = sim.sign(request_id, sim.webhook_body(request_id, &payload));
        let mut request = self.client.post(format!("{}/hooks/fal?model=m&prompt=p", self.url));
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        request.body(delivery.body).send().await.ok().map(|answer| answer.status().as_u16())
    }

    /// A GET on the API; its JSON, if there was an answer.
    pub(crate) async fn api(&self, path: &str) -> Option<Value> {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        request.send().await.ok()?.json().await.ok()
    }

    /// A line of `/proc/PID/status` in KiB, such as `VmHWM`.
    pub(crate) fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')).unwrap();
        found.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
