//! A real PostgreSQL for the tests, with a database for each. One server per
//! test binary; a shell that guards it ends it and removes its folder when the
//! binary is gone, however it went.

use std::{
    fs, io,
    io::{BufRead as _, BufReader},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio_postgres::NoTls;

/// Makes the cluster, starts it, says so, and waits for its stdin to close.
const GUARD: &str = r#"
trap '' INT
"$BIN/initdb" -D "$DIR/data" -U clipkeep -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$DIR/initdb.log" 2>&1 || {
    cat "$DIR/initdb.log"; exit 1; }
"$BIN/pg_ctl" -D "$DIR/data" -l "$DIR/server.log" -w -t 60 start >"$DIR/start.log" 2>&1 \
    -o "-k $DIR -c listen_addresses= -c fsync=on -c max_connections=400" || {
    cat "$DIR/start.log" "$DIR/server.log"; exit 1; }
echo ready
cat >/dev/null
"$BIN/pg_ctl" -D "$DIR/data" -m immediate stop >/dev/null 2>&1
rm -rf "$DIR"
"#;

struct Server {
    folder: PathBuf,
    /// Its stdin stays open as long as this process lives.
    _guard: Child,
}

/// The URL of a new, empty database.
pub(crate) async fn database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("clipkeep_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let admin = connect(&url("postgres")).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("creating a test database");
    url(&name)
}

/// A connection beside clipkeep's own.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connecting to the test PostgreSQL");
    tokio::spawn(connection);
    client
}

fn url(database: &str) -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let folder = &SERVER.get_or_init(|| start().expect("the tests need PostgreSQL's server programs")).folder;
    // A host that starts with a slash is a socket's folder.
    let host = folder.display().to_string().replace('/', "%2F");
    format!("postgres://clipkeep@{host}/{database}")
}

fn start() -> io::Result<Server> {
    // A socket's path must be short.
    let place = Some(std::env::temp_dir()).filter(|place| place.as_os_str().len() < 60);
    let place = place.unwrap_or_else(|| "/tmp".into());
    let folder = tempfile::Builder::new().prefix("clipkeep-pg-").tempdir_in(place)?.keep();
    let mut command = shell(&folder)?;
    command.arg("-c").arg(GUARD).env("BIN", programs()?).env("DIR", &folder).env("LC_ALL", "C.UTF-8");
    let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(&folder).spawn()?;
    let mut said = String::new();
    let lines = guard.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines);
    for line in lines {
        let line = line?;
        if line == "ready" {
            return Ok(Server { folder, _guard: guard });
        }
        said.push_str(&line);
        said.push('\n');
    }
    fs::remove_dir_all(&folder)?;
    Err(io::Error::other(said))
}

/// A shell that may run PostgreSQL.
fn shell(folder: &Path) -> io::Result<Command> {
    as_nobody_special(folder, "sh")
}

/// A program that refuses to run as root, and may write into `folder`.
pub(crate) fn unprivileged(folder: &Path, program: &str) -> Command {
    as_nobody_special(folder, program).expect("a user to run as")
}

fn as_nobody_special(folder: &Path, program: &str) -> io::Result<Command> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(Command::new(program));
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let fields = |name: &str| users.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|l| l[0] == name);
    let user = fields("postgres").or_else(|| fields("nobody")).ok_or_else(|| io::Error::other("no user to run as"))?;
    chown(folder, user[2].parse().ok(), user[3].parse().ok())?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user[2], "--regid", user[3], "--clear-groups", program]);
    Ok(command)
}

/// The newest PostgreSQL's programs, or those in `PATH`.
pub(crate) fn programs() -> io::Result<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        installed.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    };
    newest.map(|path| path.join("bin")).or_else(in_path).ok_or_else(|| io::Error::other("initdb was not found"))
}
