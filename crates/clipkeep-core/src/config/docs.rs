//! Writes `docs/config.md` and `clipkeep.example.toml` from the table, and
//! fails where they are stale. `UPDATE_DOCS=1` writes them.

use std::{fmt::Write as _, path::Path};

use super::{
    key::{KEYS, Key, Kind},
    read,
};
use crate::config::{Config, Layers};

fn kind_words(kind: Kind) -> String {
    match kind {
        Kind::Text(form) => form.to_owned(),
        Kind::Secret(form) => format!("secret: {form}"),
        Kind::SecretList(form) => format!("secret list of {form}"),
        Kind::List(form) => format!("list of {form}"),
        Kind::Choice(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Count(least, most) => format!("number, {least} to {most}"),
        Kind::Size(least, most) => format!("size, {least} to {most}"),
        Kind::Rate(least, most) => format!("size a second, {least} to {most}, or `unlimited`"),
        Kind::CountOrHalf(least, most) => format!("number, {least} to {most}, or `half`"),
        Kind::Duration(least, most) => format!("duration, {least} to {most}"),
        Kind::DurationOrNever(least, most) => format!("duration, {least} to {most}, or `never`"),
    }
}

const MARKDOWN_HEAD: &str = "\
# Configuration

<!-- Written from crates/clipkeep-core/src/config/key.rs by `UPDATE_DOCS=1 cargo test -p clipkeep-core docs`. -->

A setting is given in `clipkeep.toml`, in the environment, or as a flag; a flag goes over the environment, which goes over
the file. The file is the one that `--config` names, else the one that `CLIPKEEP_CONFIG` names, else `./clipkeep.toml` if
it is there. In the environment a key is `CLIPKEEP_` and its name in upper case: `public_url` is `CLIPKEEP_PUBLIC_URL`.

An unknown key is an error that names the nearest known one, so that a typo never goes unnoticed. Everything that is
wrong is reported at once, and nothing is started.

- Durations are a whole number and a unit: `250ms`, `30s`, `5m`, `24h`, `7d`.
- Sizes are a whole number and a unit: `64MiB`, `10GiB` (powers of 1024), `500MB` (powers of 1000), or a bare number of bytes.
- Lists are TOML arrays, or one string with commas.
- Relative paths start where clipkeep was started.
- In the defaults below, `{data}` and `{listen}` stand for those keys' values.

## Keys

| Key | Value | Default | Example | What it does |
| --- | --- | --- | --- | --- |
";

const MARKDOWN_TAIL: &str = "
## What a PostgreSQL URL may say

`postgres://` and `postgresql://` are one. Special characters of user, password and values are written as `%XX`. Several hosts stand with commas between. Without a host the server's socket on this machine is meant; a database must be named.

| Parameter | What it does |
| --- | --- |
| `sslmode` | `disable`, `allow` and `prefer`: no TLS. `require`, `verify-ca` and `verify-full`: TLS, with the server's certificate and name checked. |
| `sslrootcert` | A PEM file of those whose certificates are believed, or `system`, the default. A server with a certificate of its own needs it. |
| `sslcert`, `sslkey` | PEM files: what we show the server. |
| `channel_binding`, `target_session_attrs`, `load_balance_hosts`, `sslnegotiation`, `options`, `application_name`, `fallback_application_name`, `hostaddr` | As in libpq. |
| `connect_timeout`, `tcp_user_timeout`, `keepalives`, `keepalives_idle`, `keepalives_interval`, `keepalives_count` | As in libpq; `connect_timeout` is 5 s unless given. |
| `client_encoding`, `gssencmode`, `sslcertmode`, `sslcompression`, `sslsni`, `ssl_min_protocol_version` | Passed over where they ask for nothing that is not so anyway. |

Any other parameter is refused by its name. A pooler must hand out connections per session: one that does per transaction (PgBouncer's `pool_mode = transaction`) is refused at start.

## Names for the bucket

Read if `store` is `s3://…`, from the environment only. An empty value is as good as none.

| Name | What it says |
| --- | --- |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` | The credentials. Without them the machine's role is asked. |
| `AWS_SESSION_TOKEN` | The token that goes with temporary credentials. |
| `AWS_REGION`, `AWS_DEFAULT_REGION` | The region; `us-east-1` if neither is set. Cloudflare R2 wants `auto`. |
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT` | The endpoint, where it is not AWS itself. The first that is set counts. |
| `AWS_S3_FORCE_PATH_STYLE` | Whether the bucket stands in the path (`true`) or in the host (`false`). With an endpoint of your own the default is `true`, else `false`. |

## Other names in the environment

| Name | What it says |
| --- | --- |
| `CLIPKEEP_CONFIG` | Where the configuration file is. |
| `CLIPKEEP_LOG` | What is logged, as `info` or `clipkeep=debug,info`. |
| `CLIPKEEP_…_SERVICE_HOST`, `CLIPKEEP_…_SERVICE_PORT…`, `CLIPKEEP_…_PORT=tcp://…`, `CLIPKEEP_…_PORT_5432_TCP…` | Nothing: Kubernetes sets them beside each Service whose name begins with `clipkeep`, so they are passed over. |
";

fn markdown() -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let mut page = MARKDOWN_HEAD.to_owned();
    for key in KEYS {
        let flag = if key.has_flag { format!(" `{}`", key.flag_name()) } else { String::new() };
        let (value, default, example, doc) =
            (kind_words(key.kind), code(key.default), code(key.example), key.doc().replace('|', "\\|"));
        writeln!(page, "| `{}`{flag} | {value} | {default} | {example} | {doc} |", key.name).unwrap();
    }
    page + MARKDOWN_TAIL
}

const EXAMPLE_HEAD: &str = "\
# clipkeep.toml: every key with its default. Take the # off a line to change it.
# docs/config.md says how values are written and what goes over what.
";

fn example_toml() -> String {
    let mut page = EXAMPLE_HEAD.to_owned();
    for key in KEYS {
        let default = read::default_text(key, |base| base.default.to_owned());
        let value = super::error::toml_value(key, &default);
        writeln!(page, "\n{}#{} = {value}", comment(&key.doc()), key.name).unwrap();
    }
    page
}

/// `text` as comment lines of at most 100 columns.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > 100) {
            lines.push(String::from("#"));
        }
        let line = lines.last_mut().unwrap();
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n") + "\n"
}

fn check(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is stale: run the test with UPDATE_DOCS=1", path.display());
}

#[test]
fn docs_config_md_is_fresh() {
    check("docs/config.md", &markdown());
}

#[test]
fn clipkeep_example_toml_is_fresh() {
    check("clipkeep.example.toml", &example_toml());
}

#[test]
fn the_example_with_every_line_on_is_the_default() {
    let on: Vec<_> = example_toml()
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).map(str::to_owned))
        .collect();
    assert_eq!(on.len(), KEYS.len());
    let config = Config::from_layers(Layers::new().with_file("example", &on.join("\n"))).unwrap();
    let default = Config::from_layers(Layers::new()).unwrap();
    assert_eq!(format!("{config:#?}"), format!("{default:#?}"));
}

#[test]
fn every_key_is_documented_in_whole_sentences() {
    for Key { name, .. } in KEYS {
        let doc = Key::named(name).unwrap().doc();
        assert!(doc.ends_with('.') && doc.len() > 15, "{name}: {doc}");
    }
}
