//! The queue and the leases.

use std::{collections::HashSet, time::Duration};

use clipkeep::catalog::{Catalog, CatalogError, Claim, Fault, Lease, Pinned, Quota};
use clipkeep_core::{
    generation::{Kind, MediaInfo, Sealed},
    policy::Policy,
    state::ClipState,
    time::Timestamp,
    version::SourceVersion,
    view::{FastStart, View},
};

use super::{Bed, HOUR, at, clip, ended, hook, key, on_both, story};

on_both![
    two_nodes_never_claim_the_same_clip,
    what_expires_soonest_is_claimed_first,
    a_clip_is_claimed_when_due_and_not_before,
    case_41_a_lease_that_ran_out_is_taken_over_and_its_holder_refused,
    case_41_a_clock_set_back_claims_nothing_early,
    a_viewer_claims_a_clip_that_is_not_due,
    a_release_does_not_count_as_an_attempt,
    a_retry_waits_until_it_is_due,
    only_the_sources_own_faults_are_misses,
    a_new_version_forgets_what_was_sealed,
    what_an_epoch_serves_is_decided_once,
    only_what_was_sealed_can_be_stored,
    an_ending_that_was_not_heard_may_be_repeated,
    the_next_due_time_counts_leases_too,
    history_tells_the_story_in_order,
];

const LEASE: Duration = Duration::from_secs(60);

pub(super) fn sealed() -> Sealed {
    let media = MediaInfo {
        kind: Kind::Audio,
        content_type: "audio/mp4".into(),
        duration: Some(8.125),
        width: Some(1920),
        height: None,
        fps: Some(23.976),
        codec: Some("mp4a.40.2".into()),
        c2pa: Some(true),
    };
    Sealed { size: 1 << 40, sha256: "ab".repeat(32), media }
}

async fn take(catalog: &dyn Catalog, request_id: &str, now: Timestamp) -> Option<Claim> {
    catalog.claim(&key(&format!("{request_id}.mp4")), &"node".into(), now, LEASE).await.unwrap()
}

async fn due(catalog: &dyn Catalog, now: Timestamp) -> Vec<String> {
    let claims = catalog.claim_due(&"node".into(), now, LEASE, Quota::halves(100)).await.unwrap();
    claims.into_iter().map(|claim| claim.clip.request_id.to_string()).collect()
}

fn is_lost<T>(result: &Result<T, CatalogError>) -> bool {
    matches!(result, Err(CatalogError::LeaseLost { .. }))
}

/// Takes a clip all the way to the store.
pub(super) async fn store(catalog: &dyn Catalog, request_id: &str) -> Lease {
    let lease = take(catalog, request_id, at(1)).await.unwrap().lease;
    catalog.seal(&lease, &sealed(), at(2)).await.unwrap();
    catalog.mark_stored(&lease, ended(at(3))).await.unwrap();
    lease
}

async fn two_nodes_never_claim_the_same_clip(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    let hooks: Vec<_> = (0..200).map(|n| hook(&format!("r{n}"))).collect();
    nodes[0].record_hooks(&hooks).await.unwrap();
    let claimers: Vec<_> = (0..16)
        .map(|n: usize| {
            let catalog = nodes[n % 2].clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claims = catalog.claim_due(&format!("node{n}"), at(1), LEASE, Quota::halves(3)).await.unwrap();
                    if claims.is_empty() {
                        return mine;
                    }
                    mine.extend(claims);
                }
            })
        })
        .collect();
    let mut keys = Vec::new();
    for claimer in claimers {
        keys.extend(claimer.await.unwrap().into_iter().map(|claim| claim.lease.key));
    }
    assert_eq!(keys.len(), 200);
    assert_eq!(keys.into_iter().collect::<HashSet<_>>().len(), 200);
}

async fn what_expires_soonest_is_claimed_first(bed: Bed) {
    let catalog = bed.open().await;
    let mut hooks = Vec::new();
    for (request_id, received, expires) in
        [("unknown-old", 0, None), ("unknown-new", 1, None), ("late", 2, Some(9)), ("soon", 3, Some(8))]
    {
        let mut webhook = hook(request_id);
        webhook.received_at = at(received);
        webhook.clips[0].source_expires_at = expires.map(|hours| at(hours * HOUR));
        hooks.push(webhook);
    }
    catalog.record_hooks(&hooks).await.unwrap();
    let first = catalog.claim_due(&"node".into(), at(5), LEASE, Quota::halves(1)).await.unwrap();
    assert_eq!(first[0].clip.request_id.as_str(), "soon");
    assert_eq!(due(&*catalog, at(5)).await, ["late", "unknown-old", "unknown-new"]);
}

async fn a_clip_is_claimed_when_due_and_not_before(bed: Bed) {
    let catalog = bed.open().await;
    let mut webhook = hook("deferred");
    webhook.facts.policy = Some(Policy::Deferred);
    catalog.record_hooks(&[webhook]).await.unwrap();
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(24 * HOUR)));
    assert!(due(&*catalog, at(24 * HOUR - 1)).await.is_empty());
    assert_eq!(due(&*catalog, at(24 * HOUR)).await, ["deferred"]);
    assert!(due(&*catalog, at(24 * HOUR)).await.is_empty());
}

async fn case_41_a_lease_that_ran_out_is_taken_over_and_its_holder_refused(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let late = take(&*catalog, "r", at(0)).await.unwrap().lease;
    assert!(take(&*catalog, "r", at(59)).await.is_none());
    assert!(due(&*catalog, at(59)).await.is_empty());
    let claims = catalog.claim_due(&"other".into(), at(60), LEASE, Quota::halves(10)).await.unwrap();
    assert_eq!((claims.len(), claims[0].clip.attempts, claims[0].clip.state), (1, 2, ClipState::Filling));
    assert!(claims[0].lease.fence > late.fence);

    let before = clip(&*catalog, "r").await;
    assert!(is_lost(&catalog.renew(&late, at(999), 0).await));
    assert!(is_lost(&catalog.seal(&late, &sealed(), at(61)).await));
    assert!(is_lost(&catalog.raise_epoch(&late, at(61), "late").await));
    assert!(is_lost(&catalog.mark_stored(&late, ended(at(61))).await));
    assert!(is_lost(&catalog.retry_later(&late, ended(at(61)), at(62), Fault::Elsewhere, "late").await));
    assert!(is_lost(&catalog.release(&late, ended(at(61))).await));
    assert!(is_lost(&catalog.mark_lost(&late, ended(at(61)), "late").await));
    assert!(is_lost(&catalog.mark_rejected(&late, ended(at(61)), "late").await));
    assert_eq!(clip(&*catalog, "r").await, before);
    assert_eq!(story(&*catalog, "r").await, ["received", "claimed", "vanished", "claimed"]);
    catalog.seal(&claims[0].lease, &sealed(), at(62)).await.unwrap();
    catalog.mark_stored(&claims[0].lease, ended(at(62))).await.unwrap();
}

async fn case_41_a_clock_set_back_claims_nothing_early(bed: Bed) {
    let catalog = bed.open().await;
    let hooks: Vec<_> = ["a", "b"].map(hook).into();
    catalog.record_hooks(&hooks).await.unwrap();
    let lease = take(&*catalog, "a", at(0)).await.unwrap().lease;
    catalog.retry_later(&lease, ended(at(0)), at(HOUR), Fault::Elsewhere, "busy").await.unwrap();
    // Sees both as due, claims one; then the clock goes back.
    assert_eq!(catalog.claim_due(&"n".into(), at(HOUR), LEASE, Quota::halves(1)).await.unwrap().len(), 1);
    assert!(due(&*catalog, at(-HOUR)).await.is_empty());
    assert_eq!(due(&*catalog, at(2 * HOUR)).await.len(), 2);
}

async fn a_viewer_claims_a_clip_that_is_not_due(bed: Bed) {
    let catalog = bed.open().await;
    let mut webhook = hook("r");
    webhook.facts.policy = Some(Policy::OnDemand);
    catalog.record_hooks(&[webhook]).await.unwrap();
    assert_eq!(catalog.next_due().await.unwrap(), None);
    assert!(due(&*catalog, at(999 * HOUR)).await.is_empty());
    let claim = take(&*catalog, "r", at(1)).await.unwrap();
    assert_eq!((claim.clip.state, claim.clip.attempts), (ClipState::Filling, 1));
    assert!(take(&*catalog, "r", at(1)).await.is_none());
    assert!(take(&*catalog, "unknown", at(1)).await.is_none());
    catalog.mark_rejected(&claim.lease, ended(at(2)), "an HTML page").await.unwrap();
    assert!(take(&*catalog, "r", at(999)).await.is_none());
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.last_error.as_deref()), (ClipState::Rejected, Some("an HTML page")));
}

async fn a_release_does_not_count_as_an_attempt(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(0)).await.unwrap().lease;
    catalog.seal(&lease, &sealed(), at(4)).await.unwrap();
    catalog.release(&lease, ended(at(5))).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.attempts, row.due_at), (ClipState::Waiting, 0, Some(at(5))));
    assert_eq!(row.sealed, Some(sealed()));
    assert_eq!(due(&*catalog, at(5)).await, ["r"]);
}

async fn a_retry_waits_until_it_is_due(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(0)).await.unwrap().lease;
    catalog.retry_later(&lease, ended(at(1)), at(30), Fault::Elsewhere, "answered 503").await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.attempts, row.due_at), (ClipState::Waiting, 1, Some(at(30))));
    assert_eq!(row.last_error.as_deref(), Some("answered 503"));
    let failing = async |tenant| catalog.failing(tenant, 9).await.unwrap().len();
    assert_eq!((failing(None).await, failing(Some(&"nobody".parse().unwrap())).await), (1, 0));
    assert!(due(&*catalog, at(29)).await.is_empty());
    assert_eq!(due(&*catalog, at(30)).await, ["r"]);
    assert_eq!(clip(&*catalog, "r").await.attempts, 2);
}

async fn only_the_sources_own_faults_are_misses(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    for (fault, misses) in [(Fault::Elsewhere, 0), (Fault::Source, 1), (Fault::Elsewhere, 1), (Fault::Source, 2)] {
        let claim = take(&*catalog, "r", at(0)).await.unwrap();
        catalog.retry_later(&claim.lease, ended(at(0)), at(0), fault, "x").await.unwrap();
        assert_eq!(clip(&*catalog, "r").await.misses, misses);
    }
}

async fn a_new_version_forgets_what_was_sealed(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(0)).await.unwrap().lease;
    catalog.seal(&lease, &sealed(), at(1)).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.sealed, Some(sealed()));
    assert_eq!(catalog.raise_epoch(&lease, at(2), "the ETag changed").await.unwrap(), 2);
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.epoch, row.sealed, row.state), (2, None, ClipState::Filling));
}

async fn what_an_epoch_serves_is_decided_once(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let key = key("r.mp4");
    let version = |etag: &str| SourceVersion { etag: Some(etag.to_owned()), last_modified: None, len: Some(9) };
    let fast = View::FastStart(FastStart { insert_at: 1, movie_at: 5, movie_len: 2 });
    let pin = async |etag: &str, view: Option<&View>| catalog.pin(&key, 1, &version(etag), view).await.unwrap();
    let a = |view| Some(Pinned { version: version("\"a\""), view });
    assert_eq!(pin("\"a\"", None).await, a(None));
    assert_eq!(pin("\"b\"", Some(&View::Plain)).await, a(None), "a view of another version is none of this one");
    assert_eq!(pin("\"a\"", Some(&fast)).await, a(Some(fast)));
    assert_eq!(pin("\"a\"", Some(&View::Plain)).await, a(Some(fast)));
    assert_eq!(catalog.decide_view(&key, 1, &fast).await.unwrap(), Some(fast));
    assert_eq!(catalog.decide_view(&key, 1, &View::Plain).await.unwrap(), Some(fast));
    for name in ["video/mp4", "audio/mp4"] {
        assert_eq!(catalog.decide_type(&key, 1, name).await.unwrap().as_deref(), Some("video/mp4"));
    }
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.version, row.view), (Some(version("\"a\"")), Some(fast)));
    assert_eq!(row.served_type.as_deref(), Some("video/mp4"));
    // A new epoch starts afresh, and nobody decides for the old one any more.
    let lease = take(&*catalog, "r", at(0)).await.unwrap().lease;
    catalog.raise_epoch(&lease, at(1), "changed").await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.version, row.view, row.served_type), (None, None, None));
    assert_eq!(catalog.decide_type(&key, 1, "audio/mp4").await.unwrap(), None);
    assert_eq!(pin("\"b\"", Some(&View::Plain)).await, None);
    assert_eq!(catalog.decide_view(&key, 1, &View::Plain).await.unwrap(), None);
    assert_eq!(catalog.decide_view(&key, 2, &View::Plain).await.unwrap(), Some(View::Plain));
}

async fn only_what_was_sealed_can_be_stored(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(0)).await.unwrap().lease;
    assert!(catalog.mark_stored(&lease, ended(at(1))).await.is_err());
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Filling);
    catalog.seal(&lease, &sealed(), at(2)).await.unwrap();
    catalog.mark_stored(&lease, ended(at(3))).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.stored_at, row.due_at), (ClipState::Stored, Some(at(3)), None));
    assert_eq!((row.kind, row.content_type.as_str()), (Kind::Audio, "audio/mp4"));
    assert_eq!(catalog.next_due().await.unwrap(), None);
}

async fn an_ending_that_was_not_heard_may_be_repeated(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = store(&*catalog, "r").await;
    catalog.mark_stored(&lease, ended(at(9))).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.stored_at, Some(at(3)));
    assert!(is_lost(&catalog.mark_lost(&lease, ended(at(9)), "late").await));
    assert_eq!(story(&*catalog, "r").await, ["received", "claimed", "sealed", "stored"]);
}

async fn the_next_due_time_counts_leases_too(bed: Bed) {
    let catalog = bed.open().await;
    assert_eq!(catalog.next_due().await.unwrap(), None);
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(0)));
    let lease = take(&*catalog, "r", at(5)).await.unwrap().lease;
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(65)));
    catalog.retry_later(&lease, ended(at(6)), at(40), Fault::Elsewhere, "x").await.unwrap();
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(40)));
}

async fn history_tells_the_story_in_order(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(9)).await.unwrap().lease;
    catalog.retry_later(&lease, ended(at(8)), at(8), Fault::Elsewhere, "answered 503").await.unwrap();
    let lease = take(&*catalog, "r", at(7)).await.unwrap().lease;
    catalog.raise_epoch(&lease, at(6), "the length changed").await.unwrap();
    catalog.release(&lease, ended(at(5))).await.unwrap();
    let lease = take(&*catalog, "r", at(4)).await.unwrap().lease;
    catalog.mark_lost(&lease, ended(at(3)), "gone for good").await.unwrap();
    let history = catalog.history(&key("r.mp4")).await.unwrap();
    let told: Vec<_> = history.iter().map(|one| (one.event.as_str(), one.detail.as_deref().unwrap_or(""))).collect();
    let expected = [
        ("received", "video, eager; by its webhook"),
        ("claimed", "node, attempt 1"),
        ("retry", "answered 503"),
        ("claimed", "node, attempt 2"),
        ("version_changed", "the length changed"),
        ("released", ""),
        ("claimed", "node, attempt 2"),
        ("lost", "gone for good"),
    ];
    assert_eq!(told, expected);
    assert!(catalog.history(&key("unknown.mp4")).await.unwrap().is_empty());
}
