//! The outbox. There is one writer, so events' numbers rise as transactions
//! end, and their `tx` is always 0.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, EventType, Position},
    notices,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _};

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
    SqliteCatalog,
    find::all,
};

/// Reads what the world was told since.
pub const EVENTS: &str = "SELECT tx, id, at, type, provider, request_id, key, detail, tenant FROM events \
    WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Finds events whose time has come, the earliest of each subject.
pub const DUE: &str = "SELECT d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, e.tenant, \
    d.attempts, d.first_at FROM deliveries d JOIN events e ON e.id = d.id \
    WHERE d.endpoint = ?1 AND d.next_at <= ?2 AND NOT EXISTS (SELECT 1 FROM deliveries b \
    WHERE b.endpoint = d.endpoint AND b.subject = d.subject AND b.status = 'waiting' AND (b.tx, b.id) < (d.tx, d.id)) \
    ORDER BY d.next_at LIMIT ?3";

/// Looks whether a subject has events waiting.
pub const BLOCKED: &str =
    "SELECT 1 FROM deliveries WHERE endpoint = ?1 AND subject = ?2 AND status = 'waiting' LIMIT 1";

/// Makes the earliest event of a subject due.
pub const ADVANCE: &str = "UPDATE deliveries SET next_at = ?3 WHERE endpoint = ?1 AND subject = ?2 \
    AND status = 'waiting' AND next_at IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries b \
    WHERE b.endpoint = ?1 AND b.subject = ?2 AND b.status = 'waiting' \
    AND (b.tx, b.id) < (deliveries.tx, deliveries.id))";

#[async_trait]
impl Outbox for SqliteCatalog {
    async fn events(&self, after: Position, limit: u32) -> Result<Vec<(Position, Event)>> {
        let read = move |db: &Connection| all(db, EVENTS, (after.id, page::size(limit)), |row| row::event(row));
        self.readers.read("reading events", read).await
    }

    async fn last_event(&self) -> Result<Position> {
        const SQL: &str = "SELECT ifnull(max(id), 0) FROM events";
        let newest = |db: &Connection| Ok(db.prepare_cached(SQL)?.query_row((), |row| row.get(0))?);
        Ok(Position { tx: 0, id: self.readers.read("reading events", newest).await? })
    }

    async fn is_reached(&self, position: Position) -> Result<bool> {
        Ok(position <= self.last_event().await?)
    }

    async fn list_events(
        &self,
        kind: Option<EventType>,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Vec<(Position, Event)>> {
        self.readers.read("listing events", move |db| list(db, kind, after, limit)).await
    }

    async fn claim_endpoint(
        &self,
        endpoint: &str,
        node: &NodeId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<EndpointLease>> {
        let (endpoint, node) = (endpoint.to_owned(), node.clone());
        let claim = move |tx: &Connection| claim(tx, endpoint, &node, now, now.plus(lease));
        self.writer.write("claiming an endpoint", claim).await
    }

    async fn renew_endpoint(&self, lease: &EndpointLease, until: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE endpoints SET lease_until = ?3 WHERE endpoint = ?1 AND fence = ?2";
        let EndpointLease { endpoint, fence, .. } = lease.clone();
        let renew = move |tx: &Connection| {
            let renewed = tx.prepare_cached(SQL)?.execute((endpoint, fence, until.millis()))?;
            Ok(renewed > 0)
        };
        self.writer.write_unsynced("renewing a lease", renew).await
    }

    async fn release_endpoint(&self, lease: &EndpointLease) -> Result<()> {
        const SQL: &str = "UPDATE endpoints SET lease_until = 0, lease_node = NULL WHERE endpoint = ?1 AND fence = ?2";
        let EndpointLease { endpoint, fence, .. } = lease.clone();
        let release = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute((endpoint, fence)).map(|_| ())?);
        self.writer.write_unsynced("releasing an endpoint", release).await
    }

    async fn blocked_subjects(&self, endpoint: &str, subjects: &[String]) -> Result<Vec<String>> {
        let (endpoint, mut subjects) = (endpoint.to_owned(), subjects.to_vec());
        let look = move |db: &Connection| {
            let mut statement = db.prepare_cached(BLOCKED)?;
            let mut blocked = Vec::new();
            for subject in subjects.drain(..) {
                if statement.exists((&endpoint, &subject))? {
                    blocked.push(subject);
                }
            }
            Ok(blocked)
        };
        self.readers.read("looking for waiting events", look).await
    }

    async fn due_deliveries(&self, endpoint: &str, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let params = (endpoint.to_owned(), now.millis(), page::size(limit));
        let look = move |db: &Connection| all(db, DUE, params, |row| row::delivery(row));
        self.readers.read("looking for due events", look).await
    }

    async fn ack(
        &self,
        lease: &EndpointLease,
        cursor: Option<Position>,
        settled: &[DeliveryResult],
        at: Timestamp,
    ) -> Result<bool> {
        let (lease, settled) = (lease.clone(), settled.to_vec());
        self.writer.write("settling events", move |tx| ack(tx, &lease, cursor, &settled, at)).await
    }

    async fn retry_deliveries_now(&self, endpoint: &str, now: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE deliveries SET next_at = ?2 WHERE endpoint = ?1 AND next_at > ?2";
        let params = (endpoint.to_owned(), now.millis());
        let hasten = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute(params).map(|_| ())?);
        self.writer.write("hastening events", hasten).await
    }

    async fn parked_deliveries(&self, limit: u32) -> Result<Vec<ParkedDelivery>> {
        const SQL: &str = concat!(
            "SELECT d.endpoint, d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, ",
            event_tenant!("e"),
            ", \
            d.attempts, d.first_at, d.last_error FROM deliveries d JOIN events e ON e.id = d.id \
            WHERE d.status = 'parked' ORDER BY d.endpoint, d.tx, d.id LIMIT ?1"
        );
        let read = move |db: &Connection| all(db, SQL, [page::size(limit)], |row| row::parked(row));
        self.readers.read("listing parked events", read).await
    }

    async fn waiting_deliveries(&self, limit: u32) -> Result<Vec<WaitingDelivery>> {
        const SQL: &str = concat!(
            "SELECT d.endpoint, d.tx, d.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, ",
            event_tenant!("e"),
            ", \
            d.attempts, d.first_at, d.next_at, d.last_error FROM deliveries d JOIN events e ON e.id = d.id \
            WHERE d.status = 'waiting' ORDER BY d.endpoint, d.tx, d.id LIMIT ?1"
        );
        let read = move |db: &Connection| all(db, SQL, [page::size(limit)], |row| row::waiting(row));
        self.readers.read("listing waiting events", read).await
    }

    async fn replay(&self, endpoint: &str, what: &Replay, now: Timestamp) -> Result<u64> {
        let (endpoint, what) = (endpoint.to_owned(), what.clone());
        self.writer.write("replaying events", move |tx| replay(tx, &endpoint, &what, now)).await
    }

    async fn count_deliveries(&self) -> Result<Vec<Backlog>> {
        const SQL: &str = "SELECT endpoint, count(*) FILTER (WHERE status = 'waiting') AS waiting, \
            count(*) FILTER (WHERE status = 'parked') AS parked, \
            min(first_at) FILTER (WHERE status = 'waiting') AS oldest FROM deliveries GROUP BY endpoint";
        self.readers.read("counting events", |db| all(db, SQL, (), |row| row::backlog(row))).await
    }
}

fn list(
    db: &Connection,
    kind: Option<EventType>,
    after: Option<Position>,
    limit: u32,
) -> Result<Vec<(Position, Event)>> {
    const AFTER: &str = concat!(
        "SELECT tx, id, at, type, provider, request_id, key, detail, ",
        event_tenant!("events"),
        " FROM events WHERE id > ?3 \
        AND CASE WHEN ?1 IS NULL THEN type NOT IN ",
        notices!(),
        " ELSE type = ?1 END ORDER BY id LIMIT ?2"
    );
    const NEWEST: &str = concat!(
        "SELECT tx, id, at, type, provider, request_id, key, detail, ",
        event_tenant!("events"),
        " FROM events \
        WHERE CASE WHEN ?1 IS NULL THEN type NOT IN ",
        notices!(),
        " ELSE type = ?1 END ORDER BY id DESC LIMIT ?2"
    );
    let (kind, limit) = (kind.map(EventType::as_str), page::size(limit));
    if let Some(after) = after {
        return all(db, AFTER, (kind, limit, after.id), |row| row::event(row));
    }
    let mut newest = all(db, NEWEST, (kind, limit), |row| row::event(row))?;
    newest.reverse();
    Ok(newest)
}

fn claim(
    tx: &Connection,
    endpoint: String,
    node: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<EndpointLease>> {
    const NEW: &str = "INSERT INTO endpoints (endpoint, tx, id, lease_until, fence) \
        SELECT ?1, 0, ifnull(max(id), 0), 0, 0 FROM events WHERE TRUE ON CONFLICT DO NOTHING";
    const CLAIM: &str = "UPDATE endpoints SET lease_node = ?2, lease_until = ?4, fence = fence + 1 \
        WHERE endpoint = ?1 AND (lease_until <= ?3 OR lease_node = ?2) RETURNING fence, tx, id";
    tx.prepare_cached(NEW)?.execute([&endpoint])?;
    let params = (&endpoint, node, now.millis(), until.millis());
    let claimed = tx
        .prepare_cached(CLAIM)?
        .query_row(params, |row| Ok((row.get("fence")?, Position { tx: row.get("tx")?, id: row.get("id")? })));
    Ok(claimed.optional()?.map(|(fence, cursor)| EndpointLease { endpoint, fence, cursor }))
}

fn ack(
    tx: &Connection,
    lease: &EndpointLease,
    cursor: Option<Position>,
    settled: &[DeliveryResult],
    at: Timestamp,
) -> Result<bool> {
    const MOVE: &str =
        "UPDATE endpoints SET tx = ifnull(?3, tx), id = ifnull(?4, id) WHERE endpoint = ?1 AND fence = ?2";
    let to = (cursor.map(|cursor| cursor.tx), cursor.map(|cursor| cursor.id));
    if tx.prepare_cached(MOVE)?.execute((&lease.endpoint, lease.fence, to.0, to.1))? == 0 {
        return Ok(false);
    }
    for one in settled {
        write(tx, &lease.endpoint, one)?;
    }
    for one in settled {
        tx.prepare_cached(ADVANCE)?.execute((&lease.endpoint, &one.subject, at.millis()))?;
    }
    Ok(true)
}

fn write(
    tx: &Connection,
    endpoint: &str,
    DeliveryResult { position, subject, outcome }: &DeliveryResult,
) -> Result<()> {
    const GONE: &str = "DELETE FROM deliveries WHERE endpoint = ?1 AND tx = ?2 AND id = ?3";
    const QUEUE: &str = "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts) \
        VALUES (?1, ?2, ?3, ?4, 'waiting', 0) ON CONFLICT DO NOTHING";
    const KEEP: &str = "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts, first_at, next_at, \
        last_error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (endpoint, tx, id) DO UPDATE SET \
        status = excluded.status, attempts = excluded.attempts, first_at = excluded.first_at, \
        next_at = excluded.next_at, last_error = excluded.last_error";
    let (number, id) = (position.tx, position.id);
    let (status, attempts, first_at, next_at, why) = match outcome {
        DeliveryOutcome::Delivered => {
            tx.prepare_cached(GONE)?.execute((endpoint, number, id))?;
            return Ok(());
        }
        DeliveryOutcome::Queued => {
            tx.prepare_cached(QUEUE)?.execute((endpoint, number, id, subject))?;
            return Ok(());
        }
        DeliveryOutcome::Waiting { attempts, first_at, next_at, why } => {
            ("waiting", attempts, first_at, Some(next_at), why)
        }
        DeliveryOutcome::Parked { attempts, first_at, why } => ("parked", attempts, first_at, None, why),
    };
    let next_at = next_at.map(|time| time.millis());
    let params = (endpoint, number, id, subject, status, attempts, first_at.millis(), next_at, without_nul(why));
    tx.prepare_cached(KEEP)?.execute(params)?;
    Ok(())
}

fn replay(tx: &Connection, endpoint: &str, what: &Replay, now: Timestamp) -> Result<u64> {
    const PARKED: &str = "UPDATE deliveries SET status = 'waiting', attempts = 0, first_at = NULL, next_at = ?2 \
        WHERE endpoint = ?1 AND status = 'parked'";
    const OF: &str = concat!(
        "INSERT INTO deliveries (endpoint, tx, id, subject, status, attempts, next_at) \
        SELECT p.endpoint, 0, e.id, e.key, 'waiting', 0, ?2 FROM events e JOIN endpoints p ON p.id >= e.id \
        WHERE p.endpoint = ?1 AND e.key = ?3 AND e.type NOT IN ",
        notices!(),
        " ON CONFLICT (endpoint, tx, id) DO UPDATE SET \
        status = 'waiting', attempts = 0, first_at = NULL, next_at = excluded.next_at"
    );
    let replayed = match what {
        Replay::Parked => tx.prepare_cached(PARKED)?.execute((endpoint, now.millis()))?,
        Replay::Of(key) => tx.prepare_cached(OF)?.execute((endpoint, now.millis(), key.as_str()))?,
        Replay::After(position) => return replay_after(tx, endpoint, *position),
    };
    Ok(replayed as u64)
}

/// Sets the endpoint back. Whoever tells it now loses the lease, and begins anew
/// from there.
fn replay_after(tx: &Connection, endpoint: &str, after: Position) -> Result<u64> {
    const COUNT: &str = concat!(
        "SELECT count(*) FROM events e JOIN endpoints p ON p.id >= e.id \
        WHERE p.endpoint = ?1 AND e.id > ?2 AND e.type NOT IN ",
        notices!(),
        ""
    );
    const BACK: &str =
        "UPDATE endpoints SET id = ?2, lease_until = 0, fence = fence + 1 WHERE endpoint = ?1 AND id > ?2";
    const GIVEN_UP: &str = "DELETE FROM deliveries WHERE endpoint = ?1 AND id > ?2 AND status = 'parked'";
    let count = tx.prepare_cached(COUNT)?.query_row((endpoint, after.id), |row| row.get::<_, i64>(0))?;
    tx.prepare_cached(BACK)?.execute((endpoint, after.id))?;
    tx.prepare_cached(GIVEN_UP)?.execute((endpoint, after.id))?;
    Ok(count.unsigned_abs())
}
