//! Opening, migrating, reopening.

use clipkeep::catalog::open::{Database, OpenError, Rules, open};
use clipkeep_core::{secret::Secret, state::ClipState};

use super::{Bed, clip, hook, id, on_both, story};

on_both![
    reopening_keeps_everything,
    nodes_that_start_at_once_migrate_once,
    a_newer_schema_is_refused_untouched,
    an_unreadable_row_names_its_place,
];

async fn reopening_keeps_everything(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    super::queue::store(&*catalog, "r").await;
    let (row, told) = (clip(&*catalog, "r").await, story(&*catalog, "r").await);
    drop(catalog);
    let catalog = bed.open().await;
    assert_eq!((clip(&*catalog, "r").await, story(&*catalog, "r").await), (row, told));
    assert_eq!(catalog.count_by_state().await.unwrap(), [(ClipState::Stored, 1)]);
    assert!(catalog.generation(&id("r")).await.unwrap().is_some());
}

async fn nodes_that_start_at_once_migrate_once(bed: Bed) {
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let database = bed.database.clone();
            tokio::spawn(async move { open(&database, Rules::default()).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap().ping().await.unwrap();
    }
}

async fn a_newer_schema_is_refused_untouched(bed: Bed) {
    bed.open().await;
    bed.execute("INSERT INTO schema_migrations (version) VALUES (9999)").await;
    let Err(refused) = open(&bed.database, Rules::default()).await else { panic!("it was opened") };
    assert!(matches!(&refused, OpenError::TooNew(newer) if newer.found == 9999), "{refused}");
}

async fn an_unreadable_row_names_its_place(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    bed.execute("UPDATE clips SET policy = 'whenever'").await;
    let refused = catalog.clip(&super::key("r.mp4")).await.unwrap_err();
    assert_eq!(refused.to_string(), "table clips, row r.mp4: column policy is unreadable");
}

#[tokio::test]
async fn a_bad_postgres_url_is_refused_without_repeating_it() {
    for url in ["postgres://user:hunter2@host:port/x", "postgres://user:hunter2@host"] {
        let Err(refused) = open(&Database::Postgres(Secret::new(url.into())), Rules::default()).await else {
            panic!("{url} was opened")
        };
        assert!(
            matches!(refused, OpenError::BadUrl { .. }) && !format!("{refused:?}").contains("hunter2"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_unavailable() {
    let nobody = Database::Postgres(Secret::new("postgres://u:p@127.0.0.1:1/x".into()));
    assert!(matches!(open(&nobody, Rules::default()).await, Err(OpenError::Catalog(_))));
}
