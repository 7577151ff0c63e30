//! Attempts that end without an answer: which of them count, and what they end.

use std::time::Duration;

use clipkeep::catalog::{Catalog, Claim, Fault, Lease, MAX_VANISHED, Quota};
use clipkeep_core::{event::EventType, state::ClipState, time::Timestamp};

use super::{Bed, at, clip, ended, events, hook, key, on_both, queue::sealed, story};

on_both![
    h01_attempts_that_vanish_three_times_in_a_row_end_the_clip,
    h01_a_viewers_claim_ends_it_too,
    h01_only_what_vanished_counts,
    h01_an_attempt_that_gets_on_does_not_count,
    h01_a_clip_that_was_read_to_its_end_begins_anew_once,
    h01_suspects_are_claimed_one_at_a_time,
];

const LEASE: Duration = Duration::from_secs(60);

/// When the lease of the `n`-th claim in a row has run out.
fn after(n: i64) -> Timestamp {
    at(n * 60)
}

async fn due(catalog: &dyn Catalog, node: &str, now: Timestamp, suspects: u32) -> Vec<Claim> {
    let quota = Quota { suspects, ..Quota::halves(100) };
    catalog.claim_due(&node.to_owned(), now, LEASE, quota).await.unwrap()
}

async fn take(catalog: &dyn Catalog, node: &str, id: &str, now: Timestamp) -> Option<Lease> {
    let key = key(&format!("{id}.mp4"));
    catalog.claim(&key, &node.to_owned(), now, LEASE).await.unwrap().map(|claim| claim.lease)
}

async fn h01_attempts_that_vanish_three_times_in_a_row_end_the_clip(bed: Bed) {
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    catalog.record_hooks(&[hook("r"), hook("other")]).await.unwrap();
    let other = take(&*catalog, "n", "other", at(0)).await.unwrap();
    catalog.mark_lost(&other, ended(at(0)), "gone").await.unwrap();
    for n in 0..MAX_VANISHED {
        let claims = due(&*catalog, &format!("node{n}"), after(n), 1).await;
        let row = &claims[0].clip;
        assert_eq!((claims.len(), i64::from(row.vanished), i64::from(row.attempts)), (1, n, n + 1));
    }
    assert!(due(&*catalog, "last", after(MAX_VANISHED), 1).await.is_empty());
    assert!(due(&*catalog, "last", after(99), 1).await.is_empty());
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.due_at), (ClipState::Rejected, None));
    assert!(row.last_error.unwrap().starts_with("its attempts end without an answer"));
    let told = ["received", "claimed", "vanished", "claimed", "vanished", "claimed", "rejected"];
    assert_eq!(story(&*catalog, "r").await, told);
    let history = catalog.history(&key("r.mp4")).await.unwrap();
    assert_eq!(history[2].detail.as_deref(), Some("node0"));
    let events = events::read(&*catalog, before, 2).await;
    assert_eq!(events[1].1.kind, EventType::ClipRejected);
    assert!(events[1].1.detail.as_deref().unwrap().contains("without an answer"));
    // News does not bring it back, and neither does a viewer.
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert!(take(&*catalog, "v", "r", after(99)).await.is_none());
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Rejected);
}

async fn h01_a_viewers_claim_ends_it_too(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    for n in 0..MAX_VANISHED {
        assert!(take(&*catalog, &format!("node{n}"), "r", after(n)).await.is_some());
    }
    assert!(take(&*catalog, "last", "r", after(MAX_VANISHED).minus(Duration::from_secs(1))).await.is_none());
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Filling, "its lease holds");
    assert!(take(&*catalog, "last", "r", after(MAX_VANISHED)).await.is_none());
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Rejected);
    assert_eq!(catalog.next_due().await.unwrap(), None);
}

async fn h01_only_what_vanished_counts(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let vanished = async || clip(&*catalog, "r").await.vanished;
    // A node that could not say in time how it ended claims its own again.
    take(&*catalog, "a", "r", after(0)).await.unwrap();
    take(&*catalog, "a", "r", after(1)).await.unwrap();
    assert_eq!(vanished().await, 0);
    take(&*catalog, "b", "r", after(2)).await.unwrap();
    assert_eq!(vanished().await, 1);
    // One that stops in peace says nothing of the clip.
    let lease = take(&*catalog, "c", "r", after(3)).await.unwrap();
    assert_eq!(vanished().await, 2);
    catalog.release(&lease, ended(after(3))).await.unwrap();
    assert_eq!(vanished().await, 2);
    // Any answer ends the row.
    let lease = take(&*catalog, "d", "r", after(4)).await.unwrap();
    catalog.retry_later(&lease, ended(after(4)), after(4), Fault::Elsewhere, "503").await.unwrap();
    assert_eq!(vanished().await, 0);
    for n in 5..5 + MAX_VANISHED {
        assert!(take(&*catalog, &format!("node{n}"), "r", after(n)).await.is_some(), "{n}");
    }
    assert!(take(&*catalog, "last", "r", after(5 + MAX_VANISHED)).await.is_none());
}

async fn h01_an_attempt_that_gets_on_does_not_count(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("long"), hook("stuck")]).await.unwrap();
    for n in 0..3 * MAX_VANISHED {
        // Each gets a little further than the one before, and only then is killed.
        let lease = take(&*catalog, &format!("node{n}"), "long", after(2 * n)).await.unwrap();
        for part in 1..=4_u64 {
            let reached = 1000 * n.unsigned_abs() + 250 * part;
            catalog.renew(&lease, after(2 * n + 1), reached).await.unwrap();
        }
        assert_eq!(clip(&*catalog, "long").await.vanished, 0, "{n}");
    }
    // One that comes as far each time, or a little further, does not get on.
    for n in 0..MAX_VANISHED {
        let lease = take(&*catalog, &format!("node{n}"), "stuck", after(2 * n)).await.unwrap();
        catalog.renew(&lease, after(2 * n + 1), 1_000_000 + n.unsigned_abs() * 20_000).await.unwrap();
    }
    assert!(take(&*catalog, "last", "stuck", after(2 * MAX_VANISHED)).await.is_none());
    assert_eq!(clip(&*catalog, "stuck").await.state, ClipState::Rejected);
}

async fn h01_a_clip_that_was_read_to_its_end_begins_anew_once(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    // Its bytes were understood: it is not they that took the node along.
    for (n, vanished) in [0, 0, 1, 2].into_iter().enumerate() {
        let n = i64::try_from(n).unwrap();
        let lease = take(&*catalog, &format!("node{n}"), "r", after(n)).await.unwrap();
        if n > 0 {
            catalog.seal(&lease, &sealed(), after(n)).await.unwrap();
        }
        assert_eq!(i64::from(clip(&*catalog, "r").await.vanished), vanished, "{n}");
    }
    // But whatever comes after that has no more attempts than all else.
    assert!(take(&*catalog, "last", "r", after(4)).await.is_none());
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Rejected);
}

async fn h01_suspects_are_claimed_one_at_a_time(bed: Bed) {
    let catalog = bed.open().await;
    let ids = ["a", "b", "c"];
    catalog.record_hooks(&ids.map(hook)).await.unwrap();
    assert_eq!(due(&*catalog, "first", after(0), 1).await.len(), 3);
    // Whatever one process filled vanished with it: once may be by chance.
    assert_eq!(due(&*catalog, "second", after(1), 1).await.len(), 3);
    let claims = due(&*catalog, "third", after(2), 1).await;
    assert_eq!((claims.len(), claims[0].is_suspect()), (1, true));
    // While that one runs its process takes no other, but all that is new.
    catalog.record_hooks(&[hook("new")]).await.unwrap();
    let claims = due(&*catalog, "third", after(2), 0).await;
    assert_eq!(claims.iter().map(|claim| claim.clip.request_id.as_str()).collect::<Vec<_>>(), ["new"]);
    // The innocent comes through, and the next has its turn.
    let first = take(&*catalog, "third", "new", after(2)).await;
    assert!(first.is_none());
    let claims = due(&*catalog, "fourth", after(2), 5).await;
    assert_eq!(claims.len(), 2, "another process, that allows itself more");
}
