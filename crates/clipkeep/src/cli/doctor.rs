//! `clipkeep doctor`: checks everything a node needs, and says how to mend it.

use std::process::ExitCode;

use clipkeep_core::config::Config;

use super::output;
use crate::{
    app, catalog, custody,
    doctor::{self, Level},
    error_text::error_text,
    tls,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Mark the store as owned by this catalogue, even if it is marked as another
    /// catalogue's. For when the old database, or all objects, are gone for good.
    #[arg(long)]
    adopt_store: bool,
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    tls::choose_ring();
    if args.adopt_store {
        let catalog = catalog::open::open_configured(&config).await?;
        custody::adopt(&*catalog, &app::store_at(&config)?).await?;
    }
    let opened = catalog::open::open_configured(&config).await.map_err(|error| error_text(&error));
    let checks = doctor::collect(&config, opened).await;
    let all_ok = checks.iter().all(|check| check.ok);
    if as_json {
        output::json(&serde_json::json!({"ok": all_ok, "checks": checks}))?;
    } else {
        for check in &checks {
            let word = match check.level {
                Level::Ok => "ok  ",
                Level::Warning => "warn",
                Level::Failed => "FAIL",
            };
            output::line(format!("{word} {:<9} {}", check.check, check.detail));
            if let Some(hint) = check.hint {
                output::line(format!("     hint: {hint}"));
            }
        }
    }
    Ok(if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
