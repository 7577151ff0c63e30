//! The outbox. An endpoint's row is locked by whoever writes about it, so that
//! writers see each other's deliveries.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, EventType, Position},
    notices,
    time::Timestamp,
};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::types::ToSql;

use super::{
    super::{
        NodeId, Result,
        merge::without_nul,
        outbox::{
            Backlog, Delivery, DeliveryOutcome, DeliveryResult, EndpointLease, Outbox, ParkedDelivery, Replay,
            WaitingDelivery, event_tenant,
        },
        page, row,
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Reads what the world was told since, up to where nothing comes in between any
/// more (`settled`).
pub const EVENTS: &str = "SELECT tx, id, at, type, provider, request_id, key, detail, tenant FROM events \
    WHERE (tx, id) > ($1, $2) AND tx <= $4 ORDER BY tx, id LIMIT $3";

/// Finds events whose time has come, the earliest of each subject.
pub const DUE: &str = "SELECT d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, e.tenant, \
    d.attempts, d.first_at FROM deliveries d JOIN events e ON e.tx = d.tx AND e.id = d.id \
    WHERE d.endpoint = $1 AND d.next_at <= $2 AND NOT EXISTS (SELECT 1 FROM deliveries b \
    WHERE b.endpoint = d.endpoint AND b.subject = d.subject AND b.status = 'waiting' AND (b.tx, b.id) < (d.tx, d.id)) \
    ORDER BY d.next_at LIMIT $3";

/// Looks which subjects have events waiting.
pub const BLOCKED: &str = "SELECT DISTINCT subject FROM deliveries \
    WHERE endpoint = $1 AND subject = ANY($2::text[]) AND status = 'waiting'";

/// Makes the earliest event of a subject due.
pub const ADVANCE: &str = "UPDATE deliveries d SET next_at = $3 WHERE d.endpoint = $1 AND d.subject = $2 \
    AND d.status = 'waiting' AND d.next_at IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries b \
    WHERE b.endpoint = $1 AND b.subject = $2 AND b.status = 'waiting' AND (b.tx, b.id) < (d.tx, d.id))";

#[async_trait]
impl Outbox for PostgresCatalog {
    async fn events(&self, after: Position, limit: u32) -> Result<Vec<(Position, Event)>> {
        let limit = i64::from(page::size(limit));
        let read = async |client: Object| {
            let settled = settled(&client).await?;
            all(&client, EVENTS, &[&after.tx, &after.id, &limit, &settled], row::event).await
        };
        on(&self.pool, "reading events", read).await
    }

    async fn last_event(&self) -> Result<Position> {
        let tx = on(&self.pool, "reading events", async |client: Object| settled(&client).await).await?;
        Ok(Position { tx, id: i64::MAX })
    }

    async fn is_reached(&self, position: Position) -> Result<bool> {
        // What is handed out is no higher, and this only ever rises.
        const SQL: &str = "SELECT last_value FROM event_positions";
        let read = async |client| first(&client, SQL, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await;
        let last = on(&self.pool, "reading events", read).await?;
        Ok(position.tx <= last.unwrap_or_default())
    }

    async fn list_events(
        &self,
        kind: Option<EventType>,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Vec<(Position, Event)>> {
        on(&self.pool, "listing events", async |client| list(&client, kind, after, limit).await).await
    }

    async fn claim_endpoint(
        &self,
        endpoint: &str,
        node: &NodeId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<EndpointLease>> {
        let claim = async |client| claim(&client, endpoint, node, now, now.plus(lease)).await;
        on(&self.pool, "claiming an endpoint", claim).await
    }

    async fn renew_endpoint(&self, lease: &EndpointLease, until: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE endpoints SET lease_until = $3 WHERE endpoint = $1 AND fence = $2";
        let params: Params<'_> = &[&lease.endpoint, &lease.fence, &until.millis()];
        let renewed = on(&self.pool, "renewing a lease", async |client| run(&client, SQL, params).await).await;
        renewed.map(|renewed| renewed > 0)
    }

    async fn release_endpoint(&self, lease: &EndpointLease) -> Result<()> {
        const SQL: &str = "UPDATE endpoints SET lease_until = 0, lease_node = NULL WHERE endpoint = $1 AND fence = $2";
        let params: Params<'_> = &[&lease.endpoint, &lease.fence];
        on(&self.pool, "releasing an endpoint", async |client| run(&client, SQL, params).await).await.map(|_| ())
    }

    async fn blocked_subjects(&self, endpoint: &str, subjects: &[String]) -> Result<Vec<String>> {
        let look = async |client| all(&client, BLOCKED, &[&endpoint, &subjects], |row| Ok(row.try_get(0)?)).await;
        on(&self.pool, "looking for waiting events", look).await
    }

    async fn due_deliveries(&self, endpoint: &str, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let limit = i64::from(page::size(limit));
        let look = async |client| all(&client, DUE, &[&endpoint, &now.millis(), &limit], row::delivery).await;
        on(&self.pool, "looking for due events", look).await
    }

    async fn ack(
        &self,
        lease: &EndpointLease,
        cursor: Option<Position>,
        settled: &[DeliveryResult],
        at: Timestamp,
    ) -> Result<bool> {
        on(&self.pool, "settling events", |client| ack(client, lease, cursor, settled, at)).await
    }

    async fn retry_deliveries_now(&self, endpoint: &str, now: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE deliveries SET next_at = $2 WHERE endpoint = $1 AND next_at > $2";
        let params: Params<'_> = &[&endpoint, &now.millis()];
        on(&self.pool, "hastening events", async |client| run(&client, SQL, params).await).await.map(|_| ())
    }

    async fn parked_deliveries(&self, limit: u32) -> Result<Vec<ParkedDelivery>> {
        const SQL: &str = concat!(
            "SELECT d.endpoint, d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, ",
            event_tenant!("e"),
            ", \
            d.attempts, d.first_at, d.last_error FROM deliveries d JOIN events e ON e.tx = d.tx AND e.id = d.id \
            WHERE d.status = 'parked' ORDER BY d.endpoint, d.tx, d.id LIMIT $1"
        );
        let limit = i64::from(page::size(limit));
        on(&self.pool, "listing parked events", async |client| all(&client, SQL, &[&limit], row::parked).await).await
    }

    async fn waiting_deliveries(&self, limit: u32) -> Result<Vec<WaitingDelivery>> {
        const SQL: &str = concat!(
            "SELECT d.endpoint, d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, ",
            event_tenant!("e"),
            ", \
            d.attempts, d.first_at, d.next_at, d.last_error FROM deliveries d JOIN events e ON e.tx = d.tx AND e.id = d.id \
            WHERE d.status = 'waiting' ORDER BY d.endpoint, d.tx, d.id LIMIT $1"
        );
        let limit = i64::from(page::size(limit));
        on(&self.pool, "listing waiting events", async |client| all(&client, SQL, &[&limit], row::waiting).await).await
    }

    async fn replay(&self, endpoint: &str, what: &Replay, now: Timestamp) -> Result<u64> {
        on(&self.pool, "replaying events", |client| replay(client, endpoint, what, now)).await
    }

    async fn count_deliveries(&self) -> Result<Vec<Backlog>> {
        const SQL: &str = "SELECT endpoint, count(*) FILTER (WHERE status = 'waiting') AS waiting, \
            count(*) FILTER (WHERE status = 'parked') AS parked, \
            min(first_at) FILTER (WHERE status = 'waiting') AS oldest FROM deliveries GROUP BY endpoint";
        on(&self.pool, "counting events", async |client| all(&client, SQL, &[], row::backlog).await).await
    }
}

/// Up to which number all events are there. For statements that come after it.
pub(super) async fn settled(client: &impl GenericClient) -> Result<i64> {
    const SQL: &str = "SELECT events_settled()";
    let settled = first(client, SQL, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
    Ok(settled.unwrap_or_default())
}

async fn run(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

async fn list(
    client: &impl GenericClient,
    kind: Option<EventType>,
    after: Option<Position>,
    limit: u32,
) -> Result<Vec<(Position, Event)>> {
    const AFTER: &str = concat!(
        "SELECT tx, id, at, type, provider, request_id, key, detail, ",
        event_tenant!("events"),
        " FROM events \
        WHERE (tx, id) > ($4, $5) AND tx <= $3 \
        AND CASE WHEN $1::text IS NULL THEN type NOT IN ",
        notices!(),
        " ELSE type = $1 END ORDER BY tx, id LIMIT $2"
    );
    const NEWEST: &str = concat!(
        "SELECT tx, id, at, type, provider, request_id, key, detail, ",
        event_tenant!("events"),
        " FROM events \
        WHERE tx <= $3 \
        AND CASE WHEN $1::text IS NULL THEN type NOT IN ",
        notices!(),
        " ELSE type = $1 END \
        ORDER BY tx DESC, id DESC LIMIT $2"
    );
    let (kind, limit) = (kind.map(EventType::as_str), i64::from(page::size(limit)));
    let settled = settled(client).await?;
    if let Some(after) = after {
        return all(client, AFTER, &[&kind, &limit, &settled, &after.tx, &after.id], row::event).await;
    }
    let mut newest = all(client, NEWEST, &[&kind, &limit, &settled], row::event).await?;
    newest.reverse();
    Ok(newest)
}

async fn claim(
    client: &impl GenericClient,
    endpoint: &str,
    node: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<EndpointLease>> {
    const NEW: &str = "INSERT INTO endpoints (endpoint, tx, id, lease_until, fence) \
        SELECT $1, events_settled(), 9223372036854775807, 0, 0 \
        WHERE NOT EXISTS (SELECT 1 FROM endpoints WHERE endpoint = $1) ON CONFLICT DO NOTHING";
    const CLAIM: &str = "UPDATE endpoints SET lease_node = $2, lease_until = $4, fence = fence + 1 \
        WHERE endpoint = $1 AND (lease_until <= $3 OR lease_node = $2) RETURNING fence, tx, id";
    run(client, NEW, &[&endpoint]).await?;
    let params: Params<'_> = &[&endpoint, &node, &now.millis(), &until.millis()];
    first(client, CLAIM, params, |row| {
        let cursor = Position { tx: row.try_get("tx")?, id: row.try_get("id")? };
        Ok(EndpointLease { endpoint: endpoint.to_owned(), fence: row.try_get("fence")?, cursor })
    })
    .await
}

async fn ack(
    mut client: Object,
    lease: &EndpointLease,
    cursor: Option<Position>,
    settled: &[DeliveryResult],
    at: Timestamp,
) -> Result<bool> {
    const MOVE: &str =
        "UPDATE endpoints SET tx = coalesce($3, tx), id = coalesce($4, id) WHERE endpoint = $1 AND fence = $2";
    let tx = client.transaction().await?;
    let to = (cursor.map(|cursor| cursor.tx), cursor.map(|cursor| cursor.id));
    if run(&tx, MOVE, &[&lease.endpoint, &lease.fence, &to.0, &to.1]).await? == 0 {
        return Ok(false);
    }
    for one in settled {
        write(&tx, &lease.endpoint, one).await?;
    }
    for one in settled {
        run(&tx, ADVANCE, &[&lease.endpoint, &one.subject, &at.millis()]).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn write(
    tx: &impl GenericClient,
    endpoint: &str,
    DeliveryResult { position, subject, outcome }: &DeliveryResult,
) -> Result<()> {
    const GONE: &str = "DELETE FROM deliveries WHERE endpoint = $1 AND tx = $2 AND id = $3";
    const QUEUE: &str = "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts) \
        VALUES ($1, $2, $3, $4, 'waiting', 0) ON CONFLICT DO NOTHING";
    const KEEP: &str = "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts, first_at, next_at, \
        last_error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (endpoint, tx, id) DO UPDATE SET \
        status = excluded.status, attempts = excluded.attempts, first_at = excluded.first_at, \
        next_at = excluded.next_at, last_error = excluded.last_error";
    let Position { tx: number, id } = position;
    let (status, attempts, first_at, next_at, why) = match outcome {
        DeliveryOutcome::Delivered => return run(tx, GONE, &[&endpoint, number, id]).await.map(|_| ()),
        DeliveryOutcome::Queued => return run(tx, QUEUE, &[&endpoint, number, id, subject]).await.map(|_| ()),
        DeliveryOutcome::Waiting { attempts, first_at, next_at, why } => {
            ("waiting", attempts, first_at, Some(next_at), why)
        }
        DeliveryOutcome::Parked { attempts, first_at, why } => ("parked", attempts, first_at, None, why),
    };
    let (attempts, first_at) = (i64::from(*attempts), first_at.millis());
    let (next_at, why) = (next_at.map(|time| time.millis()), without_nul(why));
    let params: Params<'_> = &[&endpoint, number, id, subject, &status, &attempts, &first_at, &next_at, &why];
    run(tx, KEEP, params).await.map(|_| ())
}

async fn replay(mut client: Object, endpoint: &str, what: &Replay, now: Timestamp) -> Result<u64> {
    const LOCK: &str = "SELECT 1 FROM endpoints WHERE endpoint = $1 FOR UPDATE";
    const PARKED: &str = "UPDATE deliveries SET status = 'waiting', attempts = 0, first_at = NULL, next_at = $2 \
        WHERE endpoint = $1 AND status = 'parked'";
    const OF: &str = concat!(
        "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts, next_at) \
        SELECT p.endpoint, e.tx, e.id, e.key, 'waiting', 0, $2 FROM events e \
        JOIN endpoints p ON (p.tx, p.id) >= (e.tx, e.id) \
        WHERE p.endpoint = $1 AND e.key = $3 AND e.type NOT IN ",
        notices!(),
        " ON CONFLICT (endpoint, tx, id) DO UPDATE SET \
        status = 'waiting', attempts = 0, first_at = NULL, next_at = excluded.next_at"
    );
    let tx = client.transaction().await?;
    run(&tx, LOCK, &[&endpoint]).await?;
    let replayed = match what {
        Replay::Parked => run(&tx, PARKED, &[&endpoint, &now.millis()]).await?,
        Replay::Of(key) => run(&tx, OF, &[&endpoint, &now.millis(), &key.as_str()]).await?,
        Replay::After(position) => replay_after(&tx, endpoint, *position).await?,
    };
    tx.commit().await?;
    Ok(replayed)
}

/// Sets the endpoint back. Whoever tells it now loses the lease, and begins anew
/// from there.
async fn replay_after(tx: &impl GenericClient, endpoint: &str, after: Position) -> Result<u64> {
    const COUNT: &str = concat!(
        "SELECT count(*) FROM events e JOIN endpoints p ON (p.tx, p.id) >= (e.tx, e.id) \
        WHERE p.endpoint = $1 AND (e.tx, e.id) > ($2, $3) AND e.type NOT IN ",
        notices!(),
        ""
    );
    const BACK: &str = "UPDATE endpoints SET tx = $2, id = $3, lease_until = 0, fence = fence + 1 \
        WHERE endpoint = $1 AND (tx, id) > ($2, $3)";
    const GIVEN_UP: &str = "DELETE FROM deliveries WHERE endpoint = $1 AND (tx, id) > ($2, $3) AND status = 'parked'";
    let params: Params<'_> = &[&endpoint, &after.tx, &after.id];
    let count = first(tx, COUNT, params, |row| Ok(row.try_get::<_, i64>(0)?)).await?;
    run(tx, BACK, params).await?;
    run(tx, GIVEN_UP, params).await?;
    Ok(count.unwrap_or_default().unsigned_abs())
}
