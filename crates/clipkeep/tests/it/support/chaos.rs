//! A proxy that counts what a node sends, and kills the node at a chosen message.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// What stands behind the proxy.
#[derive(Clone)]
pub(crate) enum Behind {
    /// An HTTP server: a message is a request.
    Http(String),
    /// PostgreSQL on its socket: a message is whatever comes in one read and
    /// executes something. What only prepares a statement changes nothing.
    Postgres(PathBuf),
}

/// When to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Message k never arrives.
    Before,
    /// Message k arrives, its answer does not.
    After,
}

#[derive(Default)]
struct Plan {
    armed: bool,
    pid: u32,
    kill_at: Option<(u32, Side)>,
}

/// The proxy.
#[derive(Clone)]
pub(crate) struct Chaos {
    pub(crate) port: u16,
    count: Arc<AtomicU32>,
    plan: Arc<Mutex<Plan>>,
    killed: Arc<AtomicU32>,
}

impl Chaos {
    pub(crate) async fn before(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let chaos = Self {
            port: listener.local_addr().unwrap().port(),
            count: Arc::default(),
            plan: Arc::default(),
            killed: Arc::default(),
        };
        let proxy = chaos.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, behind) = (proxy.clone(), behind.clone());
                tokio::spawn(async move {
                    let _ = match behind {
                        Behind::Http(address) => {
                            proxy.relay(client, TcpStream::connect(address).await, is_request).await
                        }
                        Behind::Postgres(path) => proxy.relay(client, UnixStream::connect(path).await, executes).await,
                    };
                });
            }
        });
        chaos
    }

    /// From now on counts, and kills `pid` at a message, if one is given.
    pub(crate) fn arm(&self, pid: u32, kill_at: Option<(u32, Side)>) {
        self.count.store(0, Ordering::SeqCst);
        *self.plan.lock() = Plan { armed: true, pid, kill_at };
    }

    /// From now on kills nobody, not even by a message that came before.
    pub(crate) fn disarm(&self) -> u32 {
        *self.plan.lock() = Plan::default();
        self.count.load(Ordering::SeqCst)
    }

    /// Whether this process was killed. It may take a moment to be gone.
    pub(crate) fn has_killed(&self, pid: u32) -> bool {
        self.killed.load(Ordering::SeqCst) == pid
    }

    fn kill(&self, pid: u32) {
        let plan = self.plan.lock();
        if plan.armed && plan.pid == pid {
            kill(pid);
            self.killed.store(pid, Ordering::SeqCst);
        }
    }

    /// Counts a message; which side of it to die on, if it is the one.
    fn judge(&self) -> Option<(u32, Side)> {
        let plan = self.plan.lock();
        if !plan.armed {
            return None;
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        plan.kill_at.filter(|(at, _)| *at == number).map(|(_, side)| (plan.pid, side))
    }

    async fn relay<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        client: TcpStream,
        server: std::io::Result<S>,
        is_message: fn(&[u8]) -> bool,
    ) -> std::io::Result<()> {
        let (mut from_server, mut to_server) = tokio::io::split(server?);
        let (mut from_client, mut to_client) = client.into_split();
        let back = AbortOnDrop(tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        }));
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let verdict = if is_message(&buffer[..read]) { self.judge() } else { None };
            if let Some((pid, Side::Before)) = verdict {
                self.kill(pid);
                break;
            }
            if verdict.is_some() {
                // Its answer must not get through.
                back.0.abort();
            }
            to_server.write_all(&buffer[..read]).await?;
            if let Some((pid, Side::After)) = verdict {
                to_server.flush().await?;
                // The rest of a request's body has to arrive, too.
                let pause = std::time::Duration::from_millis(30);
                while let Ok(Ok(read @ 1..)) = tokio::time::timeout(pause, from_client.read(&mut buffer)).await {
                    to_server.write_all(&buffer[..read]).await?;
                }
                self.kill(pid);
                break;
            }
        }
        Ok(())
    }
}

/// However a connection ends, the server's side of it ends with it: else a
/// transaction of a process that was killed would stay open.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn is_request(bytes: &[u8]) -> bool {
    ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"].iter().any(|start| bytes.starts_with(start.as_bytes()))
}

/// A statement that is run, by name or by its text.
fn executes(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'B' | b'Q'))
}

fn kill(pid: u32) {
    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}
