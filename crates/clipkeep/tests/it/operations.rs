//! What operators and their shells see: terminals, modes, exit codes, warnings.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use clipkeep_core::{
    generation::{Facts, HookRecord},
    state::ClipState,
};
use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};

use crate::{
    catalog::hook,
    cli::clipkeep,
    support::{
        app::{TestApp, own_settings},
        node::NodeConfig,
        postgres,
    },
};

const TOKEN: &str = "test-admin-token-0123456789";

/// What no terminal may be sent of others' texts.
fn is_obeyed(c: char) -> bool {
    let is_bidi = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    (c.is_control() && c != '\n') || is_bidi
}

#[tokio::test(flavor = "multi_thread")]
async fn h04_no_command_lets_a_row_speak_to_the_terminal() {
    let t = TestApp::start().await;
    let odd = "m\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{202e}x\u{200b}";
    let facts = Facts {
        model: Some(odd.to_owned()),
        prompt: Some(odd.to_owned()),
        prompt_hash: Some("h".to_owned()),
        tenant: Some("acme".parse().unwrap()),
        ..Facts::default()
    };
    let failed = HookRecord { error: Some(odd.to_owned()), ..hook("failed") };
    let failed = HookRecord { status: clipkeep_core::state::GenerationStatus::Failed, clips: vec![], ..failed };
    for hook in [HookRecord { facts: facts.clone(), ..hook("a") }, HookRecord { facts, ..hook("b") }, failed] {
        t.app.catalog.record_hooks(&[hook]).await.unwrap();
    }
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);
    for args in [
        &["find"][..],
        &["find", "a.mp4"],
        &["find", "a.mp4", "--tree"],
        &["find", "--duplicates"],
        &["explain", "a"],
        &["explain", "failed"],
        &["events"],
        &["usage", "--by", "model"],
        &["costs", "--by", "model"],
        &["costs", "--by", "prompt"],
        &["sweep", "--at-risk"],
        &["sweep", "--dry-run"],
        &["token", "list"],
        &["find", odd],
        &["explain", odd],
        &["costs", "--list", odd],
        &["events", "replay", "--parked", "--endpoint", odd],
    ] {
        let (_, out, errors) = run(args);
        assert!(!out.chars().any(is_obeyed), "{args:?}: {out:?}");
        assert!(!errors.chars().any(is_obeyed), "{args:?}: {errors:?}");
    }
    let (_, out, _) = run(&["find", "a.mp4"]);
    assert!(out.contains("m\\u{1b}]0;owned\\u{7}"), "{out}");
    // What clap says of a wrong command line quotes it.
    for args in [
        &["find", "--state", odd][..],
        &["usage", "--by", odd],
        &[odd],
        &["find", "--limit", odd],
        &["serve", "--nothing", odd],
        &["link"],
    ] {
        let (code, _, errors) = run(args);
        assert!(code == 2 && errors.starts_with("error: ") && !errors.chars().any(is_obeyed), "{args:?}: {errors:?}");
    }
    let (code, help, _) = run(&["find", "--help"]);
    assert!(code == 0 && help.contains("Usage: "), "{help}");
    // Programs get the same, in other letters.
    for args in [&["find", "a.mp4", "--json"][..], &["find", "a.mp4", "--tree", "--json"], &["events", "--json"]] {
        let (_, out, _) = run(args);
        assert!(!out.chars().any(is_obeyed), "{args:?}: {out:?}");
        for line in out.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }
    let found: Value = serde_json::from_str(&run(&["find", "a.mp4", "--json"]).1).unwrap();
    assert_eq!(found["clips"][0]["model"], odd);
    t.stop().await;
}

/// Runs a shell line with `clipkeep` in it as `$0`.
fn shell(sim: &Sim, data: &Path, line: &str) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_clipkeep")]).env_clear().env("PATH", "/usr/bin:/bin");
    for (name, value) in own_settings(sim, "http://127.0.0.1:1", data, TOKEN) {
        command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    found.push((folder.display().to_string(), mode(folder)));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { modes(&path, found) } else { found.push((path.display().to_string(), mode(&path))) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h08_what_clipkeep_makes_is_its_own_users_alone_whatever_the_umask() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    for (umask, users) in [("000", 0o666), ("022", 0o644), ("077", 0o600)] {
        let folder = tempfile::tempdir().unwrap();
        let (data, table) = (folder.path().join("deep/data"), folder.path().join("table.csv"));
        let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
        fs::write(&table, format!("request_id,url\nr,{source}\n")).unwrap();
        let report = folder.path().join("report.csv");
        let line = format!(
            "umask {umask}; \"$0\" token >/dev/null && \"$0\" import '{}' --report '{}' && \
             \"$0\" find --export '{}' && \"$0\" costs --html '{}'",
            table.display(),
            report.display(),
            folder.path().join("clips.jsonl").display(),
            folder.path().join("costs.html").display()
        );
        // No secret is made: all are given.
        let (code, errors) = shell(&sim, &data, &line);
        assert_eq!(code, Some(0), "{errors}");
        let mut found = Vec::new();
        modes(&folder.path().join("deep"), &mut found);
        assert!(found.iter().any(|(path, _)| path.ends_with("r.mp4")), "{found:?}");
        for (path, mode) in found {
            let private = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, private, "{path} under umask {umask}");
        }
        for name in ["report.csv", "clips.jsonl", "costs.html"] {
            let mode = folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, users, "{name} under umask {umask}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h33_only_a_reader_that_went_away_is_no_error() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    for number in 0..40 {
        t.hook(&format!("g{number}"), &source, "").await;
    }
    t.until("g0.mp4", ClipState::Stored).await;
    for command in ["find --json", "find", "explain g0.mp4", "token", "events --json", "--json usage"] {
        let (code, errors) = shell(&t.sim, t.data.path(), &format!("\"$0\" {command} >/dev/full"));
        assert_eq!(code, Some(1), "{command}: {errors}");
        assert!(errors.contains("standard output"), "{command}: {errors}");
        let closed = format!("{{ \"$0\" {command}; echo $? >&2; }} | true");
        let (_, errors) = shell(&t.sim, t.data.path(), &closed);
        assert_eq!(errors.trim().lines().last(), Some("0"), "{command}: {errors}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h42_commands_end_as_the_readmes_table_says() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str], more: &[(&str, &str)]| clipkeep(&sim, folder.path(), args, more);
    assert_eq!(run(&["token"], &[]).0, 0);
    assert_eq!(run(&["find"], &[]).0, 1);
    for args in [
        &["find", "--created-after", "2026-02", "--created-before", "2026-01"][..],
        &["find", "not a key"],
        &["find", "--tree", "not a key"],
        &["find", "--export", "clips.xls"],
        &["explain", "not a key"],
        &["link", "not a key"],
        &["link", "a.mp4", "--expires-in", "0s"],
        &["usage", "--from", "2026-02", "--to", "2026-01"],
        &["costs", "--list", "nope"],
        &["token", "create", "--tenant", "acme", "--name", "a\u{1b}b"],
        &["demo", "--listen", "127.0.0.1:0"],
        &["demo", "--store", "s3://x", "--once"],
        &["--config", "x.toml", "demo"],
        &["nope"],
    ] {
        let (code, _, errors) = run(args, &[]);
        assert_eq!(code, 2, "{args:?}: {errors}");
    }
    for (name, value) in [
        ("CLIPKEEP_LOG", "debgu"),
        ("CLIPKEEP_LOG", "warn,clipkeep=loud"),
        ("CLIPKEEP_PRICE_LISTS", "nope.toml"),
        ("CLIPKEEP_BUDGETS", "all:5@nowhere"),
        ("CLIPKEEP_DATABASE", "postgres://u@h/db?pgbouncer=true"),
        ("CLIPKEEP_LISTN", "x"),
    ] {
        let (code, _, errors) = run(&["costs"], &[(name, value)]);
        assert_eq!(code, 64, "{name}={value}: {errors}");
    }
    for command in ["", "serve", "import", "find", "sweep", "events", "costs"] {
        let (_, help, _) = run(
            &[command, "--help"].map(str::to_owned).each_ref().map(String::as_str)[usize::from(command.is_empty())..],
            &[],
        );
        assert!(!help.is_empty() && help.lines().all(|line| line.chars().count() <= 100), "{command}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h42_logs_in_a_file_are_plain_text() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeConfig::new(folder.path()).set("log_format", "text").start(&sim).await;
    assert_eq!(node.terminate().await, Some(0));
    let log = fs::read_to_string(&node.log).unwrap();
    assert!(log.contains("serving") && !log.contains('\u{1b}'), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h39_doctor_warns_of_what_will_hurt() {
    let key = "the-key:secret".to_owned();
    let sim = Sim::start(SimOptions { key: Some(key.clone()), ..SimOptions::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let latin = postgres::database().await;
    let name = format!("{}_latin", latin.rsplit_once('/').unwrap().1);
    let admin = postgres::connect(&latin).await;
    let make = format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    admin.batch_execute(&make).await.unwrap();
    let latin = format!("{}/{name}", latin.rsplit_once('/').unwrap().0);
    let run = |more: &[(&str, &str)]| {
        let (code, out, errors) = clipkeep(&sim, folder.path(), &["doctor", "--json"], more);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {errors}"));
        let checks = report["checks"].as_array().unwrap().clone();
        let warned = checks.into_iter().filter(|check| check["level"] == "warning");
        let words = warned.map(|check| check["detail"].as_str().unwrap().to_owned());
        // The tests' keys are the documentation's.
        (code, words.filter(|words| !words.contains("documentation's example")).collect::<Vec<_>>())
    };
    assert_eq!(run(&[("CLIPKEEP_FAL_KEY", &key)]), (0, vec![]));
    for (more, words) in [
        (&[("CLIPKEEP_DATABASE", latin.as_str())][..], "ENCODING 'UTF8'"),
        (&[("CLIPKEEP_FAL_KEY", "wrong:key")], "fal refuses `fal_key`"),
        (&[("CLIPKEEP_PUBLIC_URL", "https://clips.example.com")], "fal_user_ids"),
        (&[("CLIPKEEP_PUBLIC_URL", "http://0.0.0.0:8787")], "public_url"),
    ] {
        let (code, warned) = run(more);
        assert_eq!(code, 0, "{words}: {warned:?}");
        assert!(warned.iter().any(|text| text.contains(words)), "{words}: {warned:?}");
    }
    let aws = [("CLIPKEEP_STORE", "s3://clips"), ("AWS_ENDPOINT_URL", "http://clips.localhost:1")];
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let (code, warned) = run(&[&aws[..], &keys[..]].concat());
    assert_eq!(code, 1, "the bucket cannot be reached");
    assert!(warned.iter().any(|text| text.contains("holds the bucket's name")), "{warned:?}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(run(&[]).1.iter().any(|text| text.contains("chmod 700")));
}

#[tokio::test(flavor = "multi_thread")]
async fn h45_events_say_whose_they_are() {
    for settings in [vec![], vec![("database", postgres::database().await)]] {
        let t = TestApp::with(&settings).await;
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        t.hook("own", &source, "?tenant=acme").await;
        t.hook("nobodys", &source, "").await;
        for key in ["own.mp4", "nobodys.mp4"] {
            t.until(key, ClipState::Stored).await;
        }
        let more: Vec<(&str, &str)> = settings.iter().map(|(_, url)| ("CLIPKEEP_DATABASE", url.as_str())).collect();
        let began = tokio::time::Instant::now();
        let events = loop {
            let (_, out, _) = clipkeep(&t.sim, t.data.path(), &["events", "--json"], &more);
            let events = serde_json::from_str::<Value>(&out).unwrap()["events"].as_array().unwrap().clone();
            if events.len() == 2 {
                break events;
            }
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{events:?}");
        };
        for event in events {
            let tenant = if event["key"] == "own.mp4" { json!("acme") } else { Value::Null };
            assert_eq!(event["tenant"], tenant, "{event}");
        }
        t.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_a_report_runs_nothing_in_a_spreadsheet() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (table, report) = (folder.path().join("table.csv"), folder.path().join("report.csv"));
    fs::write(&table, "request_id,url\n=1+cmd,https://127.0.0.1/a.mp4\n@x,=HYPERLINK(1)\n-1,+2\n").unwrap();
    let args = ["import", table.to_str().unwrap(), "--dry-run", "--report", report.to_str().unwrap()];
    let (_, out, errors) = clipkeep(&sim, folder.path(), &args, &[]);
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {out} {errors}"));
    assert!(text.lines().count() == 4 && text.contains("'="), "{text}");
    for cell in text.lines().flat_map(|line| line.split(',')).map(|cell| cell.trim_matches('"')) {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_a_field_that_is_there_twice_is_refused() {
    let t = TestApp::start().await;
    for body in [
        r#"{"request_id": "r", "tenant": "a", "tenant": "b"}"#,
        r#"{"request_id": "r", "public": false, "public": true}"#,
        r#"{"request_id": "r", "request_id": "r"}"#,
    ] {
        let request = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&t.token);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
    }
    assert!(t.app.catalog.generation(&"r".parse().unwrap()).await.unwrap().is_none());
    t.stop().await;
}
