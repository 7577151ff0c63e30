//! In which order events are read on PostgreSQL, where transactions end in any.

use clipkeep::catalog::{Catalog, open::Database};
use clipkeep_core::event::Position;

use super::{Bed, outbox::tell};
use crate::support::postgres;

/// An event of our own, written by hand in a transaction that stays open.
const TELL: &str = "INSERT INTO events (at, type, provider, request_id) VALUES (1, 'clip.stored', 'fal', 'open')";

async fn names(catalog: &dyn Catalog, after: Position) -> Vec<String> {
    let events = catalog.events(after, 1000).await.unwrap();
    events.into_iter().map(|(_, event)| event.request_id().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn h49_a_long_transaction_of_anybody_else_holds_no_event_back() {
    let bed = Bed::postgres().await;
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    let Database::Postgres(url) = &bed.database else { unreachable!() };
    let elsewhere = postgres::database().await;
    let (mut beside, mut other) = (postgres::connect(url.expose()).await, postgres::connect(&elsewhere).await);
    let (one, two) = (beside.transaction().await.unwrap(), other.transaction().await.unwrap());
    // One writes in this very database, one in another of the server; and one
    // of ours writes, but tells nothing.
    for open in [&one, &two] {
        open.batch_execute("CREATE TABLE theirs (n BIGINT); INSERT INTO theirs VALUES (1)").await.unwrap();
    }
    one.batch_execute("SELECT pg_advisory_xact_lock(1, 2); UPDATE endpoints SET lease_until = 0").await.unwrap();
    tell(&bed, &["r", "s"]).await;
    assert_eq!(names(&*catalog, before).await, ["r", "s"]);
    let start = catalog.last_event().await.unwrap();
    tell(&bed, &["t"]).await;
    assert_eq!(names(&*catalog, start).await, ["t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn h49_an_open_transaction_of_ours_holds_back_what_comes_after_it() {
    let bed = Bed::postgres().await;
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    let Database::Postgres(url) = &bed.database else { unreachable!() };
    let mut beside = postgres::connect(url.expose()).await;
    tell(&bed, &["r"]).await;
    for ends in [true, false] {
        let open = beside.transaction().await.unwrap();
        open.batch_execute(TELL).await.unwrap();
        tell(&bed, &["s"]).await;
        open.batch_execute(TELL).await.unwrap();
        let seen = names(&*catalog, before).await;
        assert_eq!(seen.last().map(String::as_str), Some(if ends { "r" } else { "open" }), "{seen:?}");
        if ends {
            open.commit().await.unwrap();
            assert_eq!(names(&*catalog, before).await, ["r", "open", "s", "open"]);
        } else {
            open.rollback().await.unwrap();
            assert_eq!(names(&*catalog, before).await, ["r", "open", "s", "open", "s"]);
        }
    }
}

/// Writers that draw their numbers and commit in any order, and one who reads on
/// from where it was: each event once, none passed over.
#[tokio::test(flavor = "multi_thread")]
async fn h49_who_reads_on_misses_none_of_many_writers_events() {
    const WRITERS: usize = 8;
    const EACH: usize = 60;
    let bed = Bed::postgres().await;
    let catalog = bed.open().await;
    let mut at = catalog.last_event().await.unwrap();
    let Database::Postgres(url) = &bed.database else { unreachable!() };
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut client = postgres::connect(url.expose()).await;
        writers.spawn(async move {
            for number in 0..EACH {
                let tx = client.transaction().await.unwrap();
                // What it is held up by differs.
                tx.batch_execute(&format!("SELECT pg_sleep({})", (writer * number % 7) as f64 / 1000.0)).await.unwrap();
                tx.batch_execute(TELL).await.unwrap();
                tx.batch_execute(&format!("SELECT pg_sleep({})", (writer + number) as f64 % 5.0 / 1000.0))
                    .await
                    .unwrap();
                tx.batch_execute(TELL).await.unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    let (mut seen, mut done) = (std::collections::BTreeSet::new(), false);
    loop {
        let events = catalog.events(at, 50).await.unwrap();
        for (position, _) in &events {
            assert!(*position > at && seen.insert(position.id), "{position:?} after {at:?}");
            at = *position;
        }
        if events.is_empty() && done {
            break;
        }
        done = writers.is_empty();
        while let Some(ended) = writers.try_join_next() {
            ended.unwrap();
        }
    }
    assert_eq!(seen.len(), 2 * WRITERS * EACH);
}
