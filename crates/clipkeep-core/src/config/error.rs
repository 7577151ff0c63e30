//! What is wrong with a configuration, in words for whoever wrote it.
//!
//! No message quotes a value: a value may be a secret, and the place says
//! where to look.

use std::fmt;

use super::key::{Key, Kind};

/// Where a value came from. A later variant goes over an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    File {
        /// The file's name, as it was given.
        file: String,
        /// The line, counted from one.
        line: usize,
    },
    Env {
        name: String,
    },
    Flag {
        /// The flag, with its dashes.
        flag: String,
    },
}

impl Origin {
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Env { .. } => 2,
            Self::Flag { .. } => 3,
        }
    }

    /// How a right value of `key` is written at this place.
    fn example(&self, key: &Key) -> String {
        match self {
            Self::Env { .. } => format!("{}={}", key.env_name(), quoted_for_shell(key.example)),
            Self::Flag { flag } => format!("{flag} {}", quoted_for_shell(key.example)),
            Self::File { .. } | Self::Default => format!("{} = {}", key.name, toml_value(key, key.example)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::File { file, line } => write!(f, "{file}, line {line}"),
            Self::Env { name } => write!(f, "environment, {name}"),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML.
    #[error("{file}, line {line}: {problem}")]
    Syntax {
        file: String,
        /// The line, counted from one.
        line: usize,
        problem: String,
    },
    /// There is no such key.
    #[error("{name} ({origin}): there is no such key; did you mean {nearest}?")]
    Unknown {
        /// The name that is not known.
        name: String,
        origin: Origin,
        /// The nearest known name, as it would be written there.
        nearest: String,
    },
    /// A key's value is not right.
    #[error("{key} ({origin}): {problem}; for example: {example}")]
    Bad {
        key: &'static str,
        /// Where its value came from.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
        /// A right value, as it would be written there.
        example: String,
    },
    /// An `AWS_*` variable that the store needs is missing or not right.
    #[error("{name} (environment): {problem}")]
    Aws {
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ConfigError {
    pub(super) fn bad(key: &Key, origin: Origin, problem: impl Into<String>) -> Self {
        let example = origin.example(key);
        Self::Bad { key: key.name, origin, problem: problem.into(), example }
    }

    pub(super) fn unknown(name: &str, origin: Origin) -> Self {
        let nearest = match &origin {
            Origin::Env { name } => Key::nearest(name.trim_start_matches(super::key::ENV_PREFIX)).env_name(),
            Origin::Flag { .. } => Key::nearest(name).flag_name(),
            Origin::File { .. } | Origin::Default => Key::nearest(name).name.to_owned(),
        };
        Self::Unknown { name: name.to_owned(), origin, nearest }
    }
}

/// Everything that is wrong, in one go: one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not right:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// `text` as TOML would have it for this key: bare, quoted, or an array.
pub(super) fn toml_value(key: &Key, text: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match key.kind {
        Kind::Bool | Kind::Count(..) => text.to_owned(),
        Kind::List(_) | Kind::SecretList(_) => {
            let entries: Vec<_> = super::parse::entries(text).map(quoted).collect();
            format!("[{}]", entries.join(", "))
        }
        _ => quoted(text),
    }
}

fn quoted_for_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
}
