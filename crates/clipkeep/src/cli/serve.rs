//! `clipkeep serve`: a node, until a signal.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clipkeep_core::config::Config;
use serde_json::json;
use tokio::net::TcpListener;

use super::output;
use crate::{app::App, scratch::Role, shutdown, web};

pub(super) async fn run(config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    raise_file_limit();
    let stop = shutdown::on_signal().context("listening for signals")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {} (listen): is another program there?", config.listen))?;
    let address = listener.local_addr()?;
    let app = App::open(config, Role::Node).await?;
    if as_json {
        output::json(&json!({"listening": address.to_string(), "public_url": app.config.public_url.as_str()}))?;
    } else {
        output::line(format!("clipkeep listens on http://{address}"));
    }
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    let node = Arc::clone(&app);
    let fills = app.tasks.spawn(async move { node.run().await });
    web::serve(Arc::clone(&app), listener, stop).await;
    tracing::info!("stopping");
    app.close().await;
    fills.await.context("the fill loop")?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Takes as many open files as the system lets us have: each viewer and each
/// hot clip takes one, and the usual limit of 1024 is for old programs' sake.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
