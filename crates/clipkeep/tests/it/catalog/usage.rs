//! Usage: what nodes add, and what is asked for.

use clipkeep::catalog::{Catalog, UsageBatch, UsageFilter, UsageGroup};
use clipkeep_core::{
    time::Timestamp,
    usage::{Counts, UsageRow},
};

use super::{Bed, hook, key, on_both};

on_both![
    two_nodes_add_up_and_a_batch_counts_once,
    usage_is_added_up_by_clip_tenant_model_and_time,
    what_was_never_counted_is_nothing,
];

fn hour(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn row(at: &str, clip: &str, tenant: &str, bytes: u64) -> UsageRow {
    let counts = Counts {
        plays: 1,
        viewer_bytes: bytes,
        hits: 2,
        cold_fetches: 3,
        source_bytes: 4,
        aborted_plays: 5,
        first_byte_micros: 6,
        first_bytes: 7,
    };
    UsageRow { hour: hour(at), key: key(clip), tenant: tenant.parse().ok(), counts }
}

fn batch(node: &str, seq: i64, rows: Vec<UsageRow>) -> UsageBatch {
    UsageBatch { node: node.to_owned(), seq, at: hour("2026-01-31T23:59:59Z"), rows, operations: Vec::new() }
}

async fn names(catalog: &dyn Catalog, filter: &UsageFilter, group: UsageGroup) -> Vec<(String, u64)> {
    let page = catalog.usage(filter, group, None, 100).await.unwrap();
    assert_eq!(page.next, None);
    page.lines.into_iter().map(|line| (line.name, line.counts.viewer_bytes)).collect()
}

async fn two_nodes_add_up_and_a_batch_counts_once(bed: Bed) {
    let (catalog, other) = (bed.open().await, bed.open().await);
    let rows = |bytes| vec![row("2026-01-31T23:00:00Z", "a.mp4", "acme", bytes)];
    let first = batch("n1", 1, rows(10));
    catalog.add_usage(&first).await.unwrap();
    // Its answer was lost; it comes again, to whichever node's connection.
    other.add_usage(&first).await.unwrap();
    other.add_usage(&batch("n2", 1, rows(100))).await.unwrap();
    catalog.add_usage(&batch("n1", 2, rows(1000))).await.unwrap();
    catalog.add_usage(&batch("n1", 2, rows(1000))).await.unwrap();
    let page = other.usage(&UsageFilter::default(), UsageGroup::Clip, None, 9).await.unwrap();
    let one = row("2026-01-31T23:00:00Z", "a.mp4", "acme", 0).counts;
    let mut expected = Counts::default();
    (0..3).for_each(|_| expected += one);
    expected.viewer_bytes = 1110;
    assert_eq!((page.lines.len(), page.lines[0].counts), (1, expected));
}

async fn usage_is_added_up_by_clip_tenant_model_and_time(bed: Bed) {
    let catalog = bed.open().await;
    let mut known = hook("a");
    known.facts.model = Some("m1".into());
    catalog.record_hooks(&[known]).await.unwrap();
    let rows = vec![
        row("2026-01-31T23:00:00Z", "a.mp4", "acme", 1),
        row("2026-02-01T00:00:00Z", "a.mp4", "acme", 10),
        row("2026-02-01T01:00:00Z", "b.mp4", "", 100),
        row("2026-02-02T01:00:00Z", "b.mp4", "Zed", 1000),
    ];
    catalog.add_usage(&batch("n", 1, rows)).await.unwrap();
    let all = UsageFilter::default();
    let by = async |group| names(&*catalog, &all, group).await;
    let expected = |lines: &[(&str, u64)]| lines.iter().map(|(n, b)| ((*n).to_owned(), *b)).collect::<Vec<_>>();
    assert_eq!(by(UsageGroup::All).await, expected(&[("", 1111)]));
    assert_eq!(by(UsageGroup::Clip).await, expected(&[("a.mp4", 11), ("b.mp4", 1100)]));
    assert_eq!(by(UsageGroup::Tenant).await, expected(&[("", 100), ("Zed", 1000), ("acme", 11)]));
    assert_eq!(by(UsageGroup::Model).await, expected(&[("", 1100), ("m1", 11)]));
    assert_eq!(by(UsageGroup::Month).await, expected(&[("2026-01", 1), ("2026-02", 1110)]));
    let days = [("2026-01-31", 1), ("2026-02-01", 110), ("2026-02-02", 1000)];
    assert_eq!(by(UsageGroup::Day).await, expected(&days));
    assert_eq!(by(UsageGroup::Hour).await[1], ("2026-02-01T00:00:00Z".to_owned(), 10));

    let some = async |filter: UsageFilter| names(&*catalog, &filter, UsageGroup::All).await[0].1;
    let (from, to) = (Some(hour("2026-02-01T00:00:00Z")), Some(hour("2026-02-02T00:00:00Z")));
    assert_eq!(some(UsageFilter { from, to, ..UsageFilter::default() }).await, 110);
    assert_eq!(some(UsageFilter { tenant: "acme".parse().ok(), ..UsageFilter::default() }).await, 11);
    assert_eq!(some(UsageFilter { model: Some("m1".into()), ..UsageFilter::default() }).await, 11);
    assert_eq!(some(UsageFilter { key: Some(key("b.mp4")), to, ..UsageFilter::default() }).await, 100);

    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = catalog.usage(&all, UsageGroup::Tenant, after.as_deref(), 1).await.unwrap();
        seen.extend(page.lines.into_iter().map(|line| line.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["", "Zed", "acme"]);
}

async fn what_was_never_counted_is_nothing(bed: Bed) {
    let catalog = bed.open().await;
    for group in [UsageGroup::All, UsageGroup::Clip, UsageGroup::Hour] {
        assert_eq!(names(&*catalog, &UsageFilter::default(), group).await, []);
    }
    catalog.add_usage(&batch("n", 1, Vec::new())).await.unwrap();
}
