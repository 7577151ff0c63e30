//! `clipkeep token`: prints the admin token.

use std::process::ExitCode;

use clipkeep_core::config::Config;
use serde_json::json;

use super::output;
use crate::keys;

pub(super) fn run(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let keys = keys::load_or_create(config)?;
    let token = keys.admin_token.expose();
    if as_json {
        output::json(&json!({"admin_token": token}))?;
    } else {
        output::line(token);
    }
    Ok(ExitCode::SUCCESS)
}
