//! clipkeep beside its peers, in one run: `cargo bench -p clipkeep`, or
//! `-- hooks`, `-- ingest`, `-- posters`, `-- hits`, `-- counting`, `-- cold`, `-- queue`,
//! `-- wall`, `-- provenance [rows] [sqlite | postgres]` for one of them.
//! Needs rclone, nginx, Varnish, wrk and Garage. Timings of a small machine are noisy: look at the ratios.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod cold;
mod counting;
mod hits;
mod hooks;
mod ingest;
mod posters;
mod provenance;
mod queue;
mod run;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod support;
mod wall;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if asked("hooks") {
        hooks::run().await;
    }
    if asked("ingest") {
        ingest::run().await;
    }
    if asked("posters") {
        posters::run().await;
    }
    if asked("hits") {
        hits::run().await;
    }
    if asked("counting") {
        counting::run().await;
    }
    if asked("queue") {
        queue::run().await;
    }
    if asked("wall") {
        wall::run().await;
    }
    // By name only: it takes its time, and tens of gigabytes.
    if wanted.first().is_some_and(|first| first == "provenance") {
        provenance::run(&wanted[1..]).await;
    }
    if asked("cold") {
        cold::run().await;
    }
}
