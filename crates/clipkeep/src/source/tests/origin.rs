//! A source made of a raw socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clipkeep_core::secret::SourceUrl;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::interval,
};

/// What the source does next on a connection. After the last step it closes.
#[derive(Clone)]
pub(super) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the client hangs up.
    Flood(Vec<u8>),
    /// Sends these bytes one by one, one each time.
    Drip(Vec<u8>, Duration),
    /// Sends nothing until the client hangs up.
    Hang,
}

pub(super) struct Origin {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    hung_up: Arc<Notify>,
    flooded: Arc<AtomicU64>,
}

impl Origin {
    /// A source that does the same on every connection.
    pub(super) async fn doing(steps: Vec<Step>) -> Self {
        Self::deciding(move |_| steps.clone()).await
    }

    /// A source that sends the same bytes on every connection, and closes it.
    pub(super) async fn sending(bytes: impl AsRef<[u8]>) -> Self {
        Self::doing(vec![Step::Send(bytes.as_ref().to_vec())]).await
    }

    /// A source that decides by the request's head.
    pub(super) async fn deciding(decide: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let origin = Self { port, asked: Arc::default(), hung_up: Arc::default(), flooded: Arc::default() };
        let (asked, hung_up, decide) = (origin.asked.clone(), origin.hung_up.clone(), Arc::new(decide));
        let flooded = origin.flooded.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, hung_up, decide) = (asked.clone(), hung_up.clone(), decide.clone());
                let flooded = flooded.clone();
                tokio::spawn(async move {
                    serve(stream, &asked, &flooded, &*decide).await;
                    hung_up.notify_one();
                });
            }
        });
        origin
    }

    pub(super) fn url(&self, path: &str) -> SourceUrl {
        SourceUrl::new(format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// The heads of the requests so far, in lower case.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    /// How many bytes of floods the system took.
    pub(super) fn flooded(&self) -> u64 {
        self.flooded.load(Ordering::Relaxed)
    }

    /// Returns once a connection is done, by the steps' end or by the client's.
    pub(super) async fn hung_up(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.hung_up.notified()).await.expect("the client hangs up");
    }
}

async fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    flooded: &AtomicU64,
    decide: &(dyn Fn(&str) -> Vec<Step> + Send + Sync),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().push(head.to_lowercase());
    for step in decide(&head) {
        if take(&mut stream, step, flooded).await.is_err() {
            return;
        }
    }
    // Closing with unread bytes would be a reset; there are none.
    let _ = stream.shutdown().await;
}

async fn take(stream: &mut TcpStream, step: Step, flooded: &AtomicU64) -> std::io::Result<()> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await,
        Step::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
            flooded.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        },
        Step::Drip(bytes, every) => {
            let mut ticks = interval(every);
            for byte in bytes {
                ticks.tick().await;
                stream.write_all(&[byte]).await?;
            }
            Ok(())
        }
        Step::Hang => stream.read_u8().await.map(|_| ()),
    }
}
