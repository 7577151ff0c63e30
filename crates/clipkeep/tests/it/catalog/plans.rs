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
        (ClipFilter { seed: Some(1_i64.into()), ..none() }, "clips_seed"),
        (ClipFilter { c2pa: Some(true), ..none() }, "clips_c2pa"),
        (ClipFilter { created_after: Some(at(10_000)), ..none() }, "clips_created_at"),
        (ClipFilter { created_before: Some(at(10_000)), ..none() }, "clips_created_at"),
    ]
}

fn pages() -> [Option<Cursor>; 2] {
    [None, Some(Cursor { created_at: at(15_000), key: key("r15000.mp4") })]
}

pub(super) fn sqlite_plan(bed: &Bed, sql: &str, values: &[Value]) -> String {
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
    let named = [Value::Text("e".into()), Value::Text("1".into()), Value::Int(1)];
    let three = [Value::Int(1), Value::Int(1), Value::Int(1)];
    let two = &three[..2];
    let walk = [Value::Int(9), Value::Int(1), Value::Text("a".into()), Value::Int(1)];
    let walk_vanished = [Value::Int(1), Value::Text("n".into()), Value::Int(3), Value::Int(1)];
    let duplicates =
        [Value::Int(9), Value::Text("t".into()), Value::Text("x".into()), Value::Int(1), Value::Text("t".into())];
    for (sql, values, index) in [
        (sqlite::queue::PROMOTE, &three[..], "clips_deferred"),
        (sqlite::queue::PROMOTE, &three[..], "clips_fresh"),
        (sqlite::queue::NEWEST, &three[..], "clips_fresh"),
        (sqlite::queue::BACKLOG, two, "clips_queued"),
        (sqlite::queue::SUSPECTS, two, "clips_vanished"),
        (sqlite::queue::VANISHED_CLIPS, &walk_vanished[..], "clips_vanished"),
        (sqlite::requeue::REFUSED_ORIGIN, &walk[2..3], "clips_refused"),
        (sqlite::requeue::REFUSED, &walk[2..], "clips_refused"),
        (sqlite::find::NEXT_DUE, &[], "clips_fresh"),
        (sqlite::find::NEXT_DUE, &[], "clips_deferred"),
        (sqlite::find::NEXT_DUE, &[], "clips_queued"),
        (sqlite::outbox::DUE, &named[..], "deliveries_due"),
        (sqlite::outbox::DUE, &named[..], "deliveries_subject"),
        (sqlite::outbox::BLOCKED, &named[..2], "deliveries_subject"),
        (sqlite::outbox::ADVANCE, &named[..], "deliveries_subject"),
        (sqlite::polls::DUE, two, "generations_poll_at"),
        (sqlite::polls::UNASKED, &[], "generations_unasked"),
        (sqlite::risk::AT_RISK, two, "clips_at_risk"),
        (sqlite::risk::UNREPORTED, two, "clips_at_risk_unreported"),
        (sqlite::risk::FAILING, &named[1..], "clips_failing"),
        (sqlite::maintenance::TOMBSTONES, two, "clips_remove_at"),
        (sqlite::maintenance::STORED_OBJECTS, &[Value::Text("a".into()), Value::Int(1)], "sqlite_autoindex_clips_1"),
        (sqlite::maintenance::AGED, &walk[..], "clips_state"),
        (sqlite::maintenance::UNVERIFIED, &walk[..], "clips_verified"),
        (sqlite::sharing::DUPLICATE, &walk[2..3], "clips_bytes"),
        (sqlite::sharing::REMOVALS, &walk[2..3], "clips_object"),
        (sqlite::sharing::SCHEDULE_UNSHARING, two, "clips_object"),
        (sqlite::sharing::CLAIM_UNSHARING, &three[..], "clips_unshare_at"),
        (sqlite::sharing::DUPLICATES, &duplicates[..4], "duplicates_newest"),
        (sqlite::sharing::TENANT_DUPLICATES, &duplicates[..], "duplicates_tenant"),
        (sqlite::sharing::MEMBERS, &[Value::Text("t".into()), Value::Text("x".into()), Value::Int(1)], "clips_bytes"),
    ] {
        let plan = sqlite_plan(&bed, sql, values);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

/// Twenty thousand clips: most stored, a thousand due in time, of which half
/// were seen to be due.
const MANY: &str = "
    INSERT INTO generations (provider, request_id, status, created_at, poll_at)
    SELECT 'fal', 'r' || n, CASE WHEN n % 20 = 0 THEN 'pending' ELSE 'completed' END, n,
        CASE WHEN n % 40 = 0 THEN n END FROM generate_series(1, 20000) n;
    INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, model,
        prompt_hash, tenant, seed, epoch, created_at, due_at, queue_at, queued, fence, attempts, sha256, stored_at,
        source_expires_at)
    SELECT 'r' || n || '.mp4', 'fal', 'r' || n, 0, '/video', 'https://source.example/' || n, 'video', 'video/mp4',
        CASE WHEN n % 20 = 0 THEN 'waiting' ELSE 'stored' END,
        CASE WHEN n % 60 = 0 THEN 'deferred' ELSE 'eager' END, 'm' || n % 100, 'h' || n % 5000,
        't' || n % 100, n % 3000, 1, 1800000000000 + n * 1000, CASE WHEN n % 20 = 0 THEN n END,
        CASE WHEN n % 20 = 0 THEN n END, n % 40 = 0, 0, 0, 'x' || n % 15000, 1, n % 1000
    FROM generate_series(1, 20000) n;
    INSERT INTO duplicates (tenant, sha256, newest_at)
    SELECT 't' || n % 100, 'x' || n, n * 1000 FROM generate_series(1, 20000) n;
    INSERT INTO clip_words (key, created_at, words) SELECT key, created_at,
        array_to_tsvector(ARRAY['common', 'w' || created_at % 700]) FROM clips;
    INSERT INTO parents (provider, request_id, parent)
    SELECT 'fal', 'r' || n, 'r' || n % 5000 || '.mp4' FROM generate_series(1, 20000) n;
    INSERT INTO key_owners (request_id, provider) SELECT 'r' || n, 'fal' FROM generate_series(1, 20000) n;
    ANALYZE;";

pub(super) async fn postgres_plan(
    client: &tokio_postgres::Client,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> String {
    let rows = client.query(&format!("EXPLAIN {sql}"), values).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

pub(super) async fn postgres_with_many() -> tokio_postgres::Client {
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
    let (now, limit, node, long_ago) = (1_000_000_i64, 16_i64, "node", -1_i64);
    let (since, key) = (1_800_000_100_000_i64, "r15000.mp4");
    let cases: [(&str, &[&(dyn ToSql + Sync)], &str); 21] = [
        (postgres::queue::PROMOTE, &[&now, &now, &limit], "clips_deferred"),
        (postgres::queue::PROMOTE, &[&now, &now, &limit], "clips_fresh"),
        (postgres::queue::CLAIM_NEWEST, &[&now, &limit, &node, &now, &long_ago], "clips_fresh"),
        (postgres::queue::CLAIM_BACKLOG, &[&now, &limit, &node, &now], "clips_queued"),
        (postgres::find::NEXT_DUE, &[], "clips_fresh"),
        (postgres::find::NEXT_DUE, &[], "clips_deferred"),
        (postgres::find::NEXT_DUE, &[], "clips_queued"),
        (postgres::polls::CLAIM, &[&now, &now, &limit], "generations_poll_at"),
        (postgres::polls::UNASKED, &[], "generations_unasked"),
        (postgres::risk::AT_RISK, &[&now, &limit], "clips_at_risk"),
        (postgres::risk::UNREPORTED, &[&now, &limit], "clips_at_risk_unreported"),
        (postgres::risk::FAILING, &[&None::<&str>, &limit], "clips_failing"),
        (postgres::maintenance::TOMBSTONES, &[&now, &limit], "clips_remove_at"),
        (postgres::maintenance::STORED_OBJECTS, &[&key, &limit], "clips_pkey"),
        (postgres::maintenance::AGED, &[&i64::MAX, &since, &key, &limit], "clips_"),
        (postgres::maintenance::UNVERIFIED, &[&i64::MAX, &0_i64, &key, &limit], "clips_verified"),
        (postgres::sharing::DUPLICATE, &[&key], "clips_bytes"),
        (postgres::sharing::REMOVALS, &[&key], "clips_object"),
        (postgres::sharing::CLAIM_UNSHARING, &[&now, &now, &limit], "clips_unshare_at"),
        (postgres::sharing::DUPLICATES, &[&now, &"t", &"x", &limit], "duplicates_newest"),
        (postgres::sharing::TENANT_DUPLICATES, &[&now, &"t", &"x", &limit, &"t9"], "duplicates_tenant"),
    ];
    for (sql, values, index) in cases {
        let plan = postgres_plan(&client, sql, values).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
}

/// Ten thousand events that an endpoint did not take, most of them not due.
const MANY_WAITING: &str = "
    INSERT INTO events (at, type, provider, request_id, key)
    SELECT n, 'clip.lost', 'fal', 'r' || n, 'r' || n || '.mp4' FROM generate_series(1, 10000) n;
    INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts, next_at)
    SELECT 'e', tx, id, key, CASE WHEN id % 10 = 0 THEN 'parked' ELSE 'waiting' END, 1,
        CASE WHEN id % 10 = 0 THEN NULL ELSE id END FROM events;
    ANALYZE;";

#[tokio::test]
async fn postgres_finds_events_to_tell_by_index() {
    let client = postgres_with_many().await;
    client.batch_execute(MANY_WAITING).await.unwrap();
    let (few, now) = (10_i64, 20_i64);
    let subjects: Vec<String> = (0..10).map(|n| format!("r{n}.mp4")).collect();
    let cases: [(&str, &[&(dyn ToSql + Sync)], &str); 4] = [
        (postgres::outbox::EVENTS, &[&0_i64, &0_i64, &few, &i64::MAX], "events"),
        (postgres::outbox::DUE, &[&"e", &now, &few], "deliveries_due"),
        (postgres::outbox::BLOCKED, &[&"e", &subjects], "deliveries_"),
        (postgres::outbox::ADVANCE, &[&"e", &"r1.mp4", &now], "deliveries_"),
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

/// A search walks backwards through the index of words and sorts nothing; a
/// lineage goes from index to index.
#[tokio::test]
async fn sqlite_searches_and_follows_lineages_without_sorting() {
    let bed = Bed::sqlite();
    bed.open().await;
    for after in pages() {
        let filter = ClipFilter { tenant: Some("t1".parse().unwrap()), ..ClipFilter::default() };
        let list = sqlite::search::statement(&"fox".parse().unwrap(), &filter, after.as_ref());
        let plan = sqlite_plan(&bed, &list.sql, &list.values);
        assert!(plan.contains("VIRTUAL TABLE INDEX") && !plan.contains("TEMP B-TREE"), "{plan}");
        assert!(plan.contains("USING INDEX sqlite_autoindex_clips_1"), "{plan}");
    }
    let kin = [Value::Text("a.mp4".into()), Value::Text("t".into()), Value::Int(9)];
    for (sql, index) in [(sqlite::lineage::CHILDREN, "parents_parent"), (sqlite::lineage::PARENTS, "PRIMARY KEY")] {
        let plan = sqlite_plan(&bed, sql, &kin);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn postgres_walks_searches_and_follows_lineages_by_index() {
    let client = postgres_with_many().await;
    let (since, now, tenant, few) = (0_i64, 1_800_010_000_000_i64, None::<String>, 9_i64);
    let (word, start, span) = ("'w5'", 1_800_000_000_000_i64, (1_800_010_000_000_i64 >> 24) << 3 | 1);
    let (all_time, spans) = (postgres::search::of_span(false), postgres::search::of_span(true));
    let cases: [(&str, &[&(dyn ToSql + Sync)], &str); 6] = [
        (postgres::search::WALK, &[&word, &start, &"", &now, &"r1.mp4", &few], "clip_words_newest"),
        (&all_time, &[&word, &few], "clip_words_words"),
        (&spans, &[&word, &few, &span], "@>"),
        (postgres::search::FLOOR, &[&since, &now, &"r1.mp4", &few], "clip_words_newest"),
        (postgres::lineage::CHILDREN, &[&"r100.mp4", &tenant, &few], "parents_parent"),
        (postgres::lineage::PARENTS, &[&"r100.mp4", &tenant, &few], "parents_pkey"),
    ];
    for (sql, values, index) in cases {
        let plan = postgres_plan(&client, sql, values).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
    let walk = postgres_plan(&client, postgres::search::WALK, cases[0].1).await;
    assert!(!walk.contains("Sort"), "{walk}");
    let plan = postgres_plan(&client, &spans, &[&word, &few, &span]).await;
    let known = plan.lines().find(|line| line.contains("Index Cond")).unwrap();
    assert!(known.contains("w5") && known.contains("@>"), "the index knows both\n{plan}");
}
