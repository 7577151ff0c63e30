//! Picking work out of a million waiting rows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep::{
    catalog::{
        Catalog, Quota,
        open::{Database, Rules, open},
    },
    clock::SystemClock,
};
use clipkeep_core::{
    hook::{HookQuery, fal},
    secret::Secret,
    time::{Clock, Timestamp},
};
use serde_json::json;

use crate::support::postgres;

const ROWS: u64 = 1_000_000;
const CLAIMS: usize = 500;
const BATCH: u32 = 32;
const LEASE: Duration = Duration::from_secs(3600);

/// Due an hour ago, every second one expiring within a day.
const CLIPS: &str = "INSERT INTO clips (key, provider, request_id, idx, slot, source_url, source_expires_at, kind,
        content_type, state, policy, epoch, created_at, due_at, queue_at, queued, fence, attempts)
    SELECT request_id || '.mp4', 'fal', request_id, 0, '/video', 'https://v3.fal.media/' || request_id,
        CASE WHEN created_at % 2 = 0 THEN created_at + 86400000 END, 'video', 'video/mp4', 'waiting', 'eager', 1,
        created_at, created_at, created_at, 'f', 0, 0 FROM generations;";

pub(crate) async fn run() {
    println!("\n## The next {BATCH} of {ROWS} waiting rows\n");
    println!("| what | median | p99 | memory before | after |\n| --- | ---: | ---: | ---: | ---: |");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    let catalog = open(&Database::Sqlite(path.clone()), Rules::default()).await.unwrap();
    let then = SystemClock.now().millis() - 3_600_000;
    let generations = |numbers: &str| {
        format!(
            "INSERT INTO generations (provider, request_id, status, created_at)
             SELECT 'fal', 'old' || n, 'completed', {then} + n % 1000000 / 1000 FROM {numbers};"
        )
    };
    let numbers = format!(
        "(WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS} - 1) SELECT n FROM n)"
    );
    let sql = format!("BEGIN; {}{}COMMIT; ANALYZE;", generations(&numbers), CLIPS.replace("'f'", "0"));
    tokio::task::spawn_blocking(move || rusqlite::Connection::open(path).unwrap().execute_batch(&sql).unwrap())
        .await
        .unwrap();
    measure("SQLite", catalog).await;

    let url = postgres::database().await;
    let catalog = open(&Database::Postgres(Secret::new(url.clone())), Rules::default()).await.unwrap();
    let numbers = format!("generate_series(0::bigint, {ROWS} - 1) AS n");
    let client = postgres::connect(&url).await;
    client.batch_execute(&(generations(&numbers) + CLIPS)).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    measure("PostgreSQL", catalog).await;
}

async fn measure(name: &str, catalog: Arc<dyn Catalog>) {
    let claim = async |quota| {
        let began = Instant::now();
        let claims = catalog.claim_due(&"bench".into(), SystemClock.now(), LEASE, quota).await.unwrap();
        (began.elapsed(), claims)
    };
    claim(Quota::halves(BATCH)).await;
    let (before, mut took) = (memory(), Vec::new());
    for _ in 0..CLAIMS {
        let (time, claims) = claim(Quota::halves(BATCH)).await;
        assert_eq!(claims.len(), BATCH as usize);
        took.push(time);
    }
    row(&format!("{name}: the next {BATCH}"), took, before);
    let (before, mut took) = (memory(), Vec::new());
    for n in 0..CLAIMS {
        let id = format!("fresh{n}");
        let body =
            json!({"request_id": id, "status": "OK", "payload": {"video": {"url": "https://v3.fal.media/a.mp4"}}});
        let query = HookQuery::parse("").unwrap();
        let hook = fal::decode(&body.to_string().into(), None, &query, now()).unwrap().record;
        catalog.record_hooks(&[hook]).await.unwrap();
        let (time, claims) = claim(Quota::halves(1)).await;
        assert_eq!(claims[0].clip.request_id.as_str(), id);
        took.push(time);
    }
    row(&format!("{name}: a fresh webhook's clip"), took, before);
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn row(what: &str, mut took: Vec<Duration>, before: u64) {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("| {what} | {:.1} ms | {:.1} ms | {before} MiB | {} MiB |", at(0.5), at(0.99), memory());
}

/// What this process holds now.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
