//! Small tables: beside a node, on the other databases and stores, stopped in
//! peace, and what single lines become.

use std::{fs, process::Command, time::Duration};

use clipkeep::sweep::drift::DriftSettings;
use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::{Value, json};

use super::{PUBLIC, Place, Table};
use crate::support::{app::TestApp, garage, node::NodeConfig, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_from_standard_input_is_kept_beside_a_running_node() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    let node = NodeConfig::new(&place.data).set("lease", "1s").start(&sim).await;
    let mut table = Table::new();
    for n in 0..60 {
        let url = table.source(&sim);
        table.stored("kept", &url, &format!("r{n}"));
    }
    table.bad("url: is missing", "", "x");
    let input = dir.path().join("input");
    fs::write(&input, &table.text).unwrap();
    let run = place.start(&["-", "--map", "map.csv"], Some(&input));
    let (code, summary) = tokio::task::block_in_place(|| run.end());
    assert_eq!(code, 1);
    table.assert_summary(&summary);
    assert_eq!(fs::read_to_string(dir.path().join("map.csv")).unwrap(), table.map);
    assert_eq!(summary["rejects"], "import.rejects.csv");
    assert_eq!(fs::read_to_string(dir.path().join("import.rejects.csv")).unwrap(), table.rejects);
    table.assert_read_once(&sim, 1);
    let clip = node.api("/api/v1/clips/r7.png").await.unwrap();
    assert_eq!((&clip["state"], &clip["prompt"]), (&"stored".into(), &"fox, 8".into()));
    assert_eq!(clip["created_at"], "2026-01-31T12:00:00.000Z");
    let history = node.api("/api/v1/clips/r7.png/history").await.unwrap();
    assert_eq!(history["history"][0]["detail"], "image, eager; imported (line 9)");
    let commands = place.data.join("commands").read_dir().unwrap().count();
    assert_eq!(commands, 0, "its data_dir folder goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_a_bucket_a_killed_import_goes_on() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (database, bucket) = (postgres::database().await, garage::place());
    let mut place = Place::new(&sim, &dir.path().join("data"));
    let own = [("database", database.clone()), ("store", bucket.url()), ("fill_concurrency", "8".to_owned())];
    place.settings.extend(own);
    place.aws = bucket.aws();
    let mut table = Table::new();
    for n in 0..200 {
        match n % 20 {
            5 => table.bad("url: is missing", "", "x"),
            10 => {
                let url = table.dead(&sim, Fault::status(404));
                table.line("lost", &url, &format!("r{n}"));
            }
            _ => {
                let url = table.source(&sim);
                table.stored("kept", &url, &format!("r{n}"));
            }
        }
    }
    let file = dir.path().join("urls.csv");
    fs::write(&file, &table.text).unwrap();
    let args = [file.to_str().unwrap(), "--map", "map.csv"];
    let client = postgres::connect(&database).await;
    let stored = || async {
        let sql = "SELECT count(*) FROM clips WHERE state = 'stored'";
        client.query_one(sql, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) > 60)
    };
    place.start(&args, None).kill_when(stored).await;
    let (code, summary) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(code, 1);
    table.assert_summary(&summary);
    assert_eq!(fs::read_to_string(dir.path().join("map.csv")).unwrap(), table.map);
    table.assert_read_once(&sim, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_peace_it_goes_on_and_a_clip_that_fails_is_left_to_the_sweep() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    let mut table = Table::new();
    let slow = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::stall_at(9000)));
    table.stored("kept", &slow, "slow");
    // Its clip is older than `lost_after` when it is first tried.
    let shaky = sim.add_faulty_file("b.mp4", Media::named("silent.mp4"), Faults::first(1, Fault::status(503)));
    table.stored("kept", &shaky, "shaky");
    let away = Fault { retry_after: Some("600".into()), ..Fault::status(503) };
    let away = table.dead(&sim, away);
    table.line("later", &away, "away");
    let file = dir.path().join("urls.csv");
    fs::write(&file, &table.text).unwrap();
    let args = [file.to_str().unwrap(), "--map", "map.csv"];
    let run = place.start(&args, None);
    let began = tokio::time::Instant::now();
    while sim.bytes_served(&slow) == 0 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "the fill does not start");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Command::new("kill").args(["-INT", &run.child.id().to_string()]).status().unwrap();
    let (code, stopped) = tokio::task::block_in_place(|| run.end());
    assert_eq!((code, stopped), (1, json!({"stopped": true})));
    assert!(!dir.path().join("map.csv").exists() && !dir.path().join("map.csv.part").exists());
    sim.set_faults(&slow, Faults::none());
    let (code, summary) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(code, 1);
    table.assert_summary(&summary);
    assert_eq!(fs::read_to_string(dir.path().join("map.csv")).unwrap(), table.map);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_keeps_what_it_has_and_learns_the_rest() {
    let t = TestApp::start().await;
    let media = Media::named("silent.mp4");
    let [a, b, c] = ["a.mp4", "b.mp4", "c.mp4"].map(|name| t.sim.add_file(name, media.clone()));
    t.hook("known", &a, "").await;
    t.until("known.mp4", ClipState::Stored).await;
    let place = Place::new(&t.sim, t.data.path());
    let lines = [
        // Known by its webhook, which had no prompt.
        json!({"videoUrl": a, "requestId": "known", "prompt": "a fox"}),
        // Another output of the same generation.
        json!({"videoUrl": b, "requestId": "known"}),
        // No generation is named.
        json!({"videoUrl": c, "note": {"any": "thing"}}),
        json!({"videoUrl": c}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = t.data.path().join("urls.jsonl");
    fs::write(&file, format!("{text}{{\"videoUrl\": 7}}\n{{oops")).unwrap();
    let map = t.data.path().join("map.jsonl");
    let args = [file.to_str().unwrap(), "--map", map.to_str().unwrap(), "--tenant", "acme", "--model", "m"];
    let (code, summary) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(code, 1);
    let counts = ["kept", "already_kept", "bad_lines", "lines"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [2, 2, 2, 6], "{summary}");
    assert_eq!(summary["ignored_columns"], json!(["note"]));
    let known = t.api("/api/v1/clips/known.mp4").await;
    let told = ["prompt", "tenant", "model"].map(|name| known[name].as_str().unwrap());
    assert_eq!(told, ["a fox", "acme", "m"]);
    assert_eq!(t.api("/api/v1/clips/known.1.mp4").await["source_url"], b.as_str());
    let map: Vec<Value> =
        fs::read_to_string(&map).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(map.len(), 4);
    assert_eq!(map[1], json!({"url": b, "final_url": format!("{PUBLIC}/v/known.1.mp4")}));
    let import = map[2]["final_url"].as_str().unwrap();
    assert!(import.starts_with(&format!("{PUBLIC}/v/import-")) && map[3] == map[2], "{import}");
    let rejects = fs::read_to_string(t.data.path().join("urls.jsonl.rejects.jsonl")).unwrap();
    let expected = "{\"line\":5,\"reason\":\"url: not an absolute URL with a host\",\"videoUrl\":7}\n\
        {\"line\":6,\"reason\":\"is no valid JSON (at column 2)\",\"record\":\"{oops\"}\n";
    assert_eq!(rejects, expected);
    let (_, again) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!(again, summary);
    // The same under another provider's name.
    let (_, other) = tokio::task::block_in_place(|| place.run(&[args[0], "--provider", "replicate"]));
    assert_eq!(other["bad_lines"], 6, "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_in_the_store_becomes_its_lines() {
    let t = TestApp::start().await;
    let media = Media::named("silent.mp4");
    let bytes = media.chunk(0..media.len());
    fs::write(t.data.path().join("clips/found.mp4"), &bytes).unwrap();
    t.app
        .sweep
        .drift(DriftSettings { adopt: true, grace: Duration::ZERO, ..DriftSettings::new(Duration::ZERO) })
        .await
        .unwrap();
    let found = t.until("found.mp4", ClipState::Stored).await;
    assert_eq!(found.provider.as_str(), "adopted");
    let url = t.sim.add_file("a.mp4", media);
    let place = Place::new(&t.sim, t.data.path());
    let file = t.data.path().join("urls.jsonl");
    fs::write(&file, format!("{}\n", json!({"url": url, "request_id": "found", "prompt": "a fox"}))).unwrap();
    let args = [file.to_str().unwrap()];
    for _ in 0..2 {
        let (code, summary) = tokio::task::block_in_place(|| place.run(&args));
        assert_eq!((code, &summary["bad_lines"]), (0, &json!(0)), "{summary}");
        let counts = ["kept", "already_kept"].map(|name| summary[name].as_u64().unwrap());
        assert_eq!(counts.iter().sum::<u64>(), 1, "{summary}");
    }
    let row = t.api("/api/v1/clips/found.mp4").await;
    let told = ["provider", "prompt", "state", "source_url"].map(|name| row[name].as_str().unwrap());
    assert_eq!(told, ["fal", "a fox", "stored", url.as_str()]);
    assert!(t.sim.requests_for(&url).is_empty(), "what is there is not fetched again");
    assert_eq!(t.api("/api/v1/clips?request_id=found").await["clips"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_judges_and_keeps_nothing_and_flags_name_the_columns() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    let file = dir.path().join("table");
    fs::write(&file, "href|when\nhttp://127.0.0.1:9/a.mp4|1769860800\nhttp://127.0.0.1:9/b.mp4|yesterday\n").unwrap();
    let file = file.to_str().unwrap();
    let flags = ["--dry-run", "--delimiter", "|", "--column", "url=href", "--column", "created_at=when"];
    let (code, summary) = place.run(&[&[file], &flags[..]].concat());
    assert_eq!((code, &summary["good"], &summary["bad_lines"]), (1, &1.into(), &1.into()), "{summary}");
    assert_eq!((summary.get("registered"), summary.get("kept")), (None, None), "{summary}");
    let rejects = fs::read_to_string(summary["rejects"].as_str().unwrap()).unwrap();
    assert!(rejects.starts_with("line|reason|href|when\n3|\"created_at: \"\"yesterday\"\" is neither"), "{rejects}");
    assert!(!place.data.join("clipkeep.db").exists());
    let refused = |args: &[&str]| {
        let mut run = place.start(&[&[file], args].concat(), None);
        let code = run.child.wait().unwrap().code().unwrap();
        (code, fs::read_to_string(&run.errors).unwrap())
    };
    let (code, errors) = refused(&["--dry-run"]);
    assert!(code == 1 && errors.contains("no column is named url; there are: href|when"), "{errors}");
    let (code, errors) = refused(&["--column", "colour=red"]);
    assert!(code == 2 && errors.contains("is no field"), "{errors}");
    let (code, errors) = refused(&["--policy", "never"]);
    assert!(code == 64 && errors.contains("policy"), "{errors}");
}
