use rusqlite::types::Value as Cell;

use super::*;

struct Bed {
    catalog: SqliteCatalog,
    folder: tempfile::TempDir,
}

async fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&folder.path().join("new/clipkeep.db"), Rules::default()).await.unwrap();
    Bed { catalog, folder }
}

fn hook(id: &str, prompt: &str) -> HookRecord {
    let request_id: RequestId = id.parse().unwrap();
    HookRecord {
        provider: clipkeep_core::id::Provider::fal(),
        status: clipkeep_core::state::GenerationStatus::Completed,
        error: None,
        facts: clipkeep_core::generation::Facts { prompt: Some(prompt.to_owned()), ..Default::default() },
        hearsay: clipkeep_core::generation::Hearsay::default(),
        clips: Vec::new(),
        unread: None,
        received_at: Timestamp::from_secs(1),
        created_at: None,
        origin: clipkeep_core::generation::Origin::Webhook,
        request_id,
    }
}

async fn pragma(catalog: &SqliteCatalog, sql: &'static str) -> Cell {
    let ask = move |tx: &Connection| Ok(tx.query_row(sql, (), |row| row.get(0))?);
    catalog.writer.write("asking a pragma", ask).await.unwrap()
}

#[tokio::test]
async fn case_40_a_commit_that_returns_is_synced_to_the_log() {
    let bed = bed().await;
    assert_eq!(pragma(&bed.catalog, "PRAGMA synchronous").await, Cell::Integer(2));
    assert_eq!(pragma(&bed.catalog, "PRAGMA journal_mode").await, Cell::Text("wal".to_owned()));
    assert_eq!(pragma(&bed.catalog, "PRAGMA foreign_keys").await, Cell::Integer(1));
}

#[tokio::test]
async fn case_40_a_lease_is_not_synced_and_whatever_comes_after_it_is() {
    let bed = bed().await;
    let ask = |tx: &Connection| Ok(tx.query_row("PRAGMA synchronous", (), |row| row.get::<_, i64>(0))?);
    for _ in 0..2 {
        assert_eq!(bed.catalog.writer.write_unsynced("asking", ask).await.unwrap(), 1);
        assert_eq!(bed.catalog.writer.write("asking", ask).await.unwrap(), 2);
    }
    // Together they share one commit, and that is synced.
    let (go_on, wait) = std::sync::mpsc::channel();
    let busy = bed.catalog.writer.write_unsynced("waiting", move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let (busy, lease, row, ()) = tokio::join!(
        busy,
        bed.catalog.writer.write_unsynced("asking", ask),
        bed.catalog.writer.write("asking", ask),
        async move { go_on.send(()).unwrap() }
    );
    busy.unwrap();
    assert_eq!((lease.unwrap(), row.unwrap()), (2, 2));
}

#[tokio::test]
async fn case_33_a_full_disk_is_an_error_and_harms_nothing() {
    let bed = bed().await;
    bed.catalog.record_hooks(&[hook("before", "")]).await.unwrap();
    let Cell::Integer(pages) = pragma(&bed.catalog, "PRAGMA page_count").await else { panic!() };
    let limit = move |tx: &Connection| {
        Ok(tx.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |row| row.get::<_, i64>(0))?)
    };
    bed.catalog.writer.write("filling the disk", limit).await.unwrap();
    let big = hook("big", &"x".repeat(200 << 10));
    let refused = bed.catalog.record_hooks(std::slice::from_ref(&big)).await;
    assert!(matches!(refused, Err(CatalogError::Unavailable { .. })), "{refused:?}");
    assert_eq!(bed.catalog.generation(&"big".parse().unwrap()).await.unwrap(), None);
    assert!(bed.catalog.generation(&"before".parse().unwrap()).await.unwrap().is_some());

    pragma(&bed.catalog, "PRAGMA max_page_count = 1073741823").await;
    bed.catalog.record_hooks(&[big]).await.unwrap();
    assert!(bed.catalog.generation(&"big".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_that_fails_takes_no_other_of_its_commit_along() {
    let bed = bed().await;
    // Holds the writer, so that the writes below wait and share one commit.
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (reached, at_gate) = tokio::sync::oneshot::channel::<()>();
    let held = bed.catalog.writer.write("holding", move |_| {
        reached.send(()).unwrap();
        gate.recv().unwrap();
        Ok(())
    });
    let (good, bad) = (hook("good", ""), hook("bad", ""));
    let rules = Rules::default();
    let fails = bed.catalog.writer.write("failing", move |tx| -> Result<()> {
        record::hooks(tx, &rules, &[bad])?;
        Err(CatalogError::LeaseLost { key: "k.mp4".parse().unwrap() })
    });
    let goods = [good];
    let works = bed.catalog.record_hooks(&goods);
    let opens = async {
        at_gate.await.unwrap();
        open.send(()).unwrap();
    };
    let (held, failed, worked, ()) = tokio::join!(held, fails, works, opens);
    held.unwrap();
    worked.unwrap();
    assert!(matches!(failed, Err(CatalogError::LeaseLost { .. })), "{failed:?}");
    assert!(bed.catalog.generation(&"good".parse().unwrap()).await.unwrap().is_some());
    assert_eq!(bed.catalog.generation(&"bad".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn another_process_reads_beside_an_open_write() {
    let bed = bed().await;
    bed.catalog.record_hooks(&[hook("seen", "")]).await.unwrap();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (reached, at_gate) = tokio::sync::oneshot::channel::<()>();
    let held = bed.catalog.writer.write("holding", move |_| {
        reached.send(()).unwrap();
        gate.recv().unwrap();
        Ok(())
    });
    let reads = async {
        at_gate.await.unwrap();
        let other = SqliteCatalog::open(&bed.folder.path().join("new/clipkeep.db"), Rules::default()).await.unwrap();
        let seen = other.generation(&"seen".parse().unwrap()).await.unwrap();
        open.send(()).unwrap();
        seen
    };
    let (held, seen) = tokio::join!(held, reads);
    held.unwrap();
    assert!(seen.is_some());
}

/// Holds the file's write lock from outside for a while.
fn lock(bed: &Bed, span: std::time::Duration) -> tokio::task::JoinHandle<()> {
    let file = Connection::open(bed.folder.path().join("new/clipkeep.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(span).await;
        file.execute_batch("ROLLBACK").unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn h27_a_webhook_hears_soon_that_the_file_is_locked_and_all_else_waits() {
    let bed = bed().await;
    let held = lock(&bed, BUSY_TIMEOUT + std::time::Duration::from_secs(2));
    let hooks = [hook("a", "p")];
    let (webhook, other, also) = tokio::join!(
        bed.catalog.record_hooks(&hooks),
        bed.catalog.writer.write("asking", |_| Ok(1)),
        bed.catalog.writer.write_unsynced("asking", |_| Ok(2)),
    );
    let told = crate::error_text::error_text(&webhook.unwrap_err());
    assert!(told.contains("recording webhooks") && told.contains("database is locked"), "{told}");
    assert_eq!((other.unwrap(), also.unwrap()), (1, 2));
    held.await.unwrap();
    bed.catalog.record_hooks(&hooks).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn h27_a_new_file_that_is_locked_is_opened_when_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clipkeep.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch("BEGIN IMMEDIATE; CREATE TABLE theirs (n)").unwrap();
    let held = tokio::spawn(async move {
        tokio::time::sleep(BUSY_TIMEOUT + std::time::Duration::from_secs(1)).await;
        file.execute_batch("ROLLBACK").unwrap();
    });
    let catalog = SqliteCatalog::open(&path, Rules::default()).await.unwrap();
    assert_eq!(catalog.count_by_state().await.unwrap(), []);
    held.await.unwrap();
}
