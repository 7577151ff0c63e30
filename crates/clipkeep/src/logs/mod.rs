//! What the operator reads: lines on standard error. None carries a source host,
//! a secret, or a signed query.

mod dedup;
mod json;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer as _, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::{dedup::LogDedup, json::JsonLine};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One JSON object a line.
    Json,
}

/// The words for how much is logged.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts logging to standard error. `filter` is as in `RUST_LOG`.
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (tests run several servers in one process) changes nothing.
    let _ = match format {
        LogFormat::Text => registry.with(lines.with_filter(LogDedup::default())).try_init(),
        LogFormat::Json => registry.with(lines.event_format(JsonLine).with_filter(LogDedup::default())).try_init(),
    };
}

/// Checks a filter: a level, or `target=level` with commas between.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_filter(filter: &str) -> Result<(), String> {
    for part in filter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
        let fits = match part.rsplit_once('=') {
            Some((_, level)) => is_level(level),
            // A part of ours alone may be named without a level.
            None => is_level(part) || part == "clipkeep" || part.starts_with("clipkeep::"),
        };
        if !fits {
            return Err(format!("{part:?} is no level (one of {}), and no target=level", LEVELS.join(", ")));
        }
    }
    EnvFilter::try_new(filter).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h42_a_filter_that_nothing_would_match_is_refused() {
        for right in ["", "info", "DEBUG", "warn,clipkeep::fill=debug", "clipkeep=trace,hyper=off", "clipkeep::web"] {
            assert_eq!(check_filter(right), Ok(()), "{right}");
        }
        for wrong in ["debgu", "inof", "clipkeep=debgu", "info;debug", "5x", "debug,wanr", "clipkeep:fill=debug="] {
            assert!(check_filter(wrong).is_err(), "{wrong}");
        }
    }
}
