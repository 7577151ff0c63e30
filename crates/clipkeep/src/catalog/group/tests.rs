use std::path::Path;

use clipkeep_core::{
    generation::{Facts, Hearsay, Kind, NewClip, Origin},
    id::Provider,
    secret::SourceUrl,
    state::GenerationStatus,
    time::Timestamp,
};

use super::{
    super::{rules::Rules, sqlite::SqliteCatalog},
    *,
};

/// What a webhook of one clip says.
pub(crate) fn hook(provider: &str, id: &str) -> HookRecord {
    HookRecord {
        provider: provider.parse().unwrap(),
        request_id: id.parse().unwrap(),
        status: GenerationStatus::Completed,
        error: None,
        facts: Facts::default(),
        hearsay: Hearsay::default(),
        clips: vec![NewClip {
            key: format!("{id}.mp4").parse().unwrap(),
            index: 0,
            slot: "/video".to_owned(),
            source_url: SourceUrl::new("https://source.example/a.mp4"),
            kind: Kind::Video,
            content_type: "video/mp4".to_owned(),
            source_expires_at: None,
        }],
        unread: None,
        received_at: Timestamp::from_secs(1),
        created_at: None,
        origin: Origin::Webhook,
    }
}

async fn catalog(folder: &Path) -> Arc<dyn Catalog> {
    Arc::new(SqliteCatalog::open(&folder.join("clipkeep.db"), Rules::default()).await.unwrap())
}

#[tokio::test]
async fn case_29_one_hundred_duplicates_at_once_are_one_clip() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let writer = HookWriter::start(Arc::clone(&catalog), HookLimits::default());
    let all = futures_util::future::join_all((0..100).map(|_| writer.record(hook("fal", "r")))).await;
    let new = all.iter().filter(|one| matches!(one, Ok(HookOutcome::Recorded { .. }))).count();
    let known = all.iter().filter(|one| matches!(one, Ok(HookOutcome::Duplicate))).count();
    assert_eq!((new, known), (1, 99));
    assert_eq!(catalog.history(&"r.mp4".parse().unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_taken_key_fails_its_own_webhook_only() {
    let folder = tempfile::tempdir().unwrap();
    let writer = HookWriter::start(catalog(folder.path()).await, HookLimits::default());
    let hooks = [hook("fal", "a"), hook("replicate", "a"), hook("fal", "b")];
    let all = futures_util::future::join_all(hooks.map(|hook| writer.record(hook))).await;
    assert!(matches!(all[0], Ok(HookOutcome::Recorded { .. })), "{all:?}");
    let taken = Provider::fal();
    assert!(matches!(&all[1], Err(CatalogError::KeyTaken { provider, .. }) if *provider == taken), "{all:?}");
    assert!(matches!(all[2], Ok(HookOutcome::Recorded { .. })), "{all:?}");
}

#[tokio::test]
async fn case_33_a_full_queue_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let limits = HookLimits { queue: 1, ..HookLimits::default() };
    let writer = HookWriter::start(catalog(folder.path()).await, limits);
    // Nothing is awaited in between, so the task has not run yet.
    let (first, second) = (writer.record(hook("fal", "a")), writer.record(hook("fal", "b")));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok(), "{first:?}");
    assert!(matches!(second, Err(CatalogError::Unavailable { .. })), "{second:?}");
}

#[tokio::test]
async fn shutdown_commits_what_waits_even_for_callers_that_left() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let writer = HookWriter::start(Arc::clone(&catalog), HookLimits { batch: 2, ..HookLimits::default() });
    for id in ["a", "b", "c", "d", "e"] {
        let mut record = Box::pin(writer.record(hook("fal", id)));
        assert!(futures_util::poll!(&mut record).is_pending());
    }
    writer.shutdown().await;
    for id in ["a", "b", "c", "d", "e"] {
        assert!(catalog.generation(&id.parse().unwrap()).await.unwrap().is_some(), "{id}");
    }
    let late = writer.record(hook("fal", "f")).await;
    assert!(matches!(late, Err(CatalogError::Unavailable { .. })), "{late:?}");
}
