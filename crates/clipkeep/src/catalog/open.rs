//! Opens the catalogue that the configuration names.

use std::{path::PathBuf, sync::Arc};

use clipkeep_core::{
    config::{Config, DatabaseUrl, Prompts as UnreadResult},
    lineage::OwnUrls,
    secret::Secret,
};

use super::{Catalog, CatalogError, postgres::PostgresCatalog, sqlite::SqliteCatalog};
pub use super::{
    migrate::TooNew,
    rules::{Prompts, Rules},
};

/// Which database holds the catalogue.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file; made, with its folder, if it is not there.
    Sqlite(PathBuf),
    /// A `postgres://` URL. It may hold a password.
    Postgres(Secret<String>),
}

/// Why a catalogue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database URL is wrong. The text does not repeat it.
    #[error("the PostgreSQL URL cannot be used: {problem}")]
    BadUrl {
        /// What is wrong with it.
        problem: String,
    },
    /// The database belongs to a newer clipkeep.
    #[error(transparent)]
    TooNew(#[from] TooNew),
    /// The database did not do it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Opens the catalogue, bringing its schema up to date first.
pub async fn open(database: &Database, rules: Rules) -> Result<Arc<dyn Catalog>, OpenError> {
    Ok(match database {
        Database::Sqlite(path) => Arc::new(SqliteCatalog::open(path, rules).await?),
        Database::Postgres(url) => Arc::new(PostgresCatalog::open(url, rules).await?),
    })
}

/// Opens the catalogue of a node's configuration, if there is one already.
pub async fn open_existing(config: &Config) -> Result<Option<Arc<dyn Catalog>>, OpenError> {
    let is_there = match &config.database {
        DatabaseUrl::Sqlite(path) => path.exists(),
        DatabaseUrl::Postgres(url) => PostgresCatalog::is_there(url).await?,
    };
    Ok(if is_there { Some(open_configured(config).await?) } else { None })
}

/// Opens the catalogue of a node's configuration.
pub async fn open_configured(config: &Config) -> Result<Arc<dyn Catalog>, OpenError> {
    let database = match &config.database {
        DatabaseUrl::Sqlite(path) => Database::Sqlite(path.clone()),
        DatabaseUrl::Postgres(url) => Database::Postgres(url.clone()),
    };
    let prompts = match config.prompts {
        UnreadResult::Keep => Prompts::Keep,
        UnreadResult::HashOnly => Prompts::HashOnly,
    };
    let rules = Rules {
        policies: config.policies.clone(),
        prompts,
        poll_after: config.poll_after,
        lifetimes: config.source_lifetimes.clone(),
        own_urls: OwnUrls::new(&config.public_url, &config.final_url_template),
    };
    open(&database, rules).await
}
