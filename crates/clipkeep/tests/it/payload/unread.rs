//! Results that are not understood: kept, told, and read again.

use std::sync::Arc;

use clipkeep_core::{
    generation::{Facts, Hearsay, HookRecord, Origin},
    hook::{Form, Unread},
    id::Provider,
    state::{ClipState, GenerationStatus},
};
use fal_sim::Media;
use serde_json::{Value, json};

use super::{status, told};
use crate::{cli::clipkeep, support::app::TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_understood_is_never_completed_and_is_told() {
    let t = TestApp::start().await;
    let before = t.app.catalog.last_event().await.unwrap();
    let good = t.sim.add_file("a.png", Media::named("still.png"));
    let payload = json!({"video": {"url": "gs://bucket/secret.mp4"}, "image": {"url": good}});
    assert_eq!(told(&t, "r", &payload).await, 1);
    assert_eq!(told(&t, "config", &json!({"config_file": {"url": "https://h.example/c.json"}})).await, 0);
    assert_eq!(told(&t, "words", &json!({"output": "Once upon a time", "tokens": 17})).await, 0);
    t.until("r.png", ClipState::Stored).await;
    assert_eq!(status(&t, "r").await, GenerationStatus::Unreadable);
    assert_eq!(status(&t, "config").await, GenerationStatus::Unreadable);
    assert_eq!(status(&t, "words").await, GenerationStatus::Completed);
    let events = t.app.catalog.events(before, 100).await.unwrap();
    let told: Vec<_> = events.iter().filter(|(_, event)| event.kind.as_str() == "generation.unreadable").collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(_, event)| !format!("{event:?}").contains("://")), "{told:?}");
    // Admins see what it was; a tenant's answer has no source.
    let row = t.api("/api/v1/generations/r").await;
    assert_eq!(
        (&row["status"], &row["unreadable"]["why"]),
        (&json!("unreadable"), &json!("/video has a URL that is not http or https"))
    );
    assert!(row["unreadable"]["payload"].as_str().unwrap().contains("gs://bucket/secret.mp4"));
    let metrics =
        t.client.get(format!("{}/metrics", t.url)).bearer_auth(&t.token).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("clipkeep_unreadable_total{outcome=\"webhook\"} 2"), "{metrics}");
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);
    let (code, out, _) = run(&["--json", "find", "--unreadable"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, found["unreadable"].as_array().unwrap().len()), (0, 2), "{out}");
    assert!(!out.contains("gs://"), "{out}");
    let (code, out, _) = run(&["find", "r", "--unreadable"]);
    assert!(code == 0 && out.contains("gs://bucket/secret.mp4"), "{out}");
    for what in ["r.png", "config"] {
        let (code, out, _) = run(&["explain", what]);
        assert!(code == 0 && out.contains("understood"), "{what}: {out}");
    }
    let (code, out, _) = run(&["--json", "sweep", "--reread"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["unreadable"].clone()), (0, json!(2)), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_a_later_version_reads_what_an_earlier_one_kept() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let now = t.app.clock.now();
    // As a version would have left it that did not know this shape.
    for (id, form) in [("hook", Form::Webhook), ("result", Form::Result)] {
        let payload = json!({"video": {"url": clip}, "seed": 7});
        let body = match form {
            Form::Webhook => t.sim.webhook_body(id, &payload),
            Form::Result => payload.to_string().into_bytes(),
        };
        let record = HookRecord {
            provider: Provider::fal(),
            request_id: id.parse().unwrap(),
            status: GenerationStatus::Unreadable,
            error: Some("not understood".to_owned()),
            facts: Facts::default(),
            hearsay: Hearsay::default(),
            clips: Vec::new(),
            unread: Some(Arc::new(Unread::new("not understood", form, &body.into()))),
            received_at: now,
            created_at: None,
            origin: Origin::Webhook,
        };
        t.app.catalog.record_hooks(&[record]).await.unwrap();
    }
    let report = t.app.sweep.reread().await.unwrap();
    assert_eq!((report.looked_at, report.understood, report.clips), (2, 2, 2));
    for id in ["hook", "result"] {
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(status(&t, id).await, GenerationStatus::Completed);
    }
    assert_eq!(t.app.sweep.reread().await.unwrap().looked_at, 0);
    let history = t.app.catalog.history(&"hook.mp4".parse().unwrap()).await.unwrap();
    assert!(history[0].detail.as_ref().unwrap().contains("kept unread"), "{history:?}");
}
