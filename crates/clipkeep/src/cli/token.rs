//! `clipkeep token`: prints the admin token; makes, lists and revokes others.

use std::process::ExitCode;

use anyhow::bail;
use clipkeep_core::{
    config::Config,
    id::Tenant,
    time::{Clock as _, Timestamp},
    token::{TokenInfo, check_token_name},
};
use serde_json::json;

use super::{output, wrong_usage};
use crate::{
    auth::issue,
    catalog::{Catalog, open::open_configured},
    clock::SystemClock,
    keys,
    web::TokenRow,
};

/// How many tokens are read at once.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create a token for one tenant or for an admin. It is shown only once.
    Create(CreateArgs),
    /// List tokens, newest first, including revoked ones.
    List,
    /// Revoke a token permanently; nodes refuse it within seconds.
    Revoke {
        /// The token's id, as `clipkeep token list` shows it.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// A name that says what the token is for.
    #[arg(long)]
    name: String,
    /// The tenant whose rows the token may access.
    #[arg(long, required_unless_present = "admin", conflicts_with = "admin")]
    tenant: Option<Tenant>,
    /// Create an admin token, which may access everything.
    #[arg(long)]
    admin: bool,
}

impl Args {
    /// Whether it is the admin token that is asked for.
    pub(super) const fn is_admins(&self) -> bool {
        self.what.is_none()
    }
}

pub(super) async fn run(config: &Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(what) = &args.what else { return admins(config, as_json) };
    let catalog = open_configured(config).await?;
    match what {
        What::Create(args) => create(&*catalog, args, as_json).await,
        What::List => list(&*catalog, as_json).await,
        What::Revoke { id } => revoke(&*catalog, id, as_json).await,
    }
}

fn admins(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let token = keys::admin_token(config)?;
    let token = token.expose();
    if as_json {
        output::json(&json!({"admin_token": token}))?;
    } else {
        output::line(token);
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(catalog: &dyn Catalog, args: &CreateArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    check_token_name(&args.name).map_err(|problem| wrong_usage(format!("--name {problem}")))?;
    let (token, info) = issue(catalog, &SystemClock, args.name.clone(), args.tenant.clone()).await?;
    let token = token.expose();
    if as_json {
        let mut row = serde_json::to_value(TokenRow::from(info))?;
        row["token"] = json!(token);
        output::json(&row)?;
    } else {
        output::line(token);
        output::note(format!("this is token {}; it is not shown again", info.id));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(catalog: &dyn Catalog, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut tokens: Vec<TokenInfo> = Vec::new();
    loop {
        let page = catalog.tokens(tokens.last().map(|last| last.id.as_str()), PAGE).await?;
        let more = page.len() >= PAGE as usize;
        tokens.extend(page);
        if !more {
            break;
        }
    }
    if as_json {
        let tokens: Vec<TokenRow> = tokens.into_iter().map(TokenRow::from).collect();
        output::json(&json!({"tokens": tokens}))?;
    } else if tokens.is_empty() {
        output::line("no token was made; the admin token is not among them");
    } else {
        let rows: Vec<_> = tokens.into_iter().map(cells).collect();
        output::table(&["ID", "SEES", "CREATED", "LAST USED", "REVOKED", "NAME"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(token: TokenInfo) -> Vec<String> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let TokenInfo { id, name, tenant, created_at, last_used_at, revoked_at } = token;
    let sees = tenant.map_or_else(|| "all (admin)".to_owned(), String::from);
    vec![id, sees, created_at.to_string(), time(last_used_at), time(revoked_at), output::shorten(&name, 60)]
}

async fn revoke(catalog: &dyn Catalog, id: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    if !catalog.revoke_token(id, SystemClock.now()).await? {
        bail!("no token has the id {id:?}\nhint: `clipkeep token list` shows them");
    }
    if as_json {
        output::json(&json!({"id": id, "revoked": true}))?;
    } else {
        output::line(format!("{id} is revoked; running nodes refuse it within seconds"));
    }
    Ok(ExitCode::SUCCESS)
}
