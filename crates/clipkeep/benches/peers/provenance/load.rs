//! Bringing millions of rows into the real schema: indexes are dropped
//! meanwhile, and made again.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use rusqlite::Connection;
use tokio_postgres::{Client, CopyInSink};

use super::rows::{Row, World};
use crate::support::postgres::connect;

const BATCH: u64 = 50_000;

const GENERATION: &str = "INSERT INTO generations (provider, request_id, status, model, prompt, prompt_hash, tenant, seed, \
    created_at, completed_at) VALUES ('fal', ?1, 'completed', ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
const CLIP: &str = "INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, \
    model, prompt_hash, tenant, seed, epoch, created_at, queued, fence, attempts, stored_at, size, sha256, \
    sealed_kind, sealed_content_type, duration, width, height) \
    VALUES (?1, 'fal', ?2, 0, '/video', ?3, 'video', 'video/mp4', 'stored', 'eager', \
    ?4, ?5, ?6, ?7, 1, ?8, 0, 1, 1, ?8, 1000000, 'x', 'video', 'video/mp4', 8, 1280, 720)";
const WORDS: &str = "INSERT INTO clip_words (rowid, key, created_at, words) VALUES (?1, ?2, ?3, ?4)";

/// All rows, made while others are written.
fn batches(world: &Arc<World>) -> mpsc::Receiver<Vec<Row>> {
    let (sender, receiver) = mpsc::sync_channel(2);
    let world = Arc::clone(world);
    std::thread::spawn(move || {
        for from in (0..world.rows).step_by(BATCH as usize) {
            sender.send((from..(from + BATCH).min(world.rows)).map(|clip| world.row(clip)).collect()).unwrap();
        }
    });
    receiver
}

fn source(row: &Row) -> String {
    format!("https://v3b.fal.media/files/b/0a86c7d1/{}_output.mp4", row.request_id)
}

/// Fills a SQLite file that has the schema.
pub(crate) fn sqlite(path: &Path, world: &Arc<World>) {
    let began = Instant::now();
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -524288;").unwrap();
    let indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('clips', 'generations')";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let indexes: Vec<(String, String)> =
        db.prepare(indexes).unwrap().query_map((), read).unwrap().map(Result::unwrap).collect();
    for (name, _) in &indexes {
        db.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    db.execute_batch("INSERT INTO clip_words (clip_words, rank) VALUES ('hashsize', 67108864)").unwrap();
    for batch in batches(world) {
        let tx = db.unchecked_transaction().unwrap();
        batch.iter().for_each(|row| sqlite_row(&tx, row));
        tx.commit().unwrap();
    }
    db.execute_batch("INSERT INTO clip_words (clip_words, rank) VALUES ('hashsize', 1048576)").unwrap();
    println!("<!-- SQLite: rows after {:.0} s -->", began.elapsed().as_secs_f64());
    for (_, sql) in &indexes {
        db.execute_batch(sql).unwrap();
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    println!("<!-- SQLite: loaded after {:.0} s -->", began.elapsed().as_secs_f64());
}

fn sqlite_row(tx: &Connection, row: &Row) {
    let Row { request_id, key, created_at, prompt, prompt_hash, tenant, model, seed, words } = row;
    let insert = |sql: &str, values: &[&dyn rusqlite::ToSql]| tx.prepare_cached(sql).unwrap().execute(values).unwrap();
    insert(GENERATION, &[request_id, model, prompt, prompt_hash, tenant, seed, created_at]);
    insert(CLIP, &[key, request_id, &source(row), model, prompt_hash, tenant, seed, created_at]);
    insert(WORDS, &[&row.place(), key, created_at, &words.join(" ")]);
}

const GENERATIONS: &str = "generations (provider, request_id, status, model, prompt, prompt_hash, tenant, seed, \
    created_at, completed_at)";
const CLIPS: &str = "clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, \
    model, prompt_hash, tenant, seed, epoch, created_at, queued, fence, attempts, stored_at, size, sha256, sealed_kind, \
    sealed_content_type, duration, width, height)";

/// Fills a PostgreSQL database that has the schema.
pub(super) async fn postgres(url: &str, world: &Arc<World>) {
    let began = Instant::now();
    let client = connect(url).await;
    for setting in ["max_wal_size = '2GB'", "fsync = off", "autovacuum = off"] {
        client.execute(&format!("ALTER SYSTEM SET {setting}"), &[]).await.unwrap();
    }
    client
        .batch_execute(
            "SELECT pg_reload_conf(); SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; \
            SET synchronous_commit = off",
        )
        .await
        .unwrap();
    let indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' \
        AND tablename IN ('clips', 'generations', 'clip_words') AND indexname NOT LIKE '%\\_pkey'";
    let indexes = client.query(indexes, &[]).await.unwrap();
    for index in &indexes {
        client.batch_execute(&format!("DROP INDEX {}", index.get::<_, &str>(0))).await.unwrap();
    }
    for batch in batches(world) {
        copy(&client, GENERATIONS, &batch, |row| {
            let Row { request_id, created_at, prompt, prompt_hash, tenant, model, seed, .. } = row;
            format!("fal\t{request_id}\tcompleted\t{model}\t{prompt}\t{prompt_hash}\t{tenant}\t{seed}\t{created_at}\t{created_at}\n")
        })
        .await;
        copy(&client, CLIPS, &batch, |row| {
            let Row { request_id, key, created_at, prompt_hash, tenant, model, seed, .. } = row;
            let source = source(row);
            format!(
                "{key}\tfal\t{request_id}\t0\t/video\t{source}\tvideo\tvideo/mp4\tstored\teager\t{model}\t{prompt_hash}\t\
                {tenant}\t{seed}\t1\t{created_at}\tf\t1\t1\t{created_at}\t1000000\tx\tvideo\tvideo/mp4\t8\t1280\t720\n"
            )
        })
        .await;
        copy(&client, "clip_words (key, created_at, words)", &batch, |row| {
            format!("{}\t{}\t{}\n", row.key, row.created_at, row.words.join(" "))
        })
        .await;
    }
    println!("<!-- PostgreSQL: rows after {:.0} s -->", began.elapsed().as_secs_f64());
    for index in &indexes {
        client.batch_execute(index.get(1)).await.unwrap();
    }
    println!("<!-- PostgreSQL: indexes after {:.0} s -->", began.elapsed().as_secs_f64());
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    println!("<!-- PostgreSQL: loaded after {:.0} s -->", began.elapsed().as_secs_f64());
}

async fn copy(client: &Client, table: &str, batch: &[Row], line: impl Fn(&Row) -> String) {
    let sink: CopyInSink<Bytes> = client.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap();
    pin_mut!(sink);
    for part in batch.chunks(2_000) {
        sink.send(Bytes::from(part.iter().map(&line).collect::<String>())).await.unwrap();
    }
    sink.finish().await.unwrap();
}
