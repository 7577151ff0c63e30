//! The command line: flags → library call → print.

mod chart;
mod costs;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod duplicates;
mod events;
mod explain;
mod export;
mod find;
mod import;
mod link;
mod output;
mod receipt;
mod serve;
mod sweep;
mod token;
mod tree;
mod unread;
mod usage;
mod verify;

use std::{fmt, process::ExitCode};

use clap::{Parser, Subcommand};
use clipkeep_core::{
    config::{Config, DatabaseUrl, LogFormat as WantedFormat, StoreUrl},
    link::Audience,
};

use crate::{
    catalog::open::OpenError,
    config::{ConfigArgs, LoadError},
    costs::CostError,
    error_text::error_text,
    logs::{self, LogFormat},
};

/// Keeps AI video: copies generated clips into your own bucket and serves them
/// from there.
#[derive(Debug, Parser)]
#[command(name = "clipkeep", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: receive webhooks, copy clips, serve them.
    Serve,
    /// Try it out with a simulated provider, a node and a few clips.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    Import(import::Args),
    /// Find clips: which prompt made this clip, which clips came from this prompt.
    Find(find::Args),
    /// List events, show undelivered ones, and replay them to endpoints.
    Events(events::Args),
    /// Poll for lost webhooks, and fill every clip that is due.
    Sweep(sweep::Args),
    /// Show a clip's history: each attempt, what it read, and what comes next.
    Explain(explain::Args),
    /// Sign a link to a clip, or revoke links.
    Link(link::Args),
    /// Read stored clips again and compare their bytes with their checksums.
    Verify(verify::Args),
    /// Show what was delivered: plays, bytes, hits, cold fetches.
    Usage(usage::Args),
    /// Show what clips cost, on several price lists side by side.
    Costs(costs::Args),
    /// Print the admin token, or create, list and revoke tokens.
    Token(token::Args),
    /// Check configuration, database, store, webhook keys and clock.
    Doctor(doctor::Args),
}

/// The exit code of a command line that is not right, as clap has it.
const EXIT_USAGE: u8 = 2;

/// The command line is not right, in a way that clap does not see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUsage(String);

/// Says that the command line is not right.
fn wrong_usage(problem: impl fmt::Display) -> anyhow::Error {
    WrongUsage(problem.to_string()).into()
}

/// Whether a value of the configuration is not right that could be judged only by
/// using it.
fn is_config(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(OpenError::BadUrl { .. }))
            || matches!(cause.downcast_ref(), Some(CostError::List { .. } | CostError::Budget { .. }))
    })
}

/// A command failed.
pub enum Failure {
    /// The configuration is wrong (exit code 64).
    Config(LoadError),
    /// The command could not do its work (exit code 1).
    Command(anyhow::Error),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(crate::config::EXIT_CONFIG),
            Self::Command(error) if error.is::<WrongUsage>() => ExitCode::from(EXIT_USAGE),
            Self::Command(error) if is_config(error) => ExitCode::from(crate::config::EXIT_CONFIG),
            Self::Command(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => f.write_str(&error_text(error)),
            Self::Command(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Config(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Command(error)
    }
}

/// Runs the command.
///
/// # Errors
/// If the configuration is wrong or the command could not do its work.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let filter = crate::config::log_filter()?;
    // The demo brings a configuration of its own.
    #[cfg(feature = "demo")]
    if let Command::Demo(args) = &cli.command {
        if let Some(flag) = cli.config.first_given() {
            return Err(
                wrong_usage(format!("the demo brings a configuration of its own: {flag} means nothing to it")).into()
            );
        }
        init_logs(WantedFormat::Auto, filter.as_deref().unwrap_or("warn"));
        let code = runtime()?.block_on(demo::run(args, cli.json))?;
        output::finish()?;
        return Ok(code);
    }
    let config = crate::config::load(&cli.config).map_err(Failure::Config)?;
    if needs_folder(&cli.command, &config) && !config.data.exists() {
        let hint = "hint: start `clipkeep serve` once, or name another with --data or --config";
        return Err(anyhow::anyhow!("there is no data folder {}; {hint}", config.data.display()).into());
    }
    let level = match cli.command {
        Command::Serve => "info",
        // Its summary tells of the attempts that failed.
        Command::Import(_) => "warn,clipkeep::fill=error",
        _ => "warn",
    };
    init_logs(config.log_format, filter.as_deref().unwrap_or(level));
    let code = runtime()?.block_on(async {
        match &cli.command {
            Command::Serve => serve::run(config, cli.json).await,
            #[cfg(feature = "demo")]
            Command::Demo(_) => unreachable!("handled above"),
            Command::Sweep(args) => sweep::run(config, args, cli.json).await,
            Command::Find(args) => find::run(config, args, cli.json).await,
            Command::Events(args) => events::run(config, args, cli.json).await,
            Command::Import(args) => import::run(config, args, cli.config.policy(), cli.json).await,
            Command::Explain(args) => explain::run(config, args, cli.json).await,
            Command::Link(args) => link::run(&config, args, cli.json).await,
            Command::Verify(args) => verify::run(config, args, cli.json).await,
            Command::Costs(args) => costs::run(config, args, cli.json).await,
            Command::Usage(args) => usage::run(config, args, cli.json).await,
            Command::Token(args) => token::run(&config, args, cli.json).await,
            Command::Doctor(args) => doctor::run(config, args, cli.json).await,
        }
    })?;
    output::finish()?;
    Ok(code)
}

/// Whether a command that only reads would have to make something in the data
/// folder. If that is not there it is in a wrong place most likely.
fn needs_folder(command: &Command, config: &Config) -> bool {
    let database = matches!(&config.database, DatabaseUrl::Sqlite(path) if path.starts_with(&config.data));
    let store = matches!(&config.store, StoreUrl::Folder(path) if path.starts_with(&config.data));
    match command {
        // These may make it; the doctor says so.
        Command::Serve | Command::Import(_) | Command::Doctor(_) => false,
        #[cfg(feature = "demo")]
        Command::Demo(_) => false,
        Command::Token(args) if args.is_admins() => config.admin_token.is_none(),
        Command::Token(_) => database,
        Command::Link(args) => {
            (args.needs(Audience::Public) && config.link_keys.is_none())
                || (args.needs(Audience::Internal) && config.internal_link_keys.is_none())
        }
        Command::Events(args) if args.is_secret() => config.event_secret.is_none(),
        Command::Find(_) | Command::Events(_) | Command::Explain(_) | Command::Usage(_) | Command::Costs(_) => database,
        Command::Verify(args) if args.is_offline() => false,
        Command::Verify(_) => database || store,
        Command::Sweep(args) if args.only_lists() => database,
        Command::Sweep(args) if args.only_looks() => database || store,
        Command::Sweep(_) => {
            let links = [&config.link_keys, &config.internal_link_keys];
            let others = [&config.admin_token, &config.event_secret, &config.receipt_key];
            database || store || links.iter().chain(&others).any(|secret| secret.is_none())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::Command(anyhow::Error::new(error).context("starting the async runtime")))
}

fn init_logs(wanted: WantedFormat, filter: &str) {
    let format = match wanted {
        WantedFormat::Text => LogFormat::Text,
        WantedFormat::Json => LogFormat::Json,
        WantedFormat::Auto if output::stderr_is_terminal() => LogFormat::Text,
        WantedFormat::Auto => LogFormat::Json,
    };
    logs::start(format, filter);
}
