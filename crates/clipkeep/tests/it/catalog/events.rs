//! What the world is told.

use std::{sync::Arc, time::Duration};

use clipkeep::catalog::{Catalog, Fault};
use clipkeep_core::{
    event::{Event, Position},
    generation::{Facts, HookRecord},
    state::GenerationStatus,
};

use super::{Bed, HOUR, at, ended, hook, key, on_both, queue::sealed, registration};

on_both![
    what_becomes_true_is_told_once_and_in_order,
    a_failed_generation_is_told_with_the_reason,
    a_clip_that_becomes_public_is_told_to_nodes,
    what_many_write_at_once_is_read_by_each_reader_exactly_once,
];

/// The `count` events after a position, and no more.
async fn told(catalog: &dyn Catalog, after: Position, count: usize) -> Vec<Event> {
    read(catalog, after, count).await.into_iter().map(|(_, event)| event).collect()
}

/// The same with their positions. On PostgreSQL they show when no older
/// transaction is open any more, and other tests' are: one server serves all.
pub(super) async fn read(catalog: &dyn Catalog, after: Position, count: usize) -> Vec<(Position, Event)> {
    let began = tokio::time::Instant::now();
    loop {
        let events = catalog.events(after, 100).await.unwrap();
        if events.len() >= count {
            assert_eq!(events.len(), count);
            return events;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{events:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Type, id of the generation or key, and detail.
fn words(events: &[Event]) -> Vec<(&str, &str, &str)> {
    events
        .iter()
        .map(|event| {
            let of = event.subject();
            (event.kind.as_str(), of, event.detail.as_deref().unwrap_or_default())
        })
        .collect()
}

async fn what_becomes_true_is_told_once_and_in_order(bed: Bed) {
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    catalog.record_hooks(&["s", "l", "r", "w"].map(hook)).await.unwrap();
    let node = "n".to_owned();
    let lease = async |id: &str| {
        let claim = catalog.claim(&key(&format!("{id}.mp4")), &node, at(0), Duration::from_secs(60)).await;
        claim.unwrap().unwrap().lease
    };
    let waits = lease("w").await;
    catalog.retry_later(&waits, ended(at(1)), at(HOUR), Fault::Elsewhere, "later").await.unwrap();
    catalog.release(&lease("w").await, ended(at(1))).await.unwrap();
    let stored = lease("s").await;
    catalog.seal(&stored, &sealed(), at(2)).await.unwrap();
    catalog.mark_stored(&stored, ended(at(2))).await.unwrap();
    // Asked again, because the answer was not heard.
    catalog.mark_stored(&stored, ended(at(2))).await.unwrap();
    catalog.mark_lost(&lease("l").await, ended(at(3)), "404").await.unwrap();
    catalog.mark_rejected(&lease("r").await, ended(at(4)), "HTML").await.unwrap();
    assert!(catalog.mark_lost(&waits, ended(at(5)), "a lease that is over").await.is_err());
    let events = told(&*catalog, before, 3).await;
    let expected = [("clip.stored", "s.mp4", ""), ("clip.lost", "l.mp4", "404"), ("clip.rejected", "r.mp4", "HTML")];
    assert_eq!(words(&events), expected);
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(2), at(3), at(4)]);
    let now = catalog.last_event().await.unwrap();
    assert_eq!(told(&*catalog, now, 0).await, []);
}

async fn a_failed_generation_is_told_with_the_reason(bed: Bed) {
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    let failed = |id: &str| HookRecord {
        status: GenerationStatus::Failed,
        error: Some("the prompt was refused".to_owned()),
        clips: Vec::new(),
        ..hook(id)
    };
    catalog.register(&registration("r", Facts::default())).await.unwrap();
    catalog.record_hooks(&[failed("r"), failed("new"), failed("r")]).await.unwrap();
    catalog.record_hooks(&[failed("new")]).await.unwrap();
    let told = told(&*catalog, before, 2).await;
    let why = "the prompt was refused";
    assert_eq!(words(&told), [("generation.failed", "r", why), ("generation.failed", "new", why)]);
}

async fn a_clip_that_becomes_public_is_told_to_nodes(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("c")]).await.unwrap();
    let before = catalog.last_event().await.unwrap();
    let facts = Facts { public: Some(true), ..Facts::default() };
    for _ in 0..2 {
        catalog.register(&registration("c", facts.clone())).await.unwrap();
    }
    assert_eq!(words(&told(&*catalog, before, 1).await), [("clip.revised", "c.mp4", "")]);
}

/// Transactions end in another order than they began: a reader who goes by
/// numbers alone would miss some.
async fn what_many_write_at_once_is_read_by_each_reader_exactly_once(bed: Bed) {
    const EACH: usize = 40;
    const WRITERS: usize = 6;
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    let read_all = async |catalog: Arc<dyn Catalog>, batch: u32| {
        let (mut at, mut ids) = (before, Vec::new());
        while ids.len() < WRITERS * EACH {
            for (position, event) in catalog.events(at, batch).await.unwrap() {
                assert!(position > at);
                at = position;
                ids.push(event.request_id().unwrap().clone());
            }
            tokio::task::yield_now().await;
        }
        ids
    };
    let write = |writer: usize| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move {
            for n in 0..EACH {
                let status = GenerationStatus::Failed;
                let failed = HookRecord { status, clips: Vec::new(), ..hook(&format!("{writer}-{n}")) };
                catalog.record_hooks(&[failed]).await.unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    let both = async { tokio::join!(read_all(Arc::clone(&catalog), 1), read_all(Arc::clone(&catalog), 7)) };
    let (one, seven) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(one, seven);
    let mut ids = one;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), WRITERS * EACH);
}
