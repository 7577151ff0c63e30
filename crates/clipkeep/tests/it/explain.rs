//! `clipkeep explain` and the history behind it.

use std::{collections::BTreeSet, fs, path::Path};

use clipkeep_core::{history, state::ClipState};
use fal_sim::{Fault, Faults, Media};
use serde_json::Value;

use crate::{cli::clipkeep, support::app::TestApp};

/// Every word that the catalogue writes into histories has its sentence. The
/// words are those between quotes behind `event:` and in what is selected into
/// the table.
#[test]
fn every_word_that_the_catalogue_writes_has_a_sentence() {
    let mut written = BTreeSet::new();
    words(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog"), &mut written);
    for word in ["received", "registered", "claimed", "sealed", "stored", "retry", "version_changed"] {
        assert!(written.contains(word), "{word} was not found, so this test looks wrongly");
    }
    let unknown: Vec<_> = written.iter().filter(|word| !history::EVENTS.contains(&word.as_str())).collect();
    assert!(unknown.is_empty(), "no sentence in story.rs for {unknown:?}");
}

fn words(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            words(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let after = |mark: &str, quote: char| {
            let parts: Vec<_> = text.split(mark).skip(1).map(|rest| (rest.to_owned(), quote)).collect();
            parts
        };
        for (rest, quote) in [after("event: \"", '"'), after("INTO history", '\'')].concat() {
            let rest = if quote == '\'' { quoted(&rest) } else { rest.split(quote).next().map(str::to_owned) };
            let is_word = |word: &String| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            found.extend(rest.filter(is_word));
        }
    }
}

/// The first text in single quotes of the statement that `sql` begins with.
fn quoted(sql: &str) -> Option<String> {
    let statement = sql.split(';').next()?;
    statement.split(" FROM ").next()?.split('\'').nth(1).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_what_happened_why_and_what_comes_next() {
    let t = TestApp::with(&[("not_found_attempts", "2".to_owned())]).await;
    let media = Media::named("moov-last.mp4");
    let shaky = t.sim.add_faulty_file("a.mp4", media.clone(), Faults::first(1, Fault::status(503)));
    let gone = t.sim.add_faulty_file("b.mp4", media.clone(), Faults::always(Fault::status(404)));
    t.hook("shaky", &shaky, "?model=fal-ai/veo3&prompt=a%20fox").await;
    t.hook("gone", &gone, "").await;
    t.hook("later", &shaky, "?policy=on_demand").await;
    t.until("shaky.mp4", ClipState::Stored).await;
    t.until("gone.mp4", ClipState::Lost).await;
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);

    let (code, out, _) = run(&["explain", "shaky.mp4"]);
    assert_eq!(code, 0);
    let size = format!("{:.1} KiB", media.len() as f64 / 1024.0);
    for part in [
        "shaky.mp4 is stored",
        &size,
        "generation shaky of fal, model fal-ai/veo3, prompt «a fox»",
        "clipkeep heard of the clip: video, eager",
        "attempt 1 began on",
        "to be tried again: the source answers 503",
        "attempt 2 began on",
        &format!("checked: {size}"),
        &format!("confirmed in the store ({size} read from the source)"),
        "next: served from http://127.0.0.1:1/v/shaky.mp4",
    ] {
        assert!(out.contains(part), "{part:?} is not in:\n{out}");
    }
    let (_, out, _) = run(&["explain", "gone"]);
    assert!(
        out.contains("lost, the source is gone") && out.contains("next: not tried again, unless its webhook"),
        "{out}"
    );
    let (_, out, _) = run(&["explain", "later.mp4"]);
    assert!(out.contains("next: filled when its first viewer comes"), "{out}");
    let (code, out, _) = run(&["explain", "nobody"]);
    assert_eq!((code, out.trim()), (1, "nothing is known of nobody"));
    for out in ["shaky", "gone", "later"].map(|what| run(&["explain", what]).1) {
        assert!(!out.contains(&t.sim.media_url()), "a source URL in {out}");
    }

    let told: Value = serde_json::from_str(&run(&["explain", "shaky", "--json"]).1).unwrap();
    let clip = &told["clips"][0];
    assert_eq!((&clip["key"], &clip["state"]), (&"shaky.mp4".into(), &"stored".into()));
    let history = t.api("/api/v1/clips/shaky.mp4/history").await;
    assert_eq!(clip["history"], history["history"]);
    let bytes = |event: &str| {
        let lines = history["history"].as_array().unwrap();
        lines.iter().find(|line| line["event"] == event).unwrap()["bytes"].clone()
    };
    assert_eq!(bytes("received"), Value::Null);
    assert_eq!(bytes("retry"), 0);
    assert_eq!(bytes("sealed"), media.len());
    assert_eq!(bytes("stored"), media.len());
}
