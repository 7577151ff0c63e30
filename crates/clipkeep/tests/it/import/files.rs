//! The files beside a table: none is written over, each can be written, and
//! each line's outcome can be found.

use std::{fs, os::unix::fs::symlink, path::Path};

use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::{Value, json};

use super::{Place, Table};

/// A place, and a folder with a table of one good and one bad line.
async fn place() -> (Place, tempfile::TempDir) {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    fs::write(dir.path().join("urls.csv"), "url\nhttp://127.0.0.1:9/a.mp4\nnothing\n").unwrap();
    (place, dir)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names.into_iter().map(|name| name.into_string().unwrap()).filter(|name| name != "data.errors").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_would_be_written_over_stops_an_import_before_it_begins() {
    let (place, dir) = place().await;
    symlink(dir.path().join("urls.csv"), dir.path().join("link.csv")).unwrap();
    let (before, table) = (names(dir.path()), fs::read_to_string(dir.path().join("urls.csv")).unwrap());
    let full = dir.path().join("urls.csv");
    let full = full.to_str().unwrap();
    for args in [
        &["urls.csv", "--map", full][..],
        &["urls.csv", "--rejects", "./urls.csv"],
        &["urls.csv", "--report", "link.csv"],
        &["link.csv", "--map", "urls.csv"],
        &["urls.csv", "--map", "new.csv", "--rejects", "data/../new.csv"],
        &["urls.csv", "--map", "new.csv", "--report", "new.csv"],
        &["urls.csv", "--map", "urls.csv.rejects.csv"],
        // What comes from standard input is a file that is there as well.
        &["-", "--map", "urls.csv"],
        &["-", "--rejects", "urls.csv", "--dry-run"],
    ] {
        fs::create_dir_all(&place.data).unwrap();
        let (code, out, errors) = place.begin(args, Some(&dir.path().join("urls.csv"))).told();
        assert!(code == 1 && out.is_empty() && errors.contains("is the same file as"), "{args:?}: {code} {errors}");
        assert_eq!(names(&place.data), Vec::<String>::new(), "{args:?}");
        fs::remove_dir(&place.data).unwrap();
        assert_eq!(names(dir.path()), before, "{args:?}");
        assert_eq!(fs::read_to_string(dir.path().join("urls.csv")).unwrap(), table, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_stops_an_import_before_it_begins() {
    let (place, dir) = place().await;
    fs::create_dir(dir.path().join("folder")).unwrap();
    for flag in ["--map", "--rejects", "--report"] {
        for path in ["no/such/folder.csv", "folder", "/dev/null"] {
            let (code, out, errors) = place.begin(&["urls.csv", flag, path], None).told();
            assert!(code == 1 && out.is_empty() && errors.contains("writing "), "{flag} {path}: {code} {out} {errors}");
            assert!(!place.data.exists(), "{flag} {path}");
        }
    }
    assert_eq!(names(dir.path()), ["folder", "urls.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_tells_what_became_of_each_line_and_why() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(&sim, &dir.path().join("data"));
    let mut table = Table::new();
    let kept = table.source(&sim);
    table.stored("kept", &kept, "kept");
    table.stored("already_kept", &kept, "kept");
    let lost = table.dead(&sim, Fault::status(404));
    table.line("lost", &lost, "lost");
    let page = table.dead(&sim, Fault::page("text/html", "<!DOCTYPE html><html>expired</html>"));
    table.line("rejected", &page, "page");
    let away = Fault { retry_after: Some("600".into()), ..Fault::status(503) };
    let away = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(away));
    table.line("later", &away, "away");
    table.bad("url: is missing", "", "bad");
    fs::write(dir.path().join("urls.csv"), &table.text).unwrap();

    let run = |report: &str| place.run(&["urls.csv", "--report", report]);
    let (code, summary) = tokio::task::block_in_place(|| run("report.jsonl"));
    assert_eq!((code, &summary["report"]), (1, &"report.jsonl".into()));
    table.assert_summary(&summary);
    let text = fs::read_to_string(dir.path().join("report.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: u64, url: &str, id: &str, outcome: &str, reason: &Value| {
        let (url, key) = (Some(url).filter(|url| !url.is_empty()), (id != "bad").then(|| format!("{id}.mp4")));
        json!({"line": line, "url": url, "request_id": id, "key": key, "outcome": outcome, "reason": reason})
    };
    let expected = [
        told(2, &kept, "kept", "kept", &Value::Null),
        told(3, &kept, "kept", "already_kept", &Value::Null),
        told(4, &lost, "lost", "lost", &lines[2]["reason"]),
        told(5, &page, "page", "rejected", &lines[3]["reason"]),
        told(6, &away, "away", "later", &lines[4]["reason"]),
        told(7, "", "bad", "bad", &"url: is missing".into()),
    ];
    assert_eq!(lines, expected);
    for (at, word) in [(2, "404"), (3, "HTML"), (4, "503")] {
        assert!(lines[at]["reason"].as_str().unwrap().contains(word), "{}", lines[at]);
    }

    let (code, _) = tokio::task::block_in_place(|| run("report.csv"));
    assert_eq!(code, 1);
    let text = fs::read_to_string(dir.path().join("report.csv")).unwrap();
    assert!(text.starts_with("line,url,request_id,key,outcome,reason\n"), "{text}");
    assert!(text.contains(&format!("\n2,{kept},kept,kept.mp4,kept,\n")), "{text}");
    assert!(text.ends_with("\n7,,bad,,bad,url: is missing\n"), "{text}");

    // What was registered alone, and what the catalogue refused.
    fs::write(dir.path().join("more.csv"), format!("url,request_id\n{kept},kept\n{lost},new\n")).unwrap();
    let args = ["more.csv", "--provider", "other", "--policy", "on_demand", "--report", "more.jsonl"];
    let (_, summary) = tokio::task::block_in_place(|| place.run(&args));
    assert_eq!((&summary["registered"], &summary["bad_lines"]), (&1.into(), &1.into()), "{summary}");
    let text = fs::read_to_string(dir.path().join("more.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = "request_id: belongs to a generation of fal".into();
    let mut expected = told(2, &kept, "kept", "bad", &refused);
    expected["key"] = Value::Null;
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1], told(3, &lost, "new", "registered", &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_all_bad_lines_and_says_how_many_were_not_shown() {
    let (place, dir) = place().await;
    let bad: String = (0..7).map(|n| format!("bad{n}\n")).collect();
    fs::write(dir.path().join("urls.csv"), format!("url\nhttp://127.0.0.1:9/a.mp4\n{bad}")).unwrap();
    let args = ["urls.csv", "--dry-run", "--report", "report.csv"];
    let (code, out, errors) = place.begin(&args, None).told();
    assert_eq!(code, 1, "{errors}");
    let shown = out.lines().filter(|line| line.starts_with("line ")).count();
    assert!(shown == 5 && out.contains("\nand 2 more bad lines\n"), "{out}");
    assert!(out.contains("\n        1 good\n        7 bad lines\n"), "{out}");
    assert!(out.contains("\nbad lines are in urls.csv.rejects.csv\n"), "{out}");
    let rejects = fs::read_to_string(dir.path().join("urls.csv.rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), 8, "{rejects}");
    let report = fs::read_to_string(dir.path().join("report.csv")).unwrap();
    assert_eq!(report.lines().filter(|line| line.contains(",bad,url: not an absolute URL")).count(), 7, "{report}");
    assert!(report.contains("\n2,http://127.0.0.1:9/a.mp4,import-"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_retention_does_not_keep_are_counted() {
    let (mut place, dir) = place().await;
    place.settings.push(("retention", "tenant=trial:30d".to_owned()));
    let (mut table, url) = (String::from("url,created_at,tenant\n"), |n| format!("http://127.0.0.1:9/{n}.mp4"));
    for (n, (at, tenant)) in [("2020-01-01", "trial"), ("2020-01-01", "other"), ("", "trial")].iter().enumerate() {
        table.push_str(&format!("{},{at},{tenant}\n", url(n)));
    }
    fs::write(dir.path().join("urls.csv"), table).unwrap();
    let said = "1 of them are older than `retention` keeps: the next sweep deletes them";
    for (args, good) in
        [(&["urls.csv", "--dry-run"][..], "good"), (&["urls.csv", "--policy", "on_demand"], "registered")]
    {
        let (code, summary) = place.run(args);
        assert_eq!(code, 0);
        assert_eq!((&summary[good], &summary["too_old"]), (&3.into(), &1.into()), "{summary}");
        let (_, out, _) = place.begin(args, None).told();
        assert!(out.contains(said), "{out}");
    }
}
