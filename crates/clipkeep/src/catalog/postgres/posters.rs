//! Posters.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};
use deadpool_postgres::Object;

use super::{
    super::{Result, page, posters::Posters, row},
    PostgresCatalog,
    find::all,
    pool::on,
};

/// Takes up clips without a poster.
pub(super) const POSTERS_DUE: &str = "UPDATE clips SET poster_due = $2 WHERE key IN (SELECT key FROM clips \
    WHERE state = 'stored' AND poster_due IS NOT NULL AND poster_due <= $1 ORDER BY poster_due DESC LIMIT $3 \
    FOR NO KEY UPDATE SKIP LOCKED) RETURNING key";

#[async_trait]
impl Posters for PostgresCatalog {
    async fn posters_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<ClipKey>> {
        let (now, until, limit) = (now.millis(), until.millis(), i64::from(page::size(limit)));
        let take = async |client| all(&client, POSTERS_DUE, &[&now, &until, &limit], row::key).await;
        on(&self.pool, "taking up clips without a poster", take).await
    }

    async fn poster_made(&self, key: &ClipKey, epoch: i64, thumbhash: Option<&str>) -> Result<bool> {
        const SQL: &str = "UPDATE clips SET poster_epoch = $2, thumbhash = $3, poster_due = NULL \
            WHERE key = $1 AND epoch = $2 AND state = 'stored'";
        let note = async |client: Object| {
            let statement = client.prepare_cached(SQL).await?;
            Ok(client.execute(&statement, &[&key.as_str(), &epoch, &thumbhash]).await? > 0)
        };
        on(&self.pool, "noting a poster", note).await
    }
}
