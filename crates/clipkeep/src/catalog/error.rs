//! What goes wrong in the catalogue.

use clipkeep_core::id::{ClipKey, Provider};

/// What went wrong in the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database did not do it: out of reach, full, locked. Worth a retry.
    #[error("{doing}")]
    Unavailable {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller's lease ran out or was taken over; it must stop.
    #[error("the lease on {key} is no longer held")]
    LeaseLost { key: ClipKey },
    /// The same clip key already belongs to another provider's generation.
    #[error("{key} already belongs to a generation of {provider}")]
    KeyTaken { key: ClipKey, provider: Provider },
    /// A row that no version of clipkeep can have written.
    #[error("table {table}, row {key}: column {column} is unreadable")]
    BadRow { table: &'static str, key: String, column: &'static str },
}

impl CatalogError {
    pub(crate) fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { doing, source: source.into() }
    }

    /// The same error, saying what was being done.
    pub(super) fn while_doing(self, doing: &'static str) -> Self {
        match self {
            Self::Unavailable { source, .. } => Self::Unavailable { doing, source },
            other => other,
        }
    }
}

/// The catalogue's result.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;
