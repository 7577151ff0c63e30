//! Finds what was given, in file, environment and flags, and has the core
//! check it. The only place that reads the environment.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clipkeep_core::{
    config::{Config, ConfigErrors, ENV_PREFIX, Key, Layers},
    policy::Policy,
};

use crate::logs;

/// The exit code of a command whose configuration or arguments are not right.
pub const EXIT_CONFIG: u8 = 64;

/// Where the file is looked for if nobody names one.
const DEFAULT_FILE: &str = "clipkeep.toml";

/// What a configuration file may hold at most, lest a wrong path is read on
/// and on.
const MAX_FILE: u64 = 1 << 20;

/// The settings that most commands take as flags.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// The configuration file, instead of ./clipkeep.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[arg(long, value_name = "ADDRESS", global = true, help = help("listen"))]
    listen: Option<String>,
    #[arg(long, value_name = "FOLDER", global = true, help = help("data"))]
    data: Option<String>,
    #[arg(long, value_name = "URL", global = true, help = help("database"))]
    database: Option<String>,
    #[arg(long, value_name = "URL", global = true, help = help("store"))]
    store: Option<String>,
    #[arg(long, value_name = "URL", global = true, help = help("public_url"))]
    public_url: Option<String>,
    #[arg(long, value_name = "POLICY", global = true, help = help("policy"))]
    policy: Option<String>,
}

impl ConfigArgs {
    /// The policy, if it was given as a flag and is one.
    pub fn policy(&self) -> Option<Policy> {
        self.policy.as_deref()?.parse().ok()
    }

    /// The first flag that was given.
    pub fn first_given(&self) -> Option<String> {
        let named = self.config.as_ref().map(|_| "--config".to_owned());
        named.or_else(|| self.given().next().map(|(name, _)| format!("--{}", name.replace('_', "-"))))
    }

    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        let flags = [
            ("listen", &self.listen),
            ("data", &self.data),
            ("database", &self.database),
            ("store", &self.store),
            ("public_url", &self.public_url),
            ("policy", &self.policy),
        ];
        flags.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name, value)))
    }
}

/// A key's first sentence, as `--help` would have it.
fn help(name: &str) -> String {
    let doc = Key::named(name).expect("each flag is a key of the table").doc();
    doc.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// Why there is no configuration. The text is fit for a terminal; the command
/// ends with [`EXIT_CONFIG`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    File {
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A variable of ours holds bytes that are no text.
    #[error("{name} in the environment is not UTF-8")]
    NotText { name: String },
    /// `CLIPKEEP_LOG` would log something else than was meant.
    #[error("CLIPKEEP_LOG in the environment: {problem}")]
    Log {
        /// What is wrong with it.
        problem: String,
    },
    /// What it says is not right.
    #[error(transparent)]
    Wrong(#[from] ConfigErrors),
}

/// The configuration of this process: flags over environment over file over
/// defaults. Blocks on reading the file.
///
/// # Errors
/// If the file cannot be read, or anything in the configuration is not right.
pub fn load(args: &ConfigArgs) -> Result<Config, LoadError> {
    load_from(args, std::env::vars_os(), Path::new(DEFAULT_FILE))
}

/// What is to be logged, by `CLIPKEEP_LOG`, if that is set.
///
/// # Errors
/// If it is no filter.
#[expect(clippy::disallowed_methods, reason = "the one module that reads the environment")]
pub fn log_filter() -> Result<Option<String>, LoadError> {
    let filter = match std::env::var("CLIPKEEP_LOG") {
        Err(std::env::VarError::NotUnicode(_)) => return Err(LoadError::NotText { name: "CLIPKEEP_LOG".to_owned() }),
        given => given.ok().filter(|filter| !filter.is_empty()),
    };
    let checked = filter.as_deref().map_or(Ok(()), logs::check_filter);
    checked.map(|()| filter).map_err(|problem| LoadError::Log { problem })
}

fn load_from(
    args: &ConfigArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    default_file: &Path,
) -> Result<Config, LoadError> {
    let env = ours(env)?;
    let named_by_env = env.iter().find(|(name, path)| name == "CLIPKEEP_CONFIG" && !path.is_empty());
    let named = args.config.clone().or_else(|| named_by_env.map(|(_, path)| path.into()));
    let mut layers = Layers::new();
    if let Some((path, text)) = read_file(named, default_file)? {
        layers = layers.with_file(&path.display().to_string(), &text);
    }
    Ok(Config::from_layers(layers.with_env(env).with_flags(args.given()))?)
}

/// Our part of the environment, as text. The rest need not be text.
fn ours(env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, LoadError> {
    let names = env.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    names
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) || name.starts_with("AWS_"))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(LoadError::NotText { name }),
        })
        .collect()
}

/// The file that was named, which must be there, or else the default one if it
/// is there.
fn read_file(named: Option<PathBuf>, default_file: &Path) -> Result<Option<(PathBuf, String)>, LoadError> {
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| default_file.to_owned());
    match read_bounded(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => Ok(None),
        Err(source) => Err(LoadError::File { path, source }),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let len = File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if len as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::{Args as _, Parser};
    use clipkeep_core::config::KEYS;
    use tempfile::TempDir;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigArgs,
    }

    fn args(flags: &[&str]) -> ConfigArgs {
        Cli::try_parse_from(["clipkeep"].iter().chain(flags)).unwrap().config
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// A folder that holds files with one line each, which sets `data`.
    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, data) in files {
            std::fs::write(folder.path().join(name), format!("data = '{data}'")).unwrap();
        }
        folder
    }

    #[test]
    fn the_flags_are_those_of_the_table() {
        let command = ConfigArgs::augment_args(clap::Command::new("clipkeep"));
        let mut flags: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
        flags.retain(|flag| flag != "config");
        let keys = KEYS.iter().filter(|key| key.has_flag).map(|key| key.flag_name()[2..].to_owned());
        assert_eq!(flags, keys.collect::<Vec<_>>());
        let all: Vec<_> = flags.iter().flat_map(|flag| [format!("--{flag}"), "x".to_owned()]).collect();
        let given = args(&all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(given.given().count(), flags.len());
    }

    #[test]
    fn the_file_is_the_flags_then_the_environments_then_the_folders() {
        let folder = folder(&[("flag", "/flag"), ("env", "/env"), (DEFAULT_FILE, "/default")]);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let data = |flags: &[&str], vars: &[(&str, &str)]| {
            load_from(&args(flags), env(vars), &folder.path().join(DEFAULT_FILE)).unwrap().data
        };
        let (by_flag, by_env) = (path("flag"), path("env"));
        assert_eq!(data(&["--config", &by_flag], &[("CLIPKEEP_CONFIG", &by_env)]), PathBuf::from("/flag"));
        assert_eq!(data(&[], &[("CLIPKEEP_CONFIG", &by_env)]), PathBuf::from("/env"));
        assert_eq!(data(&[], &[("CLIPKEEP_CONFIG", "")]), PathBuf::from("/default"));
        assert_eq!(data(&[], &[("CLIPKEEP_DATA", "/over")]), PathBuf::from("/over"));
        assert_eq!(data(&["--data", "/most"], &[("CLIPKEEP_DATA", "/over")]), PathBuf::from("/most"));
    }

    #[test]
    fn a_file_that_was_named_must_be_there_and_the_default_one_need_not() {
        let folder = folder(&[]);
        let missing = folder.path().join(DEFAULT_FILE);
        assert!(load_from(&args(&[]), env(&[]), &missing).is_ok());
        let named = args(&["--config", missing.to_str().unwrap()]);
        let error = load_from(&named, env(&[]), &missing).unwrap_err();
        assert_eq!(error.to_string(), format!("reading {}", missing.display()));
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = load_from(&args(&["--config", "/dev/zero"]), env(&[]), Path::new("")).unwrap_err();
        assert!(matches!(error, LoadError::File { .. }), "{error}");
    }

    #[test]
    fn variables_that_are_no_text_matter_only_if_they_are_ours() {
        let bytes = || OsString::from_vec(vec![0xff]);
        let load = |name: &str| load_from(&args(&[]), [(name.into(), bytes())], Path::new("/nowhere/clipkeep.toml"));
        assert!(load("LESSOPEN").is_ok());
        let error = load("CLIPKEEP_DATA").unwrap_err();
        assert_eq!(error.to_string(), "CLIPKEEP_DATA in the environment is not UTF-8");
    }
}
