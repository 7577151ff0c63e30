//! A real nginx before a node, as a distribution sets it up.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::net::UnixStream;

/// A running nginx with `proxy_cache`. Killed when dropped.
pub(crate) struct Nginx {
    dir: TempDir,
    child: Child,
}

impl Nginx {
    /// Before the node at `url`, with these further directives of its location.
    pub(crate) async fn before(url: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nginx.conf"), config(dir.path(), url, more)).unwrap();
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg("nginx.conf").stdin(Stdio::null()).stderr(Stdio::null());
        let nginx = Self { child: command.spawn().expect("nginx is installed by ./test"), dir };
        let began = tokio::time::Instant::now();
        while UnixStream::connect(nginx.socket()).await.is_err() {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{}", nginx.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(dir: &Path, url: &str, more: &str) -> String {
    let dir = dir.display();
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log info;
        events {{ worker_connections 512; }}
        http {{
            access_log off;
            client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
            uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
            proxy_cache_path {dir}/cache keys_zone=clips:1m;
            server {{
                listen unix:{dir}/socket;
                location / {{ proxy_pass {url}; proxy_cache clips; proxy_cache_key $uri; {more} }}
            }}
        }}"
    )
}
