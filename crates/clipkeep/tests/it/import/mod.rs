//! `clipkeep import`: the real binary on real tables.

mod big;
mod files;
mod small;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fal_sim::{Fault, Faults, Media, Sim};
use serde_json::Value;

use crate::support::{app::own_settings, node::TOKEN};

/// What links start with in these tests.
const PUBLIC: &str = "http://127.0.0.1:1";

/// Where an import happens.
struct Place {
    sim: Sim,
    data: PathBuf,
    settings: Vec<(&'static str, String)>,
    aws: Vec<(String, String)>,
}

/// A running import. Killed when dropped.
struct Run {
    child: Child,
    errors: PathBuf,
}

impl Place {
    fn new(sim: &Sim, data: &Path) -> Self {
        let quick = [("lease", "1s".to_owned()), ("not_found_attempts", "2".to_owned())];
        Self { sim: sim.clone(), data: data.to_owned(), settings: quick.into(), aws: Vec::new() }
    }

    /// Starts `clipkeep import --json` with these arguments, its input from a file.
    fn start(&self, args: &[&str], input: Option<&Path>) -> Run {
        self.begin(&[&["--json"], args].concat(), input)
    }

    /// Starts `clipkeep import` with these arguments.
    fn begin(&self, args: &[&str], input: Option<&Path>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
        command.arg("import").args(args).current_dir(self.data.parent().unwrap()).env_clear();
        for (name, value) in own_settings(&self.sim, PUBLIC, &self.data, TOKEN).iter().chain(&self.settings) {
            command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
        }
        command.envs(self.aws.iter().cloned());
        let errors = self.data.with_extension("errors");
        command.stderr(fs::File::create(&errors).unwrap()).stdout(Stdio::piped());
        command.stdin(input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into()));
        Run { child: command.spawn().unwrap(), errors }
    }

    /// Runs it to its end: exit code and summary.
    fn run(&self, args: &[&str]) -> (i32, Value) {
        self.start(args, None).end()
    }
}

impl Run {
    /// Its exit code and summary.
    fn end(self) -> (i32, Value) {
        let (code, out, errors) = self.told();
        let summary = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}\n{errors}"));
        (code, summary)
    }

    /// Its exit code, and what it said to both.
    fn told(mut self) -> (i32, String, String) {
        let mut out = String::new();
        std::io::Read::read_to_string(self.child.stdout.as_mut().unwrap(), &mut out).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        for told in [&out, &errors] {
            assert!(!told.contains("/files/"), "i02: a source URL in {told}");
        }
        (code, out, errors)
    }

    /// `kill -9` once `is_time` says so.
    async fn kill_when(mut self, is_time: impl AsyncFn() -> bool) {
        let began = tokio::time::Instant::now();
        while !is_time().await {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "it does not get on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A table that is made line by line, with what must become of it.
#[derive(Default)]
struct Table {
    text: String,
    lines: u64,
    counts: BTreeMap<&'static str, u64>,
    rejects: String,
    map: String,
    /// What each source that must be read has.
    sources: BTreeMap<String, u64>,
}

const HEADER: &str = "id,video_url,request_id,prompt,created_at\n";

impl Table {
    fn new() -> Self {
        let head = |text: &str| text.to_owned();
        let rejects = format!("line,reason,{HEADER}");
        Self { text: head(HEADER), rejects, map: head("url,final_url\n"), ..Self::default() }
    }

    fn line(&mut self, fate: &'static str, url: &str, request_id: &str) -> String {
        self.lines += 1;
        *self.counts.entry(fate).or_default() += 1;
        let line = format!("{},{url},{request_id},\"fox, {}\",2026-01-31T12:00:00Z\n", self.lines, self.lines);
        self.text.push_str(&line);
        line
    }

    fn stored(&mut self, fate: &'static str, url: &str, request_id: &str) {
        self.line(fate, url, request_id);
        let ending = url.rsplit('.').next().unwrap();
        let _ = writeln!(self.map, "{url},{PUBLIC}/v/{request_id}.{ending}");
    }

    fn bad(&mut self, reason: &str, url: &str, request_id: &str) {
        let line = self.line("bad_lines", url, request_id);
        let reason = if reason.contains(',') { format!("\"{reason}\"") } else { reason.to_owned() };
        let _ = write!(self.rejects, "{},{reason},{line}", self.lines + 1);
    }

    /// A source that lives.
    fn source(&mut self, sim: &Sim) -> String {
        let name = ["silent.mp4", "still.png", "still.jpg"][self.sources.len() % 3];
        let media = Media::named(name);
        let url = sim.add_file(name, media.clone());
        self.sources.insert(url.clone(), media.len());
        url
    }

    /// A source that is gone, or is a web page.
    fn dead(&self, sim: &Sim, fault: Fault) -> String {
        sim.add_faulty_file("dead.mp4", Media::named("silent.mp4"), Faults::always(fault))
    }

    fn assert_summary(&self, summary: &Value) {
        for count in ["kept", "already_kept", "registered", "lost", "rejected", "later", "deleted", "bad_lines"] {
            let expected = self.counts.get(count).copied().unwrap_or_default();
            assert_eq!(summary[count], expected, "{count} of {summary}");
        }
        assert_eq!(summary["lines"], self.lines);
        assert_eq!(summary["ignored_columns"], serde_json::json!(["id"]));
    }

    /// How often sources that live were asked.
    fn requests(&self, sim: &Sim) -> usize {
        let url = |path: &str| format!("{}{path}", sim.media_url());
        sim.requests().iter().filter(|request| self.sources.contains_key(&url(&request.path))).count()
    }

    /// Each source was read once, but for what a kill may have made anew.
    fn assert_read_once(&self, sim: &Sim, mut allowed: u64) {
        let mut read: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for request in sim.requests() {
            let of = read.entry(format!("{}{}", sim.media_url(), request.path)).or_default();
            *of = (of.0 + 1, of.1 + request.sent());
        }
        let (mut bytes, mut twice) = (0, BTreeSet::new());
        for (url, len) in &self.sources {
            let (requests, sent) = read[url];
            assert!(sent >= *len, "{url} was not read");
            bytes += sent;
            if requests > 1 {
                twice.insert(url);
            }
        }
        let all: u64 = self.sources.values().sum();
        assert!(bytes as f64 <= 1.05 * all as f64, "{bytes} bytes read of {all}");
        allowed = allowed.max(1);
        assert!((twice.len() as u64) < allowed, "{} sources were read twice", twice.len());
    }
}

/// How many rows the SQLite catalogue answers to a question.
fn count(data: &Path, sql: &str) -> u64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(db) = rusqlite::Connection::open_with_flags(data.join("clipkeep.db"), flags) else { return 0 };
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    // The table may not be there yet.
    db.query_row(sql, (), |row| row.get::<_, i64>(0)).map_or(0, i64::unsigned_abs)
}
