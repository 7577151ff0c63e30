//! H44: records do not grow for ever, and nothing that is closed changes by it.

use std::time::Duration;

use clipkeep::catalog::{
    Catalog, UsageBatch, UsageFilter, UsageGroup,
    open::Database,
    outbox::{DeliveryOutcome, DeliveryResult},
};
use clipkeep_core::{
    time::Timestamp,
    usage::{Counts, UsageRow},
};

use super::{Bed, events::read, hook, key, on_both, story};

on_both![
    h44_old_events_go_but_not_what_an_endpoint_has_not_been_told,
    h44_a_parked_delivery_goes_with_its_event,
    h44_old_history_goes_but_not_what_a_receipt_names,
    h44_usage_by_the_hour_becomes_usage_by_the_day_and_sums_stay,
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

const LEASE: Duration = Duration::from_secs(60);

async fn event(bed: &Bed, id: &str, secs: i64) {
    bed.execute(&format!(
        "INSERT INTO events (at, type, provider, request_id, key, detail) \
         VALUES ({}, 'clip.lost', 'fal', '{id}', '{id}.mp4', 'gone')",
        secs * 1000
    ))
    .await;
}

async fn h44_old_events_go_but_not_what_an_endpoint_has_not_been_told(bed: Bed) {
    let catalog = bed.open().await;
    let start = catalog.last_event().await.unwrap();
    let lease = catalog.claim_endpoint("app", &"n".to_owned(), at(0), LEASE).await.unwrap().unwrap();
    for (id, secs) in [("a", 10), ("b", 20), ("c", 30), ("d", 500)] {
        event(&bed, id, secs).await;
    }
    let all = read(&*catalog, start, 4).await;
    let endpoints = ["app".to_owned()];
    // It has been told of nothing yet. An endpoint that is configured no more holds nothing back.
    assert_eq!(catalog.forget_events(at(100), &endpoints, 100).await.unwrap(), 0);
    let settled = DeliveryResult {
        position: all[0].0,
        subject: "a.mp4".to_owned(),
        outcome: DeliveryOutcome::Waiting {
            attempts: 1,
            first_at: at(0),
            next_at: at(9),
            why: "it answered 500".to_owned(),
        },
    };
    catalog.ack(&lease, Some(all[1].0), &[settled], at(0)).await.unwrap();
    // `a` is told again, and `c` was not told yet.
    assert_eq!(catalog.forget_events(at(100), &endpoints, 100).await.unwrap(), 1);
    assert_eq!(read(&*catalog, start, 3).await, [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(catalog.forget_events(at(100), &[], 100).await.unwrap(), 1);
    assert_eq!(catalog.forget_events(at(100), &[], 100).await.unwrap(), 0);
    // The newest stays whatever its age: positions go on from it.
    assert_eq!(catalog.forget_events(at(900), &[], 100).await.unwrap(), 0);
    event(&bed, "e", 600).await;
    assert_eq!(read(&*catalog, all[3].0, 1).await[0].1.subject(), "e.mp4");
}

async fn h44_a_parked_delivery_goes_with_its_event(bed: Bed) {
    let catalog = bed.open().await;
    let start = catalog.last_event().await.unwrap();
    let lease = catalog.claim_endpoint("app", &"n".to_owned(), at(0), LEASE).await.unwrap().unwrap();
    event(&bed, "a", 10).await;
    event(&bed, "b", 10).await;
    let all = read(&*catalog, start, 2).await;
    let parked = |place: usize| DeliveryResult {
        position: all[place].0,
        subject: all[place].1.subject().to_owned(),
        outcome: DeliveryOutcome::Parked { attempts: 9, first_at: at(0), why: "it answered 500".to_owned() },
    };
    catalog.ack(&lease, Some(all[1].0), &[parked(0), parked(1)], at(0)).await.unwrap();
    assert_eq!(catalog.parked_deliveries(9).await.unwrap().len(), 2);
    assert_eq!(catalog.forget_events(at(100), &["app".to_owned()], 100).await.unwrap(), 1);
    let left = catalog.parked_deliveries(9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.delivery.position).collect::<Vec<_>>(), [all[1].0]);
}

async fn h44_old_history_goes_but_not_what_a_receipt_names(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("stored"), hook("waits"), hook("gone")]).await.unwrap();
    bed.execute("UPDATE clips SET state = 'lost', due_at = NULL, queue_at = NULL WHERE key = 'gone.mp4'").await;
    bed.execute(
        "UPDATE clips SET state = 'stored', due_at = NULL, queue_at = NULL, size = 1, sha256 = 'x', \
         sealed_kind = 'video', sealed_content_type = 'video/mp4', stored_at = 1 WHERE key = 'stored.mp4'",
    )
    .await;
    for clip in ["stored", "waits", "gone"] {
        bed.execute(&format!("UPDATE history SET at = 1000 WHERE key = '{clip}.mp4'")).await;
    }
    // PostgreSQL counts by itself.
    let counts_itself = matches!(bed.database, Database::Postgres(_));
    for (n, event, secs) in [(50, "claimed", 2), (51, "sealed", 3), (52, "stored", 4), (53, "damaged", 900)] {
        let (column, value) = if counts_itself { ("", String::new()) } else { ("id, ", format!("{n}, ")) };
        bed.execute(&format!(
            "INSERT INTO history (key, {column}at, event) VALUES ('stored.mp4', {value}{}, '{event}')",
            secs * 1000
        ))
        .await;
    }
    assert_eq!(story(&*catalog, "stored").await, ["received", "claimed", "sealed", "stored", "damaged"]);
    assert_eq!(story(&*catalog, "gone").await, ["received"]);
    // Page by page: two clips, then the last one.
    let first = catalog.forget_history(None, at(100), 2).await.unwrap();
    assert_eq!((first.lines, first.last.as_ref()), (3, Some(&key("stored.mp4"))));
    let rest = catalog.forget_history(first.last.as_ref(), at(100), 2).await.unwrap();
    assert_eq!((rest.lines, rest.last), (0, None));
    assert_eq!(story(&*catalog, "stored").await, ["sealed", "stored", "damaged"]);
    assert_eq!(story(&*catalog, "waits").await, ["received"]);
    assert!(story(&*catalog, "gone").await.is_empty());
}

async fn by(catalog: &dyn Catalog, group: UsageGroup) -> Vec<(String, u64)> {
    let page = catalog.usage(&UsageFilter::default(), group, None, 100).await.unwrap();
    page.lines.into_iter().map(|line| (line.name, line.counts.viewer_bytes)).collect()
}

async fn h44_usage_by_the_hour_becomes_usage_by_the_day_and_sums_stay(bed: Bed) {
    let catalog = bed.open().await;
    let hour = |text: &str| text.parse::<Timestamp>().unwrap();
    let row = |at: &str, clip: &str, tenant: &str, bytes| UsageRow {
        hour: hour(at),
        key: key(clip),
        tenant: tenant.parse().ok(),
        counts: Counts { plays: 1, viewer_bytes: bytes, ..Counts::default() },
    };
    let add = async |seq, rows| {
        let at = hour("2026-03-01T00:00:00Z");
        catalog.add_usage(&UsageBatch { node: "n".into(), seq, at, rows, operations: Vec::new() }).await.unwrap();
    };
    add(
        1,
        vec![
            row("2026-01-31T00:00:00Z", "a.mp4", "acme", 1),
            row("2026-01-31T05:00:00Z", "a.mp4", "acme", 10),
            row("2026-01-31T05:00:00Z", "b.mp4", "", 100),
            row("2026-01-31T23:00:00Z", "a.mp4", "acme", 1000),
            row("2026-02-01T07:00:00Z", "a.mp4", "", 10_000),
        ],
    )
    .await;
    let before = (by(&*catalog, UsageGroup::Day).await, by(&*catalog, UsageGroup::Month).await);
    let sums = (by(&*catalog, UsageGroup::Clip).await, by(&*catalog, UsageGroup::Tenant).await);

    let five = catalog.next_usage_hour(None).await.unwrap().unwrap();
    assert_eq!(five, hour("2026-01-31T05:00:00Z"));
    // Bounded: one row, then the other.
    assert_eq!(catalog.roll_up_usage(five, 1).await.unwrap(), 1);
    assert_eq!(catalog.roll_up_usage(five, 9).await.unwrap(), 1);
    assert_eq!(catalog.roll_up_usage(five, 9).await.unwrap(), 0);
    let last = catalog.next_usage_hour(Some(five)).await.unwrap().unwrap();
    assert_eq!(catalog.roll_up_usage(last, 9).await.unwrap(), 1);
    assert_eq!(catalog.next_usage_hour(Some(last)).await.unwrap(), Some(hour("2026-02-01T07:00:00Z")));
    // What a node tells late is added to its hour, and rolled up in its turn.
    add(2, vec![row("2026-01-31T05:00:00Z", "a.mp4", "acme", 100_000)]).await;
    assert_eq!(catalog.next_usage_hour(None).await.unwrap(), Some(five));
    assert_eq!(catalog.roll_up_usage(five, 9).await.unwrap(), 1);

    let hours = by(&*catalog, UsageGroup::Hour).await;
    let told = [("2026-01-31T00:00:00Z".to_owned(), 101_111), ("2026-02-01T07:00:00Z".to_owned(), 10_000)];
    assert_eq!(hours, told);
    let late = |lines: Vec<(String, u64)>, name: &str| -> Vec<(String, u64)> {
        lines.into_iter().map(|(n, b)| if n == name { (n, b + 100_000) } else { (n, b) }).collect()
    };
    assert_eq!(by(&*catalog, UsageGroup::Day).await, late(before.0, "2026-01-31"));
    assert_eq!(by(&*catalog, UsageGroup::Month).await, late(before.1, "2026-01"));
    assert_eq!(by(&*catalog, UsageGroup::Clip).await, late(sums.0, "a.mp4"));
    assert_eq!(by(&*catalog, UsageGroup::Tenant).await, late(sums.1, "acme"));
}
