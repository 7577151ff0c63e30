//! `clipkeep token`: prints the admin token.

use std::process::ExitCode;

use clipkeep_core::config::Config;
use serde_json::json;

use super::output;
use crate::keys;

pub(super) fn run(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let token = keys::admin_token(config)?;
    let token = token.expose();
    if as_json {
        output::json(&json!({"admin_token": token}))?;
    } else {
        output::line(token);
    }
    Ok(ExitCode::SUCCESS)
}
