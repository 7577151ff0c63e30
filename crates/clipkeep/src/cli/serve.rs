//! `clipkeep serve`: a node, until a signal.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clipkeep_core::config::Config;
use serde_json::json;
use tokio::net::TcpListener;

use super::output;
use crate::{app::App, shutdown, web};

pub(super) async fn run(config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal().context("listening for signals")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {} (listen): is another program there?", config.listen))?;
    let address = listener.local_addr()?;
    let app = App::open(config).await?;
    if as_json {
        output::json(&json!({"listening": address.to_string(), "public_url": app.config.public_url.as_str()}))?;
    } else {
        output::line(format!("clipkeep listens on http://{address}"));
    }
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    let engine = app.engine.clone();
    let fills = app.tasks.spawn(async move { engine.run().await });
    web::serve(Arc::clone(&app), listener, stop).await;
    tracing::info!("stopping");
    app.close().await;
    fills.await.context("the fill loop")?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
