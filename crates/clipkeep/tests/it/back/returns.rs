//! The ways back: by hand, by the same webhook, by import, by the sweep, and by a
//! changed configuration.

use std::{fs, sync::Arc};

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    support::{app::TestApp, node::TOKEN},
};

async fn fill(t: &TestApp, key: &str) -> Value {
    let request = t.client.post(format!("{}/api/v1/clips/{key}/fill", t.url)).bearer_auth(&t.token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["fill"].clone()
}

async fn story(t: &TestApp, key: &str) -> Vec<String> {
    let history = t.app.catalog.history(&key.parse().unwrap()).await.unwrap();
    history.into_iter().map(|line| line.event).collect()
}

/// Ways in which a source fails for good, and how its clip ends.
fn faults() -> [(&'static str, Fault, ClipState); 3] {
    [
        ("gone", Fault::status(404), ClipState::Lost),
        ("page", Fault::page("text/html", "<html>come back later</html>"), ClipState::Rejected),
        ("text", Fault { body: Some("no media at all".into()), ..Fault::default() }, ClipState::Rejected),
    ]
}

async fn ended(t: &TestApp) -> Vec<(&'static str, String, ClipState)> {
    let mut all = Vec::new();
    for (id, fault, state) in faults() {
        let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(fault));
        t.hook(id, &source, "?model=m").await;
        t.until(&format!("{id}.mp4"), state).await;
        all.push((id, source, state));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_fill_brings_a_clip_back_and_says_so() {
    let t = TestApp::with(&[("not_found_attempts", "1".into())]).await;
    for (id, source, state) in ended(&t).await {
        let key = format!("{id}.mp4");
        assert_eq!(fill(&t, &key).await, "restarted");
        // The cause is still there.
        t.until(&key, state).await;
        t.sim.set_faults(&source, Faults::none());
        assert_eq!(fill(&t, &key).await, "restarted");
        t.until(&key, ClipState::Stored).await;
        assert_eq!(fill(&t, &key).await, "nothing_to_do");
        let link = t.client.get(t.link(&key)).send().await.unwrap();
        assert_eq!(link.status(), 200);
        let told = story(&t, &key).await;
        assert_eq!(told.iter().filter(|word| *word == "requeued").count(), 2, "{told:?}");
    }
    let (_, out, _) = clipkeep(&t.sim, t.data.path(), &["explain", "page.mp4"], &[]);
    assert!(out.contains("the clip is tried again from its source (was rejected; by request)"), "{out}");
    let delete = t.client.delete(format!("{}/api/v1/clips/page.mp4", t.url)).bearer_auth(&t.token);
    assert_eq!(delete.send().await.unwrap().status(), 204);
    assert_eq!(fill(&t, "page.mp4").await, "nothing_to_do");
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_the_same_webhook_brings_a_clip_back_but_does_not_hammer_its_source() {
    let t = TestApp::with(&[("not_found_attempts", "1".into())]).await;
    for (id, source, state) in ended(&t).await {
        let key = format!("{id}.mp4");
        // A provider that repeats itself has the source asked once more, and no more
        // for the next minute.
        assert_eq!(t.hook(id, &source, "?model=m").await.status(), 200);
        t.until(&key, state).await;
        let asked = t.sim.requests_for(&source).len();
        for _ in 0..5 {
            assert_eq!(t.hook(id, &source, "?model=m").await.status(), 200);
        }
        let row = t.until(&key, ClipState::Waiting).await;
        assert!(row.due_at.unwrap() > t.app.clock.now().plus(std::time::Duration::from_secs(30)));
        assert_eq!(t.sim.requests_for(&source).len(), asked, "{id}");
    }
    let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(410)));
    t.hook("mended", &source, "").await;
    t.until("mended.mp4", ClipState::Lost).await;
    t.sim.set_faults(&source, Faults::none());
    t.hook("mended", &source, "").await;
    t.until("mended.mp4", ClipState::Stored).await;
    assert_eq!(story(&t, "mended.mp4").await[..5], ["received", "claimed", "lost", "returned", "claimed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_a_clip_whose_host_is_allowed_now_comes_back_by_itself() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let elsewhere = [("source_hosts", "media.example".to_owned()), ("not_found_attempts", "1".to_owned())];
    let t = TestApp::on(sim, data, &elsewhere, &[]).await;
    let file = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook("host", &file, "").await;
    t.hook("other", "https://another.example/b.mp4", "").await;
    t.until("host.mp4", ClipState::Rejected).await;
    t.until("other.mp4", ClipState::Rejected).await;
    // Asked for by hand, it ends as before, and the answer says what was done.
    assert_eq!(fill(&t, "host.mp4").await, "restarted");
    t.until("host.mp4", ClipState::Rejected).await;
    let (sim, data) = t.stop().await;
    // Another start without a change brings nothing back.
    let t = TestApp::on(sim, data, &elsewhere, &[]).await;
    assert_eq!(t.app.sweep.round().await.allowed, 0);
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[], &[]).await;
    t.until("host.mp4", ClipState::Stored).await;
    t.until("other.mp4", ClipState::Rejected).await;
    let told = story(&t, "host.mp4").await;
    assert_eq!(told[told.len() - 5..], ["rejected", "requeued", "claimed", "sealed", "stored"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_so_does_one_whose_redirect_or_scheme_is_allowed_now() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let data = Arc::new(tempfile::tempdir().unwrap());
    // The same host by another name: the redirect's is allowed later.
    let media = Media::named("silent.mp4");
    let there = sim.add_file("there.mp4", media.clone()).replace("127.0.0.1", "localhost");
    let from = sim.add_faulty_file("from.mp4", media.clone(), Faults::always(Fault::redirect(&there)));
    let t = TestApp::on(sim, data, &[("not_found_attempts", "1".to_owned())], &[]).await;
    t.hook("redirect", &from, "").await;
    t.until("redirect.mp4", ClipState::Lost).await;
    let (sim, data) = t.stop().await;
    let no_http = [("source_allow_http", "false".to_owned())];
    let t = TestApp::on(sim, data, &no_http, &[]).await;
    t.hook("scheme", &t.sim.add_file("b.mp4", media), "").await;
    t.until("scheme.mp4", ClipState::Rejected).await;
    assert_eq!(t.app.catalog.clip(&"redirect.mp4".parse().unwrap()).await.unwrap().unwrap().state, ClipState::Lost);
    let (sim, data) = t.stop().await;
    let both = [("source_hosts", "127.0.0.1,localhost".to_owned())];
    let t = TestApp::on(sim, data, &both, &[]).await;
    t.until("scheme.mp4", ClipState::Stored).await;
    t.until("redirect.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_sweep_retries_what_its_filters_name() {
    let t = TestApp::with(&[("not_found_attempts", "1".into())]).await;
    let all = ended(&t).await;
    let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
    t.hook("acme", &source, "?tenant=acme").await;
    t.until("acme.mp4", ClipState::Lost).await;
    let run = |args: &[&str]| {
        let args = [&["sweep", "--json", "--retry"], args].concat();
        let (code, out, errors) = clipkeep(&t.sim, t.data.path(), &args, &[("CLIPKEEP_NOT_FOUND_ATTEMPTS", "1")]);
        assert_eq!(code, 0, "{out} {errors}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    for (args, expected) in [
        (&["lost,rejected"][..], 4),
        (&["lost"], 2),
        (&["rejected"], 2),
        (&["lost", "--tenant", "acme"], 1),
        (&["lost,rejected", "--model", "m"], 3),
        (&["lost,rejected", "--model", "other"], 0),
        (&["lost,rejected", "--created-before", "2026-01"], 0),
        (&["lost,rejected", "--created-after", "2026-01"], 4),
        (&["lost,rejected", "--reason", "SENT HTML"], 1),
        (&["lost,rejected", "--limit", "1"], 1),
    ] {
        let would = run(&[args, &["--dry-run"]].concat());
        assert_eq!(would["would_retry"], expected, "{args:?}: {would}");
        assert_eq!(would["first"].as_array().unwrap().len(), expected, "{args:?}");
    }
    assert_eq!(t.app.catalog.count_by_state().await.unwrap().iter().map(|(_, count)| count).sum::<u64>(), 4);
    for (_, source, _) in &all {
        t.sim.set_faults(source, Faults::none());
    }
    assert_eq!(run(&["lost,rejected", "--model", "m"])["retried"], 3);
    for (id, ..) in &all {
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    }
    t.until("acme.mp4", ClipState::Lost).await;
    let refused = |args: &[&str]| clipkeep(&t.sim, t.data.path(), &[&["sweep"], args].concat(), &[]);
    let (code, _, errors) = refused(&["--retry", "stored"]);
    assert!(code == 2 && errors.contains("must be lost, rejected, or both"), "{errors}");
    assert_eq!(refused(&["--model", "m"]).0, 2);
    assert_eq!(refused(&["--retry", "lost", "--adopt"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_an_import_brings_back_what_it_names() {
    let t = TestApp::with(&[("not_found_attempts", "1".into())]).await;
    let all = ended(&t).await;
    let table = t.data.path().join("urls.csv");
    let lines: String = all.iter().map(|(id, source, _)| format!("{source},{id}\n")).collect();
    fs::write(&table, format!("url,request_id\n{lines}")).unwrap();
    let import = || {
        let args = ["import", "--json", table.to_str().unwrap()];
        let (_, out, errors) = clipkeep(&t.sim, t.data.path(), &args, &[("CLIPKEEP_NOT_FOUND_ATTEMPTS", "1")]);
        serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{out} {errors}"))
    };
    let told = import();
    assert_eq!((&told["lost"], &told["rejected"]), (&json!(1), &json!(2)), "{told}");
    for (_, source, _) in &all {
        t.sim.set_faults(source, Faults::none());
    }
    let told = import();
    assert_eq!((&told["already_kept"], &told["lines"]), (&json!(3), &json!(3)), "{told}");
    assert_eq!(import(), told, "what is stored is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn k24_a_source_that_is_missing_may_still_be_on_its_way() {
    let settings = [("not_found_attempts", "2".to_owned()), ("not_found_timeout", "1h".to_owned())];
    let t = TestApp::with(&settings).await;
    let missing = [404, 403, 410].map(|status| {
        t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(status)))
    });
    // By a webhook.
    for (n, source) in missing.iter().enumerate() {
        t.hook(&format!("hook{n}"), source, "").await;
    }
    // By import: the second line's clip is old, so nothing is on its way any more.
    let late = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
    let old = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
    let table = t.data.path().join("urls.csv");
    fs::write(&table, format!("url,request_id,created_at\n{late},late,\n{old},old,2026-01-31\n")).unwrap();
    let args = ["import", "--json", table.to_str().unwrap()];
    let env = [("CLIPKEEP_NOT_FOUND_ATTEMPTS", "2"), ("CLIPKEEP_NOT_FOUND_TIMEOUT", "1h")];
    let (code, out, errors) = clipkeep(&t.sim, t.data.path(), &args, &env);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {errors}"));
    assert_eq!((code, &told["lost"], &told["later"]), (1, &json!(1), &json!(1)), "{told}");
    for n in 0..3 {
        let key = format!("hook{n}.mp4").parse().unwrap();
        let row = t.app.catalog.clip(&key).await.unwrap().unwrap();
        assert!(matches!(row.state, ClipState::Waiting | ClipState::Filling) && row.misses >= 2, "{row:?}");
    }
    // The upload is over.
    for source in missing.iter().chain([&late]) {
        t.sim.set_faults(source, Faults::none());
    }
    for id in ["hook0", "hook1", "hook2", "late"] {
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k20_k21_a_table_with_an_open_quote_and_nulls_loses_no_line() {
    let t = TestApp::start().await;
    let url = |name: &str| t.sim.add_file(name, Media::named("silent.mp4"));
    let urls: Vec<String> = (0..6).map(|n| url(&format!("{n}.mp4"))).collect();
    let table = t.data.path().join("urls.csv");
    let text = format!(
        "url,request_id,prompt,seed\n{},a,NULL,NULL\n{},b,\"open,7\n{},c,\\N,\\N\n{},d,\"two\nlines\",8\n{},e,\"NULL\",\n{},f,\"never closed,9",
        urls[0], urls[1], urls[2], urls[3], urls[4], urls[5]
    );
    fs::write(&table, text).unwrap();
    let args = ["import", "--json", table.to_str().unwrap()];
    let (code, out, errors) = clipkeep(&t.sim, t.data.path(), &args, &[]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {errors}"));
    assert_eq!(
        (code, &told["lines"], &told["kept"], &told["bad_lines"]),
        (1, &json!(6), &json!(4), &json!(2)),
        "{told}"
    );
    for (id, prompt, seed) in
        [("a", None, None), ("c", None, None), ("d", Some("two\nlines"), Some(8_u64.into())), ("e", Some("NULL"), None)]
    {
        let row = t.app.catalog.clip(&format!("{id}.mp4").parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((row.facts.prompt.as_deref(), row.facts.seed), (prompt, seed), "{id}");
    }
    let rejects = fs::read_to_string(told["rejects"].as_str().unwrap()).unwrap();
    let lines: Vec<&str> = rejects.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(lines, ["line", "3", "8"], "{rejects}");
    assert_eq!(t.token, TOKEN);
}
