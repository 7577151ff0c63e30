//! The layers as they were given: names checked, values still text.
//!
//! Nothing is read here. The file comes as a string and the environment as
//! pairs, so that a test can hand in any.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{
    error::{ConfigError, Origin},
    key::{ENV_PREFIX, Key, Kind, is_reserved_env},
};

/// A value as text, and where it came from.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What file, environment and flags gave. A flag goes over the environment,
/// which goes over the file, in whatever order they are added.
///
/// There is no `Debug`: the values may be secrets.
#[derive(Default)]
pub struct Layers {
    pub(super) values: BTreeMap<&'static str, Given>,
    pub(super) aws: BTreeMap<String, String>,
    pub(super) errors: Vec<ConfigError>,
}

impl Layers {
    /// Nothing given: every key has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the text of a TOML file, which messages call `file`. If it does
    /// not parse, none of it counts.
    #[must_use]
    pub fn with_file(mut self, file: &str, text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            for (name, value) in table.get_ref() {
                let origin = Origin::File { file: file.to_owned(), line: line_of(text, name.span().start) };
                self.add_toml(name.get_ref(), value.get_ref(), origin);
            }
        }
        self.errors.extend(errors.iter().map(|error| ConfigError::Syntax {
            file: file.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            problem: error.message().replace('\n', ", "),
        }));
        self
    }

    /// Adds the environment. Names that do not start with `CLIPKEEP_` or
    /// `AWS_` are passed over.
    #[must_use]
    pub fn with_env(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, text) in pairs {
            if name.starts_with("AWS_") {
                self.aws.insert(name, text);
            } else if name.starts_with(ENV_PREFIX) && !is_reserved_env(&name, &text) {
                let key = super::key::KEYS.iter().find(|key| key.env_name() == name);
                self.add(key, &name.clone(), text, Origin::Env { name });
            }
        }
        self
    }

    /// Adds flags, each by its key's name.
    #[must_use]
    pub fn with_flags<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        for (name, text) in pairs {
            let flag = format!("--{}", name.replace('_', "-"));
            self.add(Key::named(name), name, text, Origin::Flag { flag });
        }
        self
    }

    fn add_toml(&mut self, name: &str, value: &DeValue<'_>, origin: Origin) {
        let key = Key::named(name);
        match key.map(|key| (key, toml_text(key, value))) {
            Some((key, Err(problem))) => self.errors.push(ConfigError::bad(key, origin, problem)),
            Some((_, Ok(text))) => self.add(key, name, text, origin),
            None => self.add(None, name, String::new(), origin),
        }
    }

    fn add(&mut self, key: Option<&'static Key>, name: &str, text: String, origin: Origin) {
        let Some(key) = key else {
            self.errors.push(ConfigError::unknown(name, origin));
            return;
        };
        if self.values.get(key.name).is_none_or(|given| given.origin.rank() <= origin.rank()) {
            self.values.insert(key.name, Given { text, origin });
        }
    }
}

/// A TOML value as the text that the environment would hold.
fn toml_text(key: &Key, value: &DeValue<'_>) -> Result<String, &'static str> {
    let is_list = matches!(key.kind, Kind::List(_) | Kind::SecretList(_));
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Array(entries) if is_list => {
            let text = |entry: &toml::Spanned<DeValue<'_>>| match entry.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err("its entries must be strings"),
            };
            Ok(entries.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ if is_list => Err("must be an array or a string"),
        _ => Err("must be a single value"),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
}
