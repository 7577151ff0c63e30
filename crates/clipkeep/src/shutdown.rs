//! When to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGINT or SIGTERM.
///
/// # Errors
/// If the process may not listen for signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    Ok(Signals::listen(Duration::ZERO)?.stop)
}

/// What a node is told by signals.
pub struct Signals {
    /// Cancelled when the node is to be sent nothing more.
    pub draining: CancellationToken,
    /// Cancelled when it is to stop.
    pub stop: CancellationToken,
}

impl Signals {
    /// Listens: SIGTERM begins to drain, and stops when `drain` is over; SIGINT,
    /// or a second signal, stops at once.
    ///
    /// # Errors
    /// If the process may not listen for signals.
    pub fn listen(drain: Duration) -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let signals = Self { draining: CancellationToken::new(), stop: CancellationToken::new() };
        let (draining, stop) = (signals.draining.clone(), signals.stop.clone());
        // Lives as long as the process.
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {
                    draining.cancel();
                    tokio::select! {
                        () = tokio::time::sleep(drain) => {}
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                }
            }
            draining.cancel();
            stop.cancel();
        });
        Ok(signals)
    }
}

/// Passes over SIGHUP, which would kill a node whose terminal goes, or that is
/// asked to read its configuration again.
///
/// # Errors
/// If the process may not listen for signals.
pub fn pass_over_hangups() -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP is passed over: a changed configuration is read at the next start");
        }
    });
    Ok(())
}
