//! `clipkeep events`: what happened, what an endpoint did not take, and telling
//! it once more.

use std::process::ExitCode;

use anyhow::bail;
use clipkeep_core::{
    config::Config,
    endpoint::Endpoint,
    event::{Event, EventType, Position},
    id::ClipKey,
    time::Clock,
};
use serde_json::{Value, json};

use super::output;
use crate::{
    catalog::{
        self, Catalog,
        outbox::{ParkedDelivery, Replay},
    },
    clock::SystemClock,
    keys,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Those after this one, oldest first; the newest unless given.
    #[arg(long, value_name = "ID")]
    after: Option<Position>,
    /// Of this type alone, such as clip.lost.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<EventType>,
    /// At most this many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List events that an endpoint did not take within a day.
    Parked {
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Tell endpoints once more.
    Replay(ReplayArgs),
    /// Print the secret that events are signed with.
    Secret,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// This endpoint alone, by the name that `parked` and the log show.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// What was parked.
    #[arg(long)]
    parked: bool,
    /// All events after this one.
    #[arg(long, value_name = "ID")]
    after: Option<Position>,
    /// All events about this clip.
    #[arg(long)]
    key: Option<ClipKey>,
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if matches!(args.what, Some(What::Secret)) {
        return secret(&config, as_json);
    }
    let catalog = catalog::open::open_configured(&config).await?;
    match &args.what {
        None => print_events(&catalog.list_events(args.kind, args.after, args.limit).await?, as_json)?,
        Some(What::Parked { limit }) => print_parked(&catalog.parked_deliveries(*limit).await?, as_json)?,
        Some(What::Replay(wanted)) => replay(&config, &*catalog, wanted, as_json).await?,
        Some(What::Secret) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn secret(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let keys = keys::load_or_create(config)?;
    let secret = keys.event_secret.expose();
    if as_json {
        output::json(&json!({"event_secret": secret}))?;
    } else {
        output::line(secret);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(position: Position, event: &Event) -> Value {
    json!({
        "id": position.to_string(),
        "type": event.kind,
        "timestamp": event.at,
        "provider": event.provider,
        "request_id": event.request_id,
        "key": event.key,
        "reason": event.detail,
    })
}

fn print_events(events: &[(Position, Event)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows: Vec<_> = events.iter().map(|(position, event)| row(*position, event)).collect();
        return output::json(&json!({"events": rows}));
    }
    let cells = |(position, event): &(Position, Event)| {
        let reason = event.detail.as_deref().unwrap_or("-");
        vec![
            position.to_string(),
            event.at.to_string(),
            event.kind.to_string(),
            event.subject().to_owned(),
            output::shorten(reason, 60),
        ]
    };
    let rows: Vec<_> = events.iter().map(cells).collect();
    output::table(&["ID", "WHEN", "TYPE", "ABOUT", "REASON"], &rows);
    Ok(())
}

fn print_parked(parked: &[ParkedDelivery], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let full = |ParkedDelivery { endpoint, delivery, why }: &ParkedDelivery| {
            let mut row = row(delivery.position, &delivery.event);
            row["endpoint"] = json!(endpoint);
            row["attempts"] = json!(delivery.attempts);
            row["first_at"] = json!(delivery.first_at);
            row["last_error"] = json!(why);
            row
        };
        return output::json(&json!({"parked": parked.iter().map(full).collect::<Vec<_>>()}));
    }
    let cells = |ParkedDelivery { endpoint, delivery, why }: &ParkedDelivery| {
        vec![
            endpoint.clone(),
            delivery.position.to_string(),
            delivery.event.kind.to_string(),
            delivery.event.subject().to_owned(),
            delivery.attempts.to_string(),
            output::shorten(why.as_deref().unwrap_or("-"), 60),
        ]
    };
    let rows: Vec<_> = parked.iter().map(cells).collect();
    output::table(&["ENDPOINT", "ID", "TYPE", "ABOUT", "ATTEMPTS", "LAST ERROR"], &rows);
    Ok(())
}

async fn replay(config: &Config, catalog: &dyn Catalog, args: &ReplayArgs, as_json: bool) -> anyhow::Result<()> {
    let what = match (args.which.after, &args.which.key) {
        (Some(position), _) => Replay::After(position),
        (None, Some(key)) => Replay::Of(key.clone()),
        (None, None) => Replay::Parked,
    };
    let known: Vec<_> = config.event_endpoints.iter().map(Endpoint::name).collect();
    let wanted = |name: &&&str| args.endpoint.as_deref().is_none_or(|endpoint| endpoint == **name);
    let names: Vec<_> = known.iter().filter(wanted).collect();
    if names.is_empty() {
        match known.is_empty() {
            true => bail!("no endpoint is configured (event_endpoints)"),
            false => bail!("--endpoint names none of event_endpoints, which are: {}", known.join(", ")),
        }
    }
    let mut replayed = Vec::new();
    for name in names {
        replayed.push((name, catalog.replay(name, &what, SystemClock.now()).await?));
    }
    if as_json {
        let rows: Vec<_> = replayed.iter().map(|(name, events)| json!({"endpoint": name, "events": events})).collect();
        return output::json(&json!({"replayed": rows}));
    }
    for (name, events) in replayed {
        output::line(format!("{name}: {events} events are due again"));
    }
    Ok(())
}
