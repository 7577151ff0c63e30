//! How the databases run the statements that must stay fast over many rows.

use clipkeep::catalog::{
    ClipFilter, Cursor,
    open::Database,
    page::{Statement, Value},
    postgres, sqlite,
};
use clipkeep_core::{id::RequestId, state::ClipState};
use tokio_postgres::types::ToSql;

use super::{Bed, at, id, key};
use crate::support::postgres::connect;

/// Each filter alone, with the index that must serve it.
fn single_filters() -> Vec<(ClipFilter, &'static str)> {
    let none = ClipFilter::default;
    vec![
        (none(), "clips_created_at"),
        (ClipFilter { request_id: Some(id("r1")), ..none() }, "clips_request_id"),
        (ClipFilter { model: Some("m1".into()), ..none() }, "clips_model"),
        (ClipFilter { prompt_hash: Some("h1".into()), ..none() }, "clips_prompt_hash"),
        (ClipFilter { tenant: Some("t1".parse().unwrap()), ..none() }, "clips_tenant"),
        (ClipFilter { state: Some(ClipState::Waiting), ..none() }, "clips_state"),
        (ClipFilter { created_after: Some(at(10_000)), ..none() }, "clips_created_at"),
        (ClipFilter { created_before: Some(at(10_000)), ..none() }, "clips_created_at"),
    ]
}

fn pages() -> [Option<Cursor>; 2] {
    [None, Some(Cursor { created_at: at(15_000), key: key("r15000.mp4") })]
}

fn sqlite_plan(bed: &Bed, sql: &str, values: &[Value]) -> String {
    let Database::Sqlite(path) = &bed.database else { panic!("not SQLite") };
    let db = rusqlite::Connection::open(path).unwrap();
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = explain.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>("detail")).unwrap();
    steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn sqlite_lists_by_an_index_that_is_in_order() {
    let bed = Bed::sqlite();
    bed.open().await;
    for (filter, index) in single_filters() {
        for after in pages() {
            let list = Statement::list(&filter, after.as_ref(), 10, '?');
            let plan = sqlite_plan(&bed, &list.sql, &list.values);
            assert!(
                plan.contains(&format!("USING INDEX {index}")) && !plan.contains("TEMP B-TREE"),
                "{list:?}\n{plan}"
            );
        }
    }
}

#[tokio::test]
async fn sqlite_picks_by_an_index_that_is_in_order() {
    let bed = Bed::sqlite();
    bed.open().await;
    let two = [Value::Int(1), Value::Int(1)];
    let walk = [Value::Int(9), Value::Int(1), Value::Text("a".into()), Value::Int(1)];
    for (sql, values, index) in [
        (sqlite::queue::PROMOTE, &two[..], "clips_upcoming"),
        (sqlite::queue::PICK, &two[..], "clips_queued"),
        (sqlite::find::NEXT_DUE, &[], "clips_upcoming"),
        (sqlite::find::NEXT_DUE, &[], "clips_queued"),
        (sqlite::upkeep::TOMBSTONES, &two, "clips_remove_at"),
        (sqlite::upkeep::STORED_OBJECTS, &[Value::Text("a".into()), Value::Int(1)], "sqlite_autoindex_clips_1"),
        (sqlite::upkeep::AGED, &walk[..], "clips_state"),
        (sqlite::upkeep::UNVERIFIED, &walk[..], "clips_verified"),
    ] {
        let plan = sqlite_plan(&bed, sql, values);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

/// Twenty thousand clips: most stored, a thousand due in time, of which half
/// were seen to be due.
const MANY: &str = "
    INSERT INTO generations (provider, request_id, status, created_at)
    SELECT 'fal', 'r' || n, 'completed', n FROM generate_series(1, 20000) n;
    INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, model,
        prompt_hash, tenant, epoch, created_at, due_at, queue_at, queued, fence, attempts, sha256, stored_at,
        source_expires_at)
    SELECT 'r' || n || '.mp4', 'fal', 'r' || n, 0, '/video', 'https://source.example/' || n, 'video', 'video/mp4',
        CASE WHEN n % 20 = 0 THEN 'waiting' ELSE 'stored' END, 'eager', 'm' || n % 100, 'h' || n % 5000,
        't' || n % 100, 1, 1800000000000 + n * 1000, CASE WHEN n % 20 = 0 THEN n END,
        CASE WHEN n % 20 = 0 THEN n END, n % 40 = 0, 0, 0, 'x', 1, n % 1000
    FROM generate_series(1, 20000) n;
    ANALYZE;";

async fn postgres_plan(client: &tokio_postgres::Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> String {
    let rows = client.query(&format!("EXPLAIN {sql}"), values).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

async fn postgres_with_many() -> tokio_postgres::Client {
    let bed = Bed::postgres().await;
    bed.open().await;
    bed.execute(MANY).await;
    let Database::Postgres(url) = &bed.database else { panic!("not PostgreSQL") };
    connect(url.expose()).await
}

#[tokio::test]
async fn postgres_lists_by_an_index_that_is_in_order() {
    let client = postgres_with_many().await;
    for (filter, index) in single_filters() {
        for after in pages() {
            let list = Statement::list(&filter, after.as_ref(), 10, '$');
            let values: Vec<&(dyn ToSql + Sync)> = list
                .values
                .iter()
                .map(|value| match value {
                    Value::Text(text) => text as &(dyn ToSql + Sync),
                    Value::Int(int) => int,
                })
                .collect();
            let plan = postgres_plan(&client, &list.sql, &values).await;
            assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{list:?}\n{plan}");
        }
    }
}

#[tokio::test]
async fn postgres_picks_by_an_index_that_is_in_order() {
    let client = postgres_with_many().await;
    let (now, limit, node) = (1_000_000_i64, 16_i64, "node");
    let (since, key) = (1_800_000_100_000_i64, "r15000.mp4");
    let cases: [(&str, &[&(dyn ToSql + Sync)], &str); 8] = [
        (postgres::queue::PROMOTE, &[&now, &limit], "clips_upcoming"),
        (postgres::queue::CLAIM_DUE, &[&now, &limit, &node, &now], "clips_queued"),
        (postgres::find::NEXT_DUE, &[], "clips_upcoming"),
        (postgres::find::NEXT_DUE, &[], "clips_queued"),
        (postgres::upkeep::TOMBSTONES, &[&now, &limit], "clips_remove_at"),
        (postgres::upkeep::STORED_OBJECTS, &[&key, &limit], "clips_pkey"),
        (postgres::upkeep::AGED, &[&i64::MAX, &since, &key, &limit], "clips_"),
        (postgres::upkeep::UNVERIFIED, &[&i64::MAX, &0_i64, &key, &limit], "clips_verified"),
    ];
    for (sql, values, index) in cases {
        let plan = postgres_plan(&client, sql, values).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn postgres_locks_what_a_batch_touches_by_index() {
    let client = postgres_with_many().await;
    let ids: Vec<RequestId> = (0..16).map(|n| id(&format!("r{n}"))).collect();
    let requests: Vec<&str> = ids.iter().map(RequestId::as_str).collect();
    let providers = vec!["fal"; requests.len()];
    let keys: Vec<String> = requests.iter().map(|request| format!("{request}.mp4")).collect();
    let cases: [(&str, &[&(dyn ToSql + Sync)]); 2] = [
        (postgres::record::LOCK_GENERATIONS, &[&providers, &requests]),
        (postgres::record::LOCK_CLIPS, &[&providers, &requests, &keys]),
    ];
    for (sql, values) in cases {
        let plan = postgres_plan(&client, sql, values).await;
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
}
