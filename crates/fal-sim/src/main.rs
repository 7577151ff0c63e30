//! `fal-sim`: the simulator as a program.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use fal_sim::{Sim, SimOptions};

/// Simulates fal: queue, direct calls, storage, media host, signed webhooks.
///
/// Faults are set over HTTP under /_sim; see the crate's documentation.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where queue, direct calls, storage and webhook keys listen.
    #[arg(long, default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// Where the media host listens.
    #[arg(long, default_value = "127.0.0.1:8789")]
    media_listen: SocketAddr,
    /// The key that clients must send as `Authorization: Key …`; any unless given.
    #[arg(long)]
    key: Option<String>,
    /// How long a job runs, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    run_ms: u64,
    /// Pauses between webhook retries are divided by this.
    #[arg(long, default_value_t = 1.0)]
    time_factor: f64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program tells where it listens")]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let sim = Sim::start(SimOptions {
        listen: args.listen,
        media_listen: args.media_listen,
        key: args.key,
        run_time: Duration::from_millis(args.run_ms),
        time_factor: args.time_factor.max(0.001),
        ..SimOptions::default()
    })
    .await?;
    println!("queue  {}", sim.queue_url());
    println!("run    {}", sim.run_url());
    println!("rest   {}", sim.rest_url());
    println!("keys   {}", sim.jwks_url());
    println!("media  {}", sim.media_url());
    tokio::signal::ctrl_c().await
}
