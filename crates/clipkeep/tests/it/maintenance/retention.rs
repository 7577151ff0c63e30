//! Clips that are over their age.

use std::time::Duration;

use clipkeep::sweep::retention::{RetentionReport, RetentionWalk};
use clipkeep_core::{event::EventType, state::ClipState};
use fal_sim::Media;

use super::{Bed, in_both};

in_both![clips_over_their_age_are_deleted_by_tenant_and_model];

const DAY: u64 = 24 * 3600;

async fn step(bed: &Bed, days: u64) -> RetentionReport {
    let (app, now) = (&bed.t.app, bed.t.app.clock.now().plus(Duration::from_secs(days * DAY)));
    let mut walk = RetentionWalk::default();
    walk.step(&*app.catalog, &app.custody, &app.config.retention, now, app.config.lease, 10).await.unwrap()
}

async fn clips_over_their_age_are_deleted_by_tenant_and_model(bed: Bed) {
    // Without rules nothing goes.
    bed.store("old", &Media::named("silent.mp4")).await;
    assert_eq!(step(&bed, 9999).await, RetentionReport { done: true, ..RetentionReport::default() });
    drop(bed);

    let rules = "tenant=museum:never, tenant=trial:30d, model=draft*:7d, *:365d";
    let bed = Bed::folder(&[("retention", rules.to_owned())]).await;
    let media = |seed| Media::padded(100_000, seed);
    for (seed, (id, query)) in (0..).zip([
        ("museum", "?tenant=museum&model=draft"),
        ("trial", "?tenant=trial&model=draft"),
        ("draft", "?model=draft/fast"),
        ("rest", ""),
    ]) {
        bed.store_as(id, &media(seed), query).await;
    }
    // Waits: no clip that is kept.
    let source = bed.t.sim.add_file("a.mp4", media(9));
    bed.t.hook("waits", &source, "?model=draft&policy=on_demand").await;
    for (days, gone, deleted) in [(6, None, 0), (8, Some("draft"), 1), (31, Some("trial"), 1), (366, Some("rest"), 1)] {
        assert_eq!(step(&bed, days).await.deleted, deleted, "{days}");
        if let Some(id) = gone {
            let key = format!("{id}.mp4");
            assert_eq!(bed.clip(&key).await.unwrap().state, ClipState::Deleted);
            assert!(bed.raw.get(&key).await.is_none());
            assert_eq!(bed.events(&key).await, [EventType::ClipStored, EventType::ClipDeleted]);
        }
    }
    assert_eq!(step(&bed, 9999).await.deleted, 0);
    assert_eq!(bed.get("museum.mp4").await.status(), 200);
    assert_eq!(bed.clip("waits.mp4").await.unwrap().state, ClipState::Waiting);
    let history = bed.t.api("/api/v1/clips/trial.mp4/history").await;
    let last = history["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["event"].as_str(), last["detail"].as_str()), (Some("deleted"), Some("retention: older than 30d")));
}

/// Most are kept for ever, and are met again and again: each step is bounded,
/// and the next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_from_step_to_step() {
    let bed = Bed::folder(&[("retention", "tenant=museum:never, *:1d".to_owned())]).await;
    let db = rusqlite::Connection::open(bed.t.data.path().join("clipkeep.db")).unwrap();
    db.execute_batch(
        "CREATE TEMP TABLE n AS WITH RECURSIVE n (value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n LIMIT 1101)
            SELECT value FROM n;
        INSERT INTO generations (provider, request_id, status, created_at)
            SELECT 'fal', value, 'completed', value FROM n;
        INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, tenant,
            epoch, created_at, queued, fence, attempts, size, sha256, sealed_kind, sealed_content_type, stored_at)
            SELECT value || '.mp4', 'fal', value, 0, '', 'x', 'video', 'video/mp4', 'stored', 'eager',
            iif(value = 1101, 'acme', 'museum'), 1, value, 0, 1, 1, 1, 'x', 'video', 'video/mp4', 1
            FROM n;",
    )
    .unwrap();
    let mut walk = RetentionWalk::default();
    for (looked_at, deleted, done) in [(500, 0, false), (500, 0, false), (101, 1, true), (500, 0, false)] {
        let (app, now) = (&bed.t.app, bed.t.app.clock.now());
        let report =
            walk.step(&*app.catalog, &app.custody, &app.config.retention, now, app.config.lease, 1).await.unwrap();
        assert_eq!(report, RetentionReport { looked_at, deleted, done });
    }
}
