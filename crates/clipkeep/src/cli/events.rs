//! `clipkeep events`: what happened, what an endpoint did not take, and telling
//! it once more.

use std::process::ExitCode;

use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clipkeep_core::{
    config::Config,
    endpoint::Endpoint,
    event::{Event, EventType, Position},
    id::ClipKey,
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

use super::output;
use crate::{
    catalog::{
        self, Catalog,
        lookup::current_key,
        outbox::{ParkedDelivery, Replay, WaitingDelivery},
    },
    clock::SystemClock,
    keys,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print events after this event id, oldest first. Without it, the newest events are printed.
    #[arg(long, value_name = "ID")]
    after: Option<Position>,
    /// Only events of this type, such as clip.lost.
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type())]
    kind: Option<EventType>,
    /// Print at most this many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List events that an endpoint has not accepted yet and that will be retried.
    Waiting {
        /// Print at most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// List parked events (dead letters): no endpoint accepted them within a day.
    Parked {
        /// Print at most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Send events to endpoints again.
    Replay(ReplayArgs),
    /// Print the secret that signs events.
    Secret,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Only this endpoint, by the name that `parked` and the log show.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Send parked events again.
    #[arg(long)]
    parked: bool,
    /// Send all events after this event id again.
    #[arg(long, value_name = "ID")]
    after: Option<Position>,
    /// Send all events about this clip again.
    #[arg(long)]
    key: Option<ClipKey>,
}

impl Args {
    /// Whether all it needs is the secret, and no catalogue.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.what, Some(What::Secret))
    }
}

/// A type of those that apps are told of.
fn event_type() -> impl TypedValueParser<Value = EventType> {
    let offered = EventType::ALL.iter().filter(|kind| kind.is_for_apps());
    PossibleValuesParser::new(offered.map(|kind| kind.as_str())).try_map(|text| text.parse::<EventType>())
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.is_secret() {
        return secret(&config, as_json);
    }
    let catalog = catalog::open::open_configured(&config).await?;
    match &args.what {
        None => {
            must_be_known(&*catalog, args.after).await?;
            print_events(&catalog.list_events(args.kind, args.after, args.limit).await?, as_json)?;
        }
        Some(What::Waiting { limit }) => print_waiting(&catalog.waiting_deliveries(*limit).await?, as_json)?,
        Some(What::Parked { limit }) => print_parked(&catalog.parked_deliveries(*limit).await?, as_json)?,
        Some(What::Replay(wanted)) => replay(&config, &*catalog, wanted, as_json).await?,
        Some(What::Secret) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a position that nobody can have been told of: nothing ever comes
/// after it.
async fn must_be_known(catalog: &dyn Catalog, after: Option<Position>) -> anyhow::Result<()> {
    match after {
        Some(position) if !catalog.is_reached(position).await? => {
            bail!("--after {position}: this event id was never given (was the database restored?)")
        }
        _ => Ok(()),
    }
}

fn secret(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let secret = keys::event_secret(config)?;
    let secret = secret.expose();
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
        "provider": event.generation.as_ref().map(|(provider, _)| provider),
        "request_id": event.request_id(),
        "key": event.key,
        "tenant": event.tenant,
        "reason": event.reason(),
    })
}

fn print_events(events: &[(Position, Event)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows: Vec<_> = events.iter().map(|(position, event)| row(*position, event)).collect();
        return output::json(&json!({"events": rows}));
    }
    let cells = |(position, event): &(Position, Event)| {
        let reason = event.reason().unwrap_or_else(|| "-".to_owned());
        vec![
            position.to_string(),
            event.at.to_string(),
            event.kind.to_string(),
            event.subject().to_owned(),
            output::shorten(&reason, 60),
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

fn print_waiting(waiting: &[WaitingDelivery], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let full = |WaitingDelivery { endpoint, delivery, next_at, why }: &WaitingDelivery| {
            let mut row = row(delivery.position, &delivery.event);
            row["endpoint"] = json!(endpoint);
            row["attempts"] = json!(delivery.attempts);
            row["first_at"] = json!(delivery.first_at);
            row["next_at"] = json!(next_at);
            row["last_error"] = json!(why);
            row
        };
        return output::json(&json!({"waiting": waiting.iter().map(full).collect::<Vec<_>>()}));
    }
    let cells = |WaitingDelivery { endpoint, delivery, next_at, why }: &WaitingDelivery| {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let why =
            why.as_deref().unwrap_or(if next_at.is_some() { "not sent yet" } else { "waits for an earlier event" });
        vec![
            endpoint.clone(),
            delivery.position.to_string(),
            delivery.event.kind.to_string(),
            delivery.event.subject().to_owned(),
            delivery.attempts.to_string(),
            time(delivery.first_at),
            time(*next_at),
            output::shorten(why, 60),
        ]
    };
    let rows: Vec<_> = waiting.iter().map(cells).collect();
    output::table(&["ENDPOINT", "ID", "TYPE", "ABOUT", "ATTEMPTS", "SINCE", "NEXT", "LAST ERROR"], &rows);
    Ok(())
}

async fn replay(config: &Config, catalog: &dyn Catalog, args: &ReplayArgs, as_json: bool) -> anyhow::Result<()> {
    must_be_known(catalog, args.which.after).await?;
    let what = match (args.which.after, &args.which.key) {
        (Some(position), _) => Replay::After(position),
        (None, Some(key)) => Replay::Of(current_key(catalog, key).await?),
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
