//! A PostgreSQL that speaks TLS and asks for SCRAM, as hosted ones do.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Stdio},
};

use clipkeep::catalog::open::{Database, Rules, open};
use clipkeep_core::secret::Secret;
use tempfile::TempDir;

use crate::support::postgres;

/// Makes keys, certificates and the cluster, starts it, says so, and waits for
/// its stdin to close.
const GUARD: &str = r#"
set -e
cd "$DIR"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca -sha256 2>openssl.log
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost 2>>openssl.log
printf 'subjectAltName=DNS:localhost' >san
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem "-$HASH" \
    -extfile san 2>>openssl.log
chmod 600 server.key
printf 'p@ss word' >pw
"$BIN/initdb" -D data -U clipkeep -A scram-sha-256 --pwfile=pw -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1
"$BIN/pg_ctl" -D data -l server.log -w -t 60 start >start.log 2>&1 -o "-k $DIR -p $PORT \
    -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file=$DIR/server.pem -c ssl_key_file=$DIR/server.key"
echo ready
cat >/dev/null
"$BIN/pg_ctl" -D data -m immediate stop >/dev/null 2>&1
"#;

struct Server {
    port: u16,
    folder: TempDir,
    guard: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

impl Server {
    /// One whose certificate is signed with this hash.
    fn start(hash: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().prefix("clipkeep-pgtls-").tempdir_in("/tmp").unwrap();
        let mut command = postgres::unprivileged(folder.path(), "sh");
        command.arg("-c").arg(GUARD).env("DIR", folder.path()).env("BIN", postgres::programs().unwrap());
        command.env("HASH", hash).env("PORT", port.to_string()).env("LC_ALL", "C.UTF-8").current_dir(&folder);
        let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim(), "ready", "{}", folder.path().display());
        Self { port, folder, guard }
    }

    fn url(&self, host: &str, parameters: &str) -> Database {
        let url = format!("postgresql://clipkeep:p%40ss%20word@{host}:{}/postgres?{parameters}", self.port);
        Database::Postgres(Secret::new(url))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h38_a_hosted_postgresql_is_reached_by_the_url_that_it_hands_out() {
    for hash in ["sha256", "sha384", "sha512"] {
        let server = Server::start(hash);
        let ca = format!("sslrootcert={}", server.folder.path().join("ca.pem").display());
        for parameters in [
            format!("sslmode=require&channel_binding=require&{ca}"),
            format!("sslmode=verify-full&{ca}&application_name=my%20app&connect_timeout=10&gssencmode=prefer"),
            format!("{ca}&options=-c%20work_mem%3D8MB&keepalives=1&keepalives_count=3&target_session_attrs=read-write"),
            "sslmode=prefer".to_owned(),
        ] {
            let opened = open(&server.url("localhost", &parameters), Rules::default()).await;
            opened.unwrap_or_else(|error| panic!("{hash} {parameters}: {error:?}")).ping().await.unwrap();
        }
        for (host, parameters) in [
            // Nobody vouches for it, or for another name.
            ("localhost", "sslmode=require".to_owned()),
            ("127.0.0.1", format!("sslmode=verify-full&{ca}")),
            ("localhost", "sslmode=disable&channel_binding=require".to_owned()),
            ("localhost", "sslrootcert=/nowhere/ca.pem".to_owned()),
        ] {
            assert!(
                open(&server.url(host, &parameters), Rules::default()).await.is_err(),
                "{hash} {host} {parameters}"
            );
        }
    }
}
