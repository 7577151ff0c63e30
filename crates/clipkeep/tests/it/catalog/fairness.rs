//! Fresh clips and a backlog: neither starves the other.

use std::time::Duration;

use clipkeep::catalog::{Catalog, Quota, open::Database};
use clipkeep_core::{
    generation::HookRecord,
    policy::{Policies, Policy},
    time::Timestamp,
};

use super::{Bed, HOUR, at, clip, hook, on_both};

on_both![
    case_42_a_fresh_webhook_is_in_the_first_claim_before_any_backlog,
    case_42_half_of_each_goes_to_the_backlog_by_urgency,
    what_one_sort_leaves_goes_to_the_other,
    a_backlog_without_slots_holds_up_nobody,
    case_42_a_deferred_clip_is_backlog_from_the_moment_it_is_due,
    the_forecast_lists_what_is_due_by_deadline,
];

const LEASE: Duration = Duration::from_secs(60);

async fn claim(catalog: &dyn Catalog, now: Timestamp, quota: Quota) -> Vec<(String, bool)> {
    let claims = catalog.claim_due(&"node".into(), now, LEASE, quota).await.unwrap();
    claims.into_iter().map(|claim| (claim.clip.request_id.to_string(), claim.backlog)).collect()
}

/// Clips that are due since `at(0)`; the first expires soonest.
async fn backlog(bed: &Bed, count: i64) {
    let rows = format!(
        "INSERT INTO generations (provider, request_id, status, created_at)
         SELECT 'fal', 'old' || n, 'completed', {zero} FROM numbers;
         INSERT INTO clips (key, provider, request_id, idx, slot, source_url, source_expires_at, kind, content_type,
             state, policy, epoch, created_at, due_at, queue_at, queued, fence, attempts)
         SELECT 'old' || n || '.mp4', 'fal', 'old' || n, 0, '/video', 'https://source.example/' || n,
             {zero} + (1 + n) * 3600000, 'video', 'video/mp4', 'waiting', 'eager', 1, {zero}, {zero}, {zero},
             {no}, 0, 0 FROM numbers;
         DROP TABLE numbers;",
        zero = at(0).millis(),
        no = if matches!(bed.database, Database::Sqlite(_)) { "0" } else { "FALSE" },
    );
    let numbers = match bed.database {
        Database::Sqlite(_) => format!(
            "CREATE TABLE numbers AS WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {count} - 1)
             SELECT n FROM n;"
        ),
        Database::Postgres(_) => format!("CREATE TABLE numbers AS SELECT generate_series(0::bigint, {count} - 1) AS n;"),
    };
    bed.execute(&format!("{numbers}{rows}")).await;
}

async fn case_42_a_fresh_webhook_is_in_the_first_claim_before_any_backlog(bed: Bed) {
    let catalog = bed.open().await;
    backlog(&bed, 3_000).await;
    let now = at(10 * HOUR);
    for round in 0..5 {
        let fresh = HookRecord { received_at: now, ..hook(&format!("fresh{round}")) };
        catalog.record_hooks(&[fresh]).await.unwrap();
        let quota = if round % 2 == 0 { Quota::halves(1) } else { Quota::halves(8) };
        let claimed = claim(&*catalog, now, quota).await;
        assert_eq!(claimed.len(), quota.limit as usize);
        assert!(claimed.contains(&(format!("fresh{round}"), false)), "{claimed:?}");
    }
}

async fn case_42_half_of_each_goes_to_the_backlog_by_urgency(bed: Bed) {
    let catalog = bed.open().await;
    backlog(&bed, 10).await;
    let now = at(10 * HOUR);
    let fresh = |n| HookRecord { received_at: at(10 * HOUR - 10 + n), ..hook(&format!("fresh{n}")) };
    catalog.record_hooks(&(0..10).map(fresh).collect::<Vec<_>>()).await.unwrap();
    let names = |claims: Vec<(String, bool)>| claims.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    // The newest first, the most urgent of the backlog.
    assert_eq!(names(claim(&*catalog, now, Quota::halves(4)).await), ["old0", "old1", "fresh8", "fresh9"]);
    let one_of_backlog = Quota { limit: 1, fresh: 0, backlog: 1, suspects: 0 };
    assert_eq!(names(claim(&*catalog, now, one_of_backlog).await), ["old2"]);
    assert_eq!(names(claim(&*catalog, now, Quota::halves(1)).await), ["fresh7"]);
    // Who is fresh for a minute without being claimed is backlog, too.
    let later = at(10 * HOUR + 3600);
    let rest = claim(&*catalog, later, Quota::halves(100)).await;
    assert!(rest.iter().all(|(_, backlog)| *backlog), "{rest:?}");
    assert_eq!(rest.len(), 20, "leases that ran out are claimed anew: {rest:?}");
}

async fn what_one_sort_leaves_goes_to_the_other(bed: Bed) {
    let catalog = bed.open().await;
    backlog(&bed, 3).await;
    let fresh = |n: u32| HookRecord { received_at: at(HOUR), ..hook(&format!("fresh{n}")) };
    catalog.record_hooks(&(0..5).map(fresh).collect::<Vec<_>>()).await.unwrap();
    let claimed = claim(&*catalog, at(HOUR), Quota { limit: 8, fresh: 1, backlog: 8, suspects: 0 }).await;
    assert_eq!((claimed.len(), claimed.iter().filter(|(_, backlog)| *backlog).count()), (8, 3));
    assert!(claim(&*catalog, at(HOUR), Quota::halves(8)).await.is_empty());
}

async fn a_backlog_without_slots_holds_up_nobody(bed: Bed) {
    let catalog = bed.open().await;
    backlog(&bed, 30).await;
    let fresh = HookRecord { received_at: at(HOUR), ..hook("fresh") };
    catalog.record_hooks(&[fresh]).await.unwrap();
    let full = Quota { limit: 8, fresh: 4, backlog: 0, suspects: 0 };
    assert_eq!(claim(&*catalog, at(HOUR), full).await, [("fresh".to_owned(), false)]);
    assert!(claim(&*catalog, at(HOUR), full).await.is_empty());
    assert_eq!(claim(&*catalog, at(HOUR), Quota { backlog: 2, ..full }).await.len(), 2);
}

async fn case_42_a_deferred_clip_is_backlog_from_the_moment_it_is_due(bed: Bed) {
    let policies = Policies { deferred_after: Duration::from_secs(3600), ..Policies::default() };
    let rules = clipkeep::catalog::open::Rules { policies, ..Default::default() };
    let catalog = bed.open_with(rules).await;
    let mut webhook = hook("deferred");
    webhook.facts.policy = Some(Policy::Deferred);
    catalog.record_hooks(&[webhook]).await.unwrap();
    let just_before = Timestamp::from_millis(at(HOUR).millis() - 1);
    assert!(claim(&*catalog, just_before, Quota::halves(9)).await.is_empty());
    assert_eq!(claim(&*catalog, at(HOUR), Quota::halves(9)).await, [("deferred".to_owned(), true)]);
}

async fn the_forecast_lists_what_is_due_by_deadline(bed: Bed) {
    let catalog = bed.open().await;
    backlog(&bed, 300).await;
    let mut deferred = hook("deferred");
    deferred.facts.policy = Some(Policy::Deferred);
    deferred.clips[0].source_expires_at = Some(at(1));
    let mut fresh = hook("fresh");
    fresh.received_at = at(30 * HOUR);
    fresh.clips[0].source_expires_at = Some(at(2));
    catalog.record_hooks(&[deferred, fresh]).await.unwrap();
    let now = at(30 * HOUR);
    claim(&*catalog, now, Quota { limit: 1, fresh: 0, backlog: 1, suspects: 0 }).await;
    let first = catalog.most_urgent(now, 3).await.unwrap();
    let keys: Vec<_> = first.iter().map(|clip| clip.request_id.as_str()).collect();
    // The claim took the deferred one, or what was the most urgent of those it had seen.
    assert_eq!(keys, ["fresh", "old0", "old1"]);
    assert_eq!(catalog.pending_counts(now).await.unwrap().due, 301);
    assert_eq!(catalog.pending_counts(at(-1)).await.unwrap().due, 0);
    assert_eq!(clip(&*catalog, "deferred").await.attempts, 1);
}
