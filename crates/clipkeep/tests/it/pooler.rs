//! A real PgBouncer between us and PostgreSQL.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clipkeep::catalog::open::{Database, OpenError, Rules, open};
use clipkeep_core::secret::Secret;
use fal_sim::{Sim, SimOptions};
use tempfile::TempDir;

use crate::support::{node::NodeConfig, postgres};

/// A pooler; ends when dropped.
struct Pooler {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    /// Before the server that `url` names, with this mode and so many connections.
    async fn start(url: &str, mode: &str, size: u32) -> Self {
        let socket = url.split_once('@').unwrap().1.split_once('/').unwrap().0.replace("%2F", "/");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().prefix("clipkeep-pgb-").tempdir_in("/tmp").unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let users = folder.path().join("users.txt");
        fs::write(&users, "\"clipkeep\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={socket} user=clipkeep\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = {size}\n\
             ignore_startup_parameters = extra_float_digits\n",
            users.display()
        );
        fs::write(&settings, text).unwrap();
        let mut command = postgres::unprivileged(folder.path(), "pgbouncer");
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin").arg("-q").arg(&settings);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let pooler = Self { port, child: child.expect("the tests need pgbouncer"), _folder: folder };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "pgbouncer does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pooler
    }

    fn database(&self, url: &str) -> Database {
        let name = url.rsplit_once('/').unwrap().1;
        Database::Postgres(Secret::new(format!("postgres://clipkeep@127.0.0.1:{}/{name}", self.port)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h37_a_pooler_per_transaction_is_refused_at_start_in_words() {
    let url = postgres::database().await;
    for (mode, size) in [("transaction", 1), ("transaction", 20)] {
        let pooler = Pooler::start(&url, mode, size).await;
        match open(&pooler.database(&url), Rules::default()).await.map(|_| ()) {
            Err(OpenError::BadUrl { problem }) => assert!(problem.contains("pool_mode=session"), "{problem}"),
            other => panic!("{mode} {size}: {other:?}"),
        }
    }
    let untouched = postgres::connect(&url).await;
    let tables = untouched.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", &[]).await.unwrap();
    assert_eq!(tables.get::<_, i64>(0), 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn h37_a_pooler_per_session_works() {
    let url = postgres::database().await;
    let pooler = Pooler::start(&url, "session", 20).await;
    let catalog = open(&pooler.database(&url), Rules::default()).await.unwrap();
    catalog.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn h37_the_command_says_so_and_ends_as_with_any_wrong_configuration() {
    let url = postgres::database().await;
    let pooler = Pooler::start(&url, "transaction", 5).await;
    let Database::Postgres(pooled) = pooler.database(&url) else { unreachable!() };
    let data = tempfile::tempdir().unwrap();
    for command in [&["find", "--limit", "1"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let mut node = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
        node.args(command).args(["--database", pooled.expose(), "--data", &data.path().display().to_string()]);
        let output = node.current_dir(&data).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{command:?} {said}");
        assert!(said.contains("pool_mode=session"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h32_why_a_connection_ended_is_told() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (dir, url) = (tempfile::tempdir().unwrap(), postgres::database().await);
    let node = NodeConfig::new(dir.path()).set("database", &*url).start(&sim).await;
    node.api("/api/v1/clips").await.unwrap();
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(postgres::connect(&url).await.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0);
    let began = Instant::now();
    loop {
        let log = fs::read_to_string(&node.log).unwrap();
        let told = log.lines().find(|line| line.contains("a connection to PostgreSQL ended"));
        if let Some(line) = told {
            assert!(line.contains("terminating connection due to administrator command (57P01)"), "{line}");
            assert!(!log.contains("Connection error: db error"), "{log}");
            return;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
