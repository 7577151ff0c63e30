//! Large tables: killed twice midway, and in bounded memory.

use std::{fmt::Write as _, fs, time::Duration};

use fal_sim::{Fault, Sim, SimOptions};

use super::{Place, Table, count};

const STORED: &str = "SELECT count(*) FROM clips WHERE state = 'stored'";
const LINES: u64 = 10_000;
/// How many fills run at once, and so how many a kill may repeat.
const FILLS: u64 = 64;

/// 10,000 lines: 5 % bad, some lost, rejected, repeated, or known before.
fn table(sim: &Sim) -> (Table, Table) {
    let (mut table, mut before) = (Table::new(), Table::new());
    let known: Vec<_> = (0..100).map(|n| (before.source(sim), format!("known-{n}"))).collect();
    for (url, id) in &known {
        before.stored("kept", url, id);
    }
    let mut first = None;
    for n in 0..LINES {
        let id = format!("r{n}");
        match n % 100 {
            0 => table.bad(
                "url: the host is not among the allowed source hosts (source_hosts)",
                "https://evil.example/a.mp4",
                &id,
            ),
            20 => table.bad("url: is missing", "", &id),
            40 => {
                table.bad("request_id holds a character that is not allowed", "http://127.0.0.1:9/a.mp4", "../../etc")
            }
            60 => table.bad("url: not an absolute URL with a host", "v3.fal.media/a.mp4", &id),
            80 => table.bad(
                "url: the scheme is not allowed (https; http with source_allow_http)",
                "ftp://127.0.0.1/a.mp4",
                &id,
            ),
            10 => {
                let url = table.dead(sim, Fault::status(404));
                table.line("lost", &url, &id);
            }
            30 => {
                let url = table.dead(sim, Fault::page("text/html", "<!DOCTYPE html><html>expired</html>"));
                table.line("rejected", &url, &id);
            }
            50 => {
                let (url, id) = &known[usize::try_from(n / 100).unwrap()];
                table.stored("already_kept", url, id);
            }
            70 | 90 => {
                let (url, id): &(String, String) = first.as_ref().unwrap();
                table.stored("already_kept", &url.clone(), &id.clone());
            }
            _ => {
                let url = table.source(sim);
                table.stored("kept", &url, &id);
                first.get_or_insert((url, id));
            }
        }
    }
    (before, table)
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_ten_thousand_lines_killed_twice_end_as_if_nothing_had_been() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut place = Place::new(&sim, &dir.path().join("data"));
    place.settings.push(("fill_concurrency", FILLS.to_string()));
    // Its sources are few, and each clip's object is counted.
    place.settings.push(("share_objects", "false".to_owned()));
    let (before, table) = table(&sim);
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("before.csv"), &before.text).unwrap();
    assert_eq!(place.run(&[&path("before.csv")]).0, 0);

    fs::write(path("urls.csv"), &table.text).unwrap();
    let args = [path("urls.csv"), "--map".to_owned(), path("map.csv")];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let registered = || async { count(&place.data, "SELECT count(*) FROM clips") > 3000 };
    place.start(&args, None).kill_when(registered).await;
    assert!(!fs::exists(path("map.csv")).unwrap());
    let stored = || async { count(&place.data, STORED) > 5000 };
    place.start(&args, None).kill_when(stored).await;
    assert!(count(&place.data, STORED) < 9000, "killed too late");

    let (code, summary) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(code, 1);
    table.assert_summary(&summary);
    assert_eq!(table.counts["bad_lines"], LINES / 20);
    assert_eq!(fs::read_to_string(path("map.csv")).unwrap(), table.map);
    assert_eq!(fs::read_to_string(path("urls.csv.rejects.csv")).unwrap(), table.rejects);
    table.assert_read_once(&sim, 2 * (2 * FILLS));
    let kept = table.counts["kept"] + before.counts["kept"];
    assert_eq!(count(&place.data, STORED), kept);
    assert_eq!(objects(&place.data.join("clips")), kept);
    let twice =
        "SELECT count(*) FROM (SELECT key FROM history WHERE event = 'stored' GROUP BY key HAVING count(*) > 1)";
    assert_eq!(count(&place.data, twice), 0);

    let asked = table.requests(&sim);
    let again = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(again, (code, summary));
    assert_eq!(table.requests(&sim), asked, "nothing that is stored is read again");
}

fn objects(folder: &std::path::Path) -> u64 {
    // The store's own mark is no clip's.
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap()).filter(|e| e.file_name() != ".clipkeep");
    let count = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => objects(&entry.path()),
        false => 1,
    };
    entries.map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn i07_a_hundred_thousand_lines_take_bounded_memory() {
    const LINES: u64 = 100_000;
    const LIMIT_KIB: u64 = 100 << 10;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    let mut text = String::from("{\"url\": \"https://nowhere.example\"}\n");
    let padding = "a long prompt ".repeat(30);
    for n in 1..LINES {
        let _ = writeln!(
            text,
            "{{\"url\": \"http://127.0.0.1:9/{n}.mp4\", \"model\": \"m\", \"prompt\": \"{n} {padding}\"}}"
        );
    }
    // The longest line there may be, and one that is longer.
    let _ = writeln!(text, "{{\"url\": \"{}\"}}", "x".repeat((1 << 20) - 11));
    let _ = writeln!(text, "{{\"url\": \"{}\"}}", "x".repeat(64 << 20));
    let file = dir.path().join("urls.jsonl");
    fs::write(&file, text).unwrap();
    let mut run = place.start(&[file.to_str().unwrap(), "--policy", "on_demand"], None);
    let mut peak = 0;
    while run.child.try_wait().unwrap().is_none() {
        peak = peak.max(memory_kib(run.child.id()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (code, summary) = run.end();
    assert_eq!(code, 1);
    assert_eq!((&summary["registered"], &summary["bad_lines"]), (&(LINES - 1).into(), &3.into()), "{summary}");
    assert!(peak > 0 && peak < LIMIT_KIB, "{} MiB", peak >> 10);
}

/// `VmHWM` of a process, while it lives.
fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    found.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
