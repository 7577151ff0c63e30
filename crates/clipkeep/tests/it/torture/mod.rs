//! Torture: real nodes under kills, pauses, failing sources and buckets, rotting
//! copies, clocks that jump, viewers; on both databases and stores, and on a disk
//! that fills and loses its power. The oracle knows nothing of clipkeep's: what was
//! acknowledged ends stored, once, with the source's bytes.
//!
//! `TORTURE_MINUTES=60 cargo test -p clipkeep --test it torture:: -- --nocapture`
//! is the long run; `TORTURE_SEED` repeats one.

mod disk;
mod oracle;
mod world;

use std::time::Duration;

use self::world::{Database, Place, World};

/// What one run of the tests takes for each world.
const QUICK: Duration = Duration::from_secs(8);

fn given(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_str().unwrap().parse().unwrap())
}

fn span() -> Duration {
    given("TORTURE_MINUTES").map_or(QUICK, |minutes| Duration::from_secs(60 * minutes))
}

fn seed() -> u64 {
    given("TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()))
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs it long")]
async fn torture(database: Database, place: Place) {
    let mut world = World::new(database, place, seed()).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < span() {
        world.step().await;
    }
    world.calm().await;
    println!("{}", world.check().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_wrong_on_sqlite_and_a_folder() {
    torture(Database::Sqlite, Place::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_wrong_on_sqlite_and_a_bucket() {
    torture(Database::Sqlite, Place::Bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_wrong_on_postgresql_and_a_folder() {
    torture(Database::Postgres, Place::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_wrong_on_two_nodes() {
    torture(Database::Postgres, Place::Bucket).await;
}

/// As root alone: it mounts a disk.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_wrong_on_a_disk_without_power_or_room() {
    torture(Database::Sqlite, Place::Disk).await;
}
