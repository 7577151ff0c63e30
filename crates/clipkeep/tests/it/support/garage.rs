//! A real S3 server for the tests: one Garage per test binary, a prefix of its
//! one bucket per test. A shell that guards it ends it and removes its folder
//! when the binary is gone, however it went.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) const ACCESS_KEY: &str = "GK31c2f218a2e44f485b94239e";
pub(crate) const SECRET_KEY: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";
pub(crate) const BUCKET: &str = "clips";
/// Behind a bucket's name, in the name of a server that has buckets' names in its.
pub(crate) const ROOT_DOMAIN: &str = ".s3.test";

const GUARD: &str = r#"
trap '' INT
"$BIN" -c "$DIR/garage.toml" server --single-node --default-bucket >"$DIR/server.log" 2>&1 &
child=$!
cat >/dev/null
kill -9 $child
rm -rf "$DIR"
"#;

/// A place of one's own in the test bucket.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) prefix: String,
}

impl Place {
    /// For `store`.
    pub(crate) fn url(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// The `AWS_*` names, with the server's own endpoint.
    pub(crate) fn aws(&self) -> Vec<(String, String)> {
        self.aws_through(&self.endpoint)
    }

    /// The `AWS_*` names, with another endpoint: a proxy before the server.
    pub(crate) fn aws_through(&self, endpoint: &str) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "garage"),
            ("AWS_ENDPOINT_URL", endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

struct Server {
    endpoint: String,
    _guard: Child,
}

/// A new, empty place.
pub(crate) fn place() -> Place {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(start);
    let prefix = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Place { endpoint: server.endpoint.clone(), prefix }
}

fn binary() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo/bin");
    let found = env::split_paths(&path).chain([home]).map(|dir| dir.join("garage")).find(|bin| bin.is_file());
    found.expect("the tests need Garage: cargo install --locked garage")
}

fn start() -> Server {
    let dir = tempfile::Builder::new().prefix("clipkeep-garage-").tempdir().unwrap().keep();
    let [s3, rpc, admin] = free_ports();
    let config = format!(
        "metadata_dir = \"{dir}/meta\"\ndata_dir = \"{dir}/data\"\ndb_engine = \"lmdb\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{secret}\"\n\
         [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{s3}\"\nroot_domain = \"{ROOT_DOMAIN}\"\n\
         [admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\nadmin_token = \"test\"\n",
        dir = dir.display(),
        secret = "5a".repeat(32),
    );
    fs::write(dir.join("garage.toml"), config).unwrap();
    let guard = Command::new("sh")
        .args(["-c", GUARD])
        .env("BIN", binary())
        .env("DIR", &dir)
        .env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY)
        .env("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_ready(admin, &dir);
    Server { endpoint: format!("http://127.0.0.1:{s3}"), _guard: guard }
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn wait_until_ready(admin: u16, dir: &std::path::Path) {
    let began = Instant::now();
    while !healthy(admin) {
        let log = || fs::read_to_string(dir.join("server.log")).unwrap_or_default();
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "Garage does not start: {}", log());
        #[expect(clippy::disallowed_methods, reason = "called outside async code, once")]
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn healthy(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", admin)) else { return false };
    let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
