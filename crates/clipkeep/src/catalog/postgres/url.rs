//! What a PostgreSQL URL may say: libpq's parameters, as providers hand them out.

use std::path::PathBuf;

use tokio_postgres::{Config, config::SslMode};
use url::form_urlencoded;

/// What the client knows itself, under these names.
const PASSED: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "target_session_attrs",
    "load_balance_hosts",
    "channel_binding",
    "sslnegotiation",
];
/// libpq's that ask for nothing where they have one of these values.
const HARMLESS: &[(&str, &[&str])] = &[
    ("client_encoding", &["utf8", "utf-8", "auto"]),
    ("gssencmode", &["disable", "prefer"]),
    ("replication", &["false", "off", "no", "0"]),
    ("sslcertmode", &["disable", "allow"]),
    ("sslcompression", &["0", "1"]),
    ("sslsni", &["1"]),
    ("ssl_min_protocol_version", &["tlsv1", "tlsv1.1", "tlsv1.2"]),
];
/// libpq's that nobody here does anything about.
const UNKNOWN_HERE: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "passfile",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslpassword",
];
/// Where a server of this machine listens, if no host is named.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// How to connect.
pub(super) struct Connecting {
    pub(super) config: Config,
    pub(super) tls: Option<TlsFiles>,
}

/// What TLS goes by.
#[derive(Default)]
pub(super) struct TlsFiles {
    /// Whose certificates are believed; the system's roots if none is named.
    pub(super) roots: Option<PathBuf>,
    /// What we show: `sslcert` and `sslkey`.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// Reads a URL. The error repeats no value of it: one may be a password.
pub(super) fn read(url: &str) -> Result<Connecting, String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let shape = "it is not of the form postgres://user:password@host:port/database; special characters of a password \
        are written as %XX";
    base.parse::<Config>().map_err(|_| shape)?;
    let mut said = Parameters { base, passed: String::new(), files: TlsFiles::default(), mode: None, named: None };
    let mut certificate = (None, None);
    for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
        match &*name {
            "sslcert" => certificate.0 = Some(PathBuf::from(&*value)),
            "sslkey" => certificate.1 = Some(PathBuf::from(&*value)),
            _ => said.take(&name, &value)?,
        }
    }
    said.files.client = match certificate {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("its parameters sslcert and sslkey go together".to_owned()),
    };
    said.connecting()
}

struct Parameters<'a> {
    base: &'a str,
    /// What the client is told.
    passed: String,
    files: TlsFiles,
    mode: Option<SslMode>,
    /// `fallback_application_name`.
    named: Option<String>,
}

impl Parameters<'_> {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = || Err(format!("its parameter {name} has a value that is not known"));
        match name {
            "sslmode" => {
                self.mode = Some(match value {
                    "disable" => SslMode::Disable,
                    "allow" | "prefer" => SslMode::Prefer,
                    "require" | "verify-ca" | "verify-full" => SslMode::Require,
                    _ => return wrong(),
                });
            }
            "sslrootcert" => self.files.roots = Some(value).filter(|value| *value != "system").map(PathBuf::from),
            "fallback_application_name" => self.named = Some(value.to_owned()),
            "keepalives_count" => return self.pass("keepalives_retries", name, value),
            _ if PASSED.contains(&name) => return self.pass(name, name, value),
            _ => match HARMLESS.iter().find(|(known, _)| *known == name) {
                Some((_, values)) if values.contains(&&*value.to_ascii_lowercase()) => {}
                Some(_) => return wrong(),
                None if UNKNOWN_HERE.contains(&name) => {
                    return Err(format!("its parameter {name} is libpq's, and cannot be followed here: leave it out"));
                }
                None => {
                    let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
                    return Err(format!("it has a parameter {name}, which is none of libpq's: leave it out"));
                }
            },
        }
        Ok(())
    }

    fn pass(&mut self, as_name: &str, name: &str, value: &str) -> Result<(), String> {
        // The client takes `%XX` alone, not `+`.
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20");
        let pair = format!("{as_name}={value}");
        let alone = format!("{}?{pair}", self.base).parse::<Config>();
        alone.map_err(|_| format!("its parameter {name} has a value that is not known"))?;
        self.passed.push_str(if self.passed.is_empty() { "?" } else { "&" });
        self.passed.push_str(&pair);
        Ok(())
    }

    fn connecting(self) -> Result<Connecting, String> {
        let parsed = format!("{}{}", self.base, self.passed).parse::<Config>();
        let mut config = parsed.map_err(|_| "its parameters contradict each other".to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            let there = SOCKETS.iter().find(|folder| std::path::Path::new(folder).exists());
            config.host_path(there.unwrap_or(&SOCKETS[0]));
        }
        if config.get_dbname().is_none() {
            return Err("it names no database".to_owned());
        }
        if config.get_application_name().is_none() {
            config.application_name(self.named.as_deref().unwrap_or("clipkeep"));
        }
        // Asking for the server's certificate is asking for TLS.
        let asks = self.files.roots.is_some() || self.files.client.is_some();
        let mode = self.mode.unwrap_or(if asks { SslMode::Require } else { SslMode::Prefer });
        config.ssl_mode(mode);
        Ok(Connecting { config, tls: (mode == SslMode::Require).then_some(self.files) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_postgres::config::{ChannelBinding, Host, TargetSessionAttrs};

    use super::*;

    #[test]
    fn h38_what_providers_hand_out_is_understood() {
        for url in [
            "postgresql://u:p%40ss@ep-cool.eu-central-1.aws.neon.tech/db?sslmode=require&channel_binding=require",
            "postgres://postgres.ref:pw@aws-0-eu.pooler.supabase.com:5432/postgres?sslmode=verify-full",
            "postgres://u:p@host:25060/defaultdb?sslmode=require&sslrootcert=/etc/ssl/ca.pem",
            "postgresql://u@h1:5432,h2:5433/db?target_session_attrs=read-write&connect_timeout=10",
            "postgres://u@h/db?application_name=my%20app&options=-c%20search_path%3Dclips",
            "postgres://u@h/db?keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3",
            "postgres://u@h/db?gssencmode=disable&client_encoding=UTF8&sslsni=1&ssl_min_protocol_version=TLSv1.2",
            "postgres:///db?host=/run/postgresql&user=u",
            "postgres://u@h/db?sslmode=verify-ca&sslcert=/c.pem&sslkey=/k.pem&sslcompression=0",
            "postgres://u@h/db?fallback_application_name=x&tcp_user_timeout=5&load_balance_hosts=random",
            "postgres://u@h/db?sslmode=prefer",
            "postgres://h/db",
        ] {
            assert!(read(url).is_ok(), "{url}: {:?}", read(url).err());
        }
        let of = |url: &str| read(url).unwrap();
        let neon = of("postgresql://u:p%40ss@h/db?sslmode=require&channel_binding=require");
        assert_eq!(neon.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(neon.config.get_channel_binding(), ChannelBinding::Require);
        assert!(neon.tls.is_some());
        let named = of("postgres://u@h/db?application_name=my%20app&options=-c%20a%3Db%2Bc&connect_timeout=10");
        assert_eq!(named.config.get_application_name(), Some("my app"));
        assert_eq!(named.config.get_options(), Some("-c a=b+c"));
        assert_eq!(named.config.get_connect_timeout(), Some(&Duration::from_secs(10)));
        assert!(named.tls.is_none());
        let several = of("postgres://u@h1,h2/db?target_session_attrs=read-write");
        assert_eq!(several.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(several.config.get_hosts().len(), 2);
        assert_eq!(of("postgres://me@h/db").config.get_application_name(), Some("clipkeep"));
        let roots = of("postgres://u@h/db?sslrootcert=/ca.pem").tls.unwrap().roots;
        assert_eq!(roots, Some(PathBuf::from("/ca.pem")));
        assert!(matches!(&of("postgres:///db?user=u").config.get_hosts()[0], Host::Unix(_)));
    }

    #[test]
    fn h38_what_cannot_be_followed_is_named_and_no_secret_is() {
        for (url, named) in [
            ("postgres://u:hunter2@h/db?sslmode=hunter2", "sslmode"),
            ("postgres://u:hunter2@h/db?passfile=/home/hunter2", "passfile"),
            ("postgres://u:hunter2@h/db?pgbouncer=true", "pgbouncer"),
            ("postgres://u:hunter2@h/db?sslcert=/c.pem", "sslkey"),
            ("postgres://u:hunter2@h/db?keepalives_idle=hunter2", "keepalives_idle"),
            ("postgres://u:hunter2@h/db?target_session_attrs=hunter2", "target_session_attrs"),
            ("postgres://u:hunter2@h/db?client_encoding=LATIN1", "client_encoding"),
            ("postgres://u:hunter2@h/db?connection_limit=5", "connection_limit"),
            ("postgres://u:hunter2@h:x/db", "postgres://user"),
            ("postgres://u:hunter2@h", "no database"),
        ] {
            let problem = read(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(problem.contains(named) && !problem.contains("hunter2"), "{url}: {problem}");
        }
    }
}
