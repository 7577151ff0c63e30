//! `clipkeep serve`: a node, until a signal.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clipkeep_core::config::Config;
use serde_json::json;
use tokio::net::TcpListener;

use super::output;
use crate::{
    advice,
    app::App,
    data_dir::Role,
    descriptors,
    shutdown::{self, Signals},
    web,
};

pub(super) async fn run(config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    descriptors::raise();
    let Signals { draining, stop } = Signals::listen(config.drain).context("listening for signals")?;
    shutdown::pass_over_hangups().context("listening for signals")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {} (listen): is another program there?", config.listen))?;
    let address = listener.local_addr()?;
    let gateway = gateway(&config).await?;
    let gateway_address = gateway.as_ref().map(TcpListener::local_addr).transpose()?;
    let app = App::open(config, Role::Node).await?;
    if as_json {
        let gateway = gateway_address.map(|address| address.to_string());
        let public_url = app.config.public_url.as_str();
        let console = app.config.console.then(|| format!("{public_url}/"));
        output::json(
            &json!({"listening": address.to_string(), "gateway": gateway, "public_url": public_url, "console": console}),
        )?;
    } else {
        output::line(format!("clipkeep listens on http://{address}"));
        if let Some(address) = gateway_address {
            output::line(format!("the gateway to fal listens on http://{address}"));
        }
        if app.config.console {
            let public_url = &app.config.public_url;
            output::line(format!("the console is at {public_url}/ (log in with what `clipkeep token` prints)"));
        }
    }
    tracing::info!(%address, gateway = gateway_address.map(tracing::field::display), version = env!("CARGO_PKG_VERSION"), "serving");
    let advised = Arc::clone(&app);
    app.tasks.spawn(async move {
        for advice in advice::collect(&advised.config, &*advised.catalog).await {
            tracing::warn!(about = advice.about, "{}", advice.what);
        }
    });
    let told = Arc::clone(&app);
    app.tasks.spawn(async move {
        draining.cancelled().await;
        tracing::info!(drain = ?told.config.drain, "draining");
        told.vitals.draining.cancel();
    });
    let node = Arc::clone(&app);
    let fills = app.tasks.spawn(async move { node.run().await });
    let serve_gateway = async {
        if let Some(listener) = gateway {
            web::serve_gateway(Arc::clone(&app), listener, stop.clone()).await;
        }
    };
    tokio::join!(web::serve(Arc::clone(&app), listener, stop.clone()), serve_gateway);
    tracing::info!("stopping");
    app.close().await;
    fills.await.context("the fill loop")?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The gateway's listener, if there is to be one.
async fn gateway(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.fal_gateway_listen else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).with_context(|| format!("listening on {address} (fal_gateway_listen): is another program there?"))
}
