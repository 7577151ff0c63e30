//! Looking many clips up, who fills one, and the byte counts of histories.

use std::time::Duration;

use clipkeep::catalog::{Attempt, ClipSummary, Fault, LeaseHolder, Quota};
use clipkeep_core::{
    policy::Policy,
    state::{ClipState, GenerationStatus},
};

use super::{Bed, HOUR, at, clip, hook, id, key, new_clip, on_both, queue::sealed};

on_both![
    outlines_are_those_of_the_generations_that_were_asked_for,
    the_holder_is_who_has_the_lease,
    every_attempt_tells_what_it_read,
    what_is_older_than_its_news_keeps_its_age_and_waits_its_turn,
];

const LEASE: Duration = Duration::from_secs(60);

async fn outlines_are_those_of_the_generations_that_were_asked_for(bed: Bed) {
    let catalog = bed.open().await;
    let mut two = hook("two");
    two.clips.push(new_clip("two", 1));
    two.facts.policy = Some(Policy::OnDemand);
    catalog.record_hooks(&[hook("a"), two.clone(), hook("b")]).await.unwrap();
    let mut found = catalog.clip_summaries(&[id("two"), id("unknown"), id("a")]).await.unwrap();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<_> = found.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["a.mp4", "two.1.mp4", "two.mp4"]);
    let row = clip(&*catalog, "two").await;
    let expected = ClipSummary {
        key: row.key,
        provider: row.provider,
        request_id: row.request_id,
        index: 0,
        slot: "/videos/0".into(),
        state: ClipState::Waiting,
        policy: Policy::OnDemand,
        source_url: row.source_url,
        due_at: None,
        attempts: 0,
        last_error: None,
        created_at: row.created_at,
        model: two.facts.model.clone(),
        tenant: two.facts.tenant.clone(),
    };
    assert_eq!(found[2], expected);
    assert!(catalog.clip_summaries(&[]).await.unwrap().is_empty());
}

async fn the_holder_is_who_has_the_lease(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let key = key("r.mp4");
    assert_eq!(catalog.lease_holder(&key).await.unwrap(), None);
    let claim = catalog.claim(&key, &"node7".into(), at(1), LEASE).await.unwrap().unwrap();
    assert_eq!(catalog.lease_holder(&key).await.unwrap(), Some(LeaseHolder { node: "node7".into(), until: at(61) }));
    catalog.release(&claim.lease, Attempt { at: at(2), bytes: 5 }).await.unwrap();
    assert_eq!(catalog.lease_holder(&key).await.unwrap(), None);
    assert_eq!(catalog.lease_holder(&"unknown.mp4".parse().unwrap()).await.unwrap(), None);
}

async fn every_attempt_tells_what_it_read(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&["lost", "rejected", "stored"].map(hook)).await.unwrap();
    let attempt = |bytes| Attempt { at: at(9), bytes };
    let take = async |name: &str| {
        catalog.claim(&key(&format!("{name}.mp4")), &"n".into(), at(1), LEASE).await.unwrap().unwrap().lease
    };
    catalog.mark_lost(&take("lost").await, attempt(0), "http_404").await.unwrap();
    catalog.mark_rejected(&take("rejected").await, attempt(512), "HTML").await.unwrap();
    catalog.retry_later(&take("stored").await, attempt(1), at(9), Fault::Elsewhere, "cut").await.unwrap();
    catalog.release(&take("stored").await, attempt(2)).await.unwrap();
    let lease = take("stored").await;
    catalog.seal(&lease, &sealed(), at(10)).await.unwrap();
    catalog.mark_stored(&lease, attempt(1 << 40)).await.unwrap();
    let told = async |name: &str| -> Vec<_> {
        let history = catalog.history(&key(&format!("{name}.mp4"))).await.unwrap();
        history.into_iter().filter(|one| one.event != "claimed").map(|one| (one.event, one.bytes)).collect()
    };
    let line = |event: &str, bytes| (event.to_owned(), bytes);
    assert_eq!(told("lost").await, [line("received", None), line("lost", Some(0))]);
    assert_eq!(told("rejected").await[1], line("rejected", Some(512)));
    let expected = [("received", None), ("retry", Some(1)), ("released", Some(2)), ("sealed", Some(1 << 40))];
    let mut expected: Vec<_> = expected.map(|(event, bytes)| line(event, bytes)).into();
    expected.push(line("stored", Some(1 << 40)));
    assert_eq!(told("stored").await, expected);
}

async fn what_is_older_than_its_news_keeps_its_age_and_waits_its_turn(bed: Bed) {
    let catalog = bed.open().await;
    let (mut old, mut deferred, mut early) = (hook("old"), hook("deferred"), hook("early"));
    old.created_at = Some(at(-900 * HOUR));
    deferred.created_at = Some(at(-HOUR));
    deferred.facts.policy = Some(Policy::Deferred);
    // Nobody's clock makes a clip younger than the news of it.
    early.created_at = Some(at(HOUR));
    catalog.record_hooks(&[old, deferred, early]).await.unwrap();
    let row = clip(&*catalog, "old").await;
    assert_eq!((row.created_at, row.due_at), (at(-900 * HOUR), Some(at(0))));
    assert_eq!(catalog.history(&row.key).await.unwrap()[0].at, at(0));
    let generation = catalog.generation(&id("old")).await.unwrap().unwrap();
    let told = (generation.status, generation.created_at, generation.completed_at);
    assert_eq!(told, (GenerationStatus::Completed, at(-900 * HOUR), Some(at(0))));
    assert_eq!(clip(&*catalog, "deferred").await.due_at, Some(at(23 * HOUR)));
    assert_eq!(clip(&*catalog, "early").await.created_at, at(0));
    assert_eq!(catalog.claim_due(&"n".into(), at(0), LEASE, Quota::halves(9)).await.unwrap().len(), 2);
}
