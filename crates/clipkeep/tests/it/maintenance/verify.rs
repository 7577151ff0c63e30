//! `clipkeep verify`.

use std::process::{Command, Stdio};

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};
use serde_json::Value;

use super::{Bed, in_both, until};
use crate::{
    cold::all,
    support::{app::own_settings, garage},
};

in_both![
    a_corrupt_byte_is_found_and_mended,
    a_corrupt_byte_of_a_shared_object_is_found_and_mended_for_all,
    a_damaged_clip_whose_source_is_gone_is_lost_only_when_mended,
    damage_to_an_adopted_clip_is_never_taken_for_its_source,
    h29_damage_that_was_found_is_not_served_while_the_source_lives,
    h29_damaged_bytes_whose_source_is_gone_are_served_as_all_there_is,
];

/// The command, beside the node.
fn verify(bed: &Bed, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    command.arg("verify").args(args).env_clear();
    for (name, value) in own_settings(&bed.t.sim, "http://127.0.0.1:1", bed.t.data.path(), &bed.t.token) {
        command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
    }
    if let crate::support::raw::Raw::Bucket(_, place) = &bed.raw {
        command.env("CLIPKEEP_STORE", place.url()).envs(place.aws());
    }
    command
}

/// Its exit code, the problems it printed, and its summary.
async fn run(bed: &Bed, args: &[&str]) -> (i32, Vec<(String, String)>, Value) {
    let mut command = verify(bed, args);
    command.arg("--json");
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&out.stderr)));
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let problems = lines.iter().map(|line| (word(line, "key"), word(line, "problem"))).collect();
    (out.status.code().unwrap(), problems, summary)
}

async fn a_corrupt_byte_of_a_shared_object_is_found_and_mended_for_all(bed: Bed) {
    let media = Media::padded(900_000, 2);
    for id in ["a", "b", "c"] {
        bed.store(id, &media).await;
    }
    assert_eq!(run(&bed, &["--all"]).await.2["right"], 3);
    bed.raw.corrupt("a.mp4").await;
    let (code, mut problems, _) = run(&bed, &["--all"]).await;
    problems.sort();
    let keys: Vec<_> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((code, keys), (1, vec!["a.mp4", "b.mp4", "c.mp4"]));
    assert_eq!(run(&bed, &["b.mp4", "--mend"]).await.2["damaged"], 1);
    for key in ["a.mp4", "b.mp4", "c.mp4"] {
        assert_eq!(bed.t.until(key, ClipState::Stored).await.epoch, 2);
        assert!(bed.get(key).await.bytes().await.unwrap() == all(&media), "{key}");
    }
    assert_eq!(run(&bed, &["--all"]).await.2["right"], 3);
}

async fn a_corrupt_byte_is_found_and_mended(bed: Bed) {
    let media = Media::padded(900_000, 2);
    bed.store("good", &Media::named("silent.mp4")).await;
    bed.store("bad", &media).await;
    assert_eq!(run(&bed, &["--all"]).await.0, 0);
    assert!(bed.t.api("/api/v1/clips/bad.mp4").await["verified_at"].is_string());
    bed.raw.corrupt("bad.mp4").await;
    bed.raw.begin("other.mp4").await;
    for args in [&["--all"][..], &["bad.mp4", "good.mp4"], &["--sample", "10"]] {
        let (code, problems, summary) = run(&bed, args).await;
        assert_eq!((code, problems.len()), (1, 1), "{args:?} {problems:?}");
        assert_eq!(problems[0].0, "bad.mp4");
        assert!(problems[0].1.contains("checksum"), "{}", problems[0].1);
        assert_eq!((summary["right"].as_u64(), summary["damaged"].as_u64()), (Some(1), Some(1)));
    }
    // Looking changes nothing.
    assert_eq!(bed.clip("bad.mp4").await.unwrap().state, ClipState::Stored);
    assert_eq!(run(&bed, &["bad.mp4", "--mend"]).await.0, 1);
    bed.t.app.engine.wake();
    let mended = bed.t.until("bad.mp4", ClipState::Stored).await;
    assert_eq!((mended.epoch, mended.sealed.unwrap().sha256), (2, media.sha256()));
    assert_eq!(bed.raw.get("bad.mp4").await.unwrap(), all(&media));
    assert_eq!(run(&bed, &["--all"]).await.0, 0);
    let story = bed.story("bad.mp4").await;
    assert_eq!(story.iter().filter(|word| *word == "damaged").count(), 1, "the same finding is written once");
    assert!(story.contains(&"object_lost".to_owned()));
}

async fn a_damaged_clip_whose_source_is_gone_is_lost_only_when_mended(bed: Bed) {
    let (_, source) = bed.store("c", &Media::named("silent.mp4")).await;
    bed.t.sim.set_faults(&source, Faults::always(Fault::status(410)));
    bed.raw.delete("c.mp4").await;
    let (code, problems, _) = run(&bed, &["c.mp4", "nope.mp4"]).await;
    assert_eq!(code, 1);
    let expected = [("nope.mp4", "no clip has that name"), ("c.mp4", "is not in the store")];
    assert_eq!(problems, expected.map(|(key, problem)| (key.to_owned(), problem.to_owned())));
    assert_eq!(bed.clip("c.mp4").await.unwrap().state, ClipState::Stored);
    run(&bed, &["c.mp4", "--mend"]).await;
    bed.t.app.engine.wake();
    bed.t.until("c.mp4", ClipState::Lost).await;
    let (code, problems, _) = run(&bed, &["c.mp4"]).await;
    assert_eq!((code, problems[0].1.as_str()), (1, "is not stored but lost"));
}

async fn damage_to_an_adopted_clip_is_never_taken_for_its_source(bed: Bed) {
    let media = Media::padded(300_000, 4);
    bed.raw.put("c.mp4", all(&media)).await;
    bed.t.register(&serde_json::json!({"request_id": "c", "adopt": true})).await;
    let before = bed.t.until("c.mp4", ClipState::Stored).await;
    bed.raw.corrupt("c.mp4").await;
    let (code, problems, _) = run(&bed, &["c.mp4", "--mend"]).await;
    assert_eq!((code, problems.len()), (1, 2), "{problems:?}");
    assert!(problems[1].1.contains("no other copy"));
    bed.raw.put("c.mp4", &b"shorter"[..]).await;
    assert_eq!(bed.drift(|_| ()).await.wrong_size, 1);
    let after = bed.clip("c.mp4").await.unwrap();
    assert_eq!((after.state, after.epoch, &after.sealed), (ClipState::Stored, before.epoch, &before.sealed));
    // Put back as it was, it is right again.
    bed.raw.put("c.mp4", all(&media)).await;
    assert_eq!(run(&bed, &["c.mp4"]).await.0, 0);
    // Gone, it is waited for: somebody may put it back.
    bed.raw.delete("c.mp4").await;
    assert_eq!(bed.drift(|_| ()).await.missing, 1);
    bed.raw.put("c.mp4", all(&media)).await;
    assert_eq!(bed.t.until("c.mp4", ClipState::Stored).await.epoch, before.epoch + 1);
}

async fn h29_damage_that_was_found_is_not_served_while_the_source_lives(bed: Bed) {
    let media = Media::padded(900_000, 2);
    bed.store("c", &media).await;
    assert!(bed.get("c.mp4").await.bytes().await.unwrap() == all(&media), "it is at hand");
    bed.raw.corrupt("c.mp4").await;
    assert_eq!(run(&bed, &["--all"]).await.0, 1);
    assert_eq!(bed.clip("c.mp4").await.unwrap().state, ClipState::Stored);
    // Until the node has heard it gives what it has; from then on nothing wrong.
    until("the node has heard", async || {
        let answer = bed.get("c.mp4").await;
        let later = (answer.status() == 503).then(|| answer.headers().contains_key("retry-after"));
        later == Some(true)
    })
    .await;
    bed.t.until("c.mp4", ClipState::Stored).await;
    let mended = bed.get("c.mp4").await;
    assert!(mended.status() == 200 && mended.bytes().await.unwrap() == all(&media));
    assert_eq!(run(&bed, &["--all"]).await.0, 0);
}

async fn h29_damaged_bytes_whose_source_is_gone_are_served_as_all_there_is(bed: Bed) {
    let media = Media::padded(900_000, 2);
    let (_, source) = bed.store("c", &media).await;
    bed.t.sim.set_faults(&source, Faults::always(Fault::status(404)));
    bed.raw.corrupt("c.mp4").await;
    assert_eq!(run(&bed, &["c.mp4"]).await.0, 1);
    for _ in 0..2 {
        let answer = bed.get("c.mp4").await;
        assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(900_000)));
        assert_eq!(bed.clip("c.mp4").await.unwrap().state, ClipState::Stored, "it is not lost for it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_where_it_was() {
    const CLIPS: u64 = 30;
    let bed = Bed::folder(&[("share_objects", "false".to_owned())]).await;
    let media = Media::padded(8 << 20, 1);
    let source = bed.t.sim.add_file("a.mp4", media);
    for n in 0..CLIPS {
        bed.t.hook(&n.to_string(), &source, "").await;
    }
    for n in 0..CLIPS {
        bed.t.until(&format!("{n}.mp4"), ClipState::Stored).await;
    }
    let verified = async || {
        let mut verified = Vec::new();
        for n in 0..CLIPS {
            let clip = bed.clip(&format!("{n}.mp4")).await.unwrap();
            verified.extend(clip.verified_at.map(|_| clip.key.to_string()));
        }
        verified
    };
    let mut command = verify(&bed, &["--all"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("some are verified", async || !verified().await.is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let before = verified().await;
    assert!((before.len() as u64) < CLIPS, "it was done before it was killed");
    // What was read already is not read again: its damage shows in the next run.
    bed.raw.corrupt(&before[0]).await;
    let (code, problems, summary) = run(&bed, &["--all"]).await;
    assert_eq!((code, problems.len()), (0, 0), "{problems:?}");
    assert_eq!(summary["verified_earlier"].as_u64().unwrap() + summary["right"].as_u64().unwrap(), CLIPS);
    assert!(summary["verified_earlier"].as_u64().unwrap() >= before.len() as u64);
    let (code, problems, summary) = run(&bed, &["--all"]).await;
    assert_eq!((code, problems.len(), &problems[0].0), (1, 1, &before[0]));
    assert_eq!(summary["right"].as_u64().unwrap(), CLIPS - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_read_is_no_damage() {
    let bed = Bed::bucket(&[]).await;
    bed.store("c", &Media::named("silent.mp4")).await;
    let mut command = verify(&bed, &["--all", "--mend", "--json"]);
    command.env("AWS_SECRET_ACCESS_KEY", "wrong").env("AWS_ACCESS_KEY_ID", garage::ACCESS_KEY);
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(String::from_utf8_lossy(&out.stderr).contains("refused"), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(bed.clip("c.mp4").await.unwrap().state, ClipState::Stored);
    assert_eq!(bed.story("c.mp4").await.len(), 4);
    let mut command = verify(&bed, &[]);
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(out.status.code(), Some(2), "which clips must be said");
}
