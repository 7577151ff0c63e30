//! Keeping rows and objects one: deletion, retention, drift, verification.

use std::time::Duration;

use clipkeep::catalog::{Catalog, CatalogError, Cursor, Deletion, Lease, Quota};
use clipkeep_core::{
    event::{EventType, Position},
    generation::HookRecord,
    id::{ClipKey, Provider},
    policy::Policy,
    secret::SourceUrl,
    state::{ClipState, GenerationStatus},
    time::Timestamp,
};

use super::{
    Bed, HOUR, at, clip, ended, hook, key, on_both,
    queue::{sealed, store},
    story,
};

on_both![
    a_deleted_clip_stays_deleted_and_is_told_once,
    a_deletion_takes_the_lease_of_a_fill,
    a_tombstone_is_closed_when_its_time_has_come,
    a_lost_object_starts_its_clip_over_under_the_next_epoch,
    stored_clips_are_walked_by_key_and_by_age,
    states_tell_which_keys_have_a_row,
    a_run_goes_on_until_it_ends_and_meets_each_clip_once,
    an_adopting_clip_keeps_its_source_until_it_is_over,
    the_same_damage_is_written_down_once_unless_it_was_right_between,
    leases_that_ran_out_are_counted,
];

const LEASE: Duration = Duration::from_secs(60);

/// Clips of these ids, stored at `at(3)`.
async fn stored(catalog: &dyn Catalog, ids: &[&str]) {
    for (n, id) in (0..).zip(ids) {
        catalog.record_hooks(&[HookRecord { received_at: at(n), ..hook(id) }]).await.unwrap();
        store(catalog, id).await;
    }
}

async fn take(catalog: &dyn Catalog, id: &str, now: Timestamp) -> Option<Lease> {
    let key = key(&format!("{id}.mp4"));
    catalog.claim(&key, &"node".into(), now, LEASE).await.unwrap().map(|claim| claim.lease)
}

/// All that was told, once it is `count` events. PostgreSQL shows an event when
/// no older transaction of the whole server is open, so it may take a moment.
async fn told(catalog: &dyn Catalog, count: usize) -> Vec<(EventType, Option<String>)> {
    let began = std::time::Instant::now();
    loop {
        let events = catalog.events(Position { tx: 0, id: 0 }, 100).await.unwrap();
        if events.len() >= count || began.elapsed() > crate::support::eventually::PATIENCE {
            return events.into_iter().map(|(_, event)| (event.kind, event.detail)).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn a_deleted_clip_stays_deleted_and_is_told_once(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["r"]).await;
    let delete = async || catalog.delete(&key("r.mp4"), at(10), at(130), "by request").await.unwrap();
    assert_eq!(delete().await, Deletion::Deleted);
    assert_eq!(delete().await, Deletion::Already);
    assert_eq!(catalog.delete(&key("x.mp4"), at(10), at(130), "").await.unwrap(), Deletion::Unknown);
    let row = clip(&*catalog, "r").await;
    // Neither the same webhook, nor another source, nor a viewer brings it back.
    let mut other = hook("r");
    other.clips[0].source_url = SourceUrl::new("https://source.example/other.mp4");
    catalog.record_hooks(&[hook("r"), other]).await.unwrap();
    assert!(take(&*catalog, "r", at(20)).await.is_none());
    assert!(catalog.claim_due(&"node".into(), at(999 * HOUR), LEASE, Quota::halves(10)).await.unwrap().is_empty());
    assert!(!catalog.object_lost(&key("r.mp4"), row.epoch, at(20), at(20), "").await.unwrap());
    assert_eq!((row.state, clip(&*catalog, "r").await), (ClipState::Deleted, row.clone()));
    let expected = [(EventType::ClipStored, None), (EventType::ClipDeleted, Some("by request".to_owned()))];
    assert_eq!(told(&*catalog, 2).await, expected);
    assert_eq!(story(&*catalog, "r").await, ["received", "claimed", "sealed", "stored", "deleted"]);
}

async fn a_deletion_takes_the_lease_of_a_fill(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = take(&*catalog, "r", at(1)).await.unwrap();
    catalog.seal(&lease, &sealed(), at(2)).await.unwrap();
    catalog.delete(&key("r.mp4"), at(3), at(123), "").await.unwrap();
    let refused = [
        catalog.renew(&lease, at(99), 0).await,
        catalog.seal(&lease, &sealed(), at(4)).await,
        catalog.mark_stored(&lease, ended(at(4))).await,
        catalog.release(&lease, ended(at(4))).await,
        catalog.mark_lost(&lease, ended(at(4)), "").await,
    ];
    assert!(refused.iter().all(|refused| matches!(refused, Err(CatalogError::LeaseLost { .. }))), "{refused:?}");
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Deleted);
}

async fn a_tombstone_is_closed_when_its_time_has_come(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["a", "b", "c"]).await;
    for (id, remove_at) in [("b", 100), ("a", 200)] {
        catalog.delete(&key(&format!("{id}.mp4")), at(10), at(remove_at), "").await.unwrap();
    }
    let open = async |now| catalog.tombstones(at(now), 10).await.unwrap();
    assert!(open(99).await.is_empty());
    assert_eq!(open(100).await, [key("b.mp4")]);
    assert_eq!(open(200).await, [key("b.mp4"), key("a.mp4")]);
    for (now, count) in [(99, 0), (100, 1), (200, 2)] {
        assert_eq!(catalog.count_tombstones(at(now)).await.unwrap(), count, "{now}");
    }
    // Too early: it is still to be removed once more.
    catalog.removed(&key("a.mp4"), at(150)).await.unwrap();
    catalog.removed(&key("b.mp4"), at(150)).await.unwrap();
    catalog.removed(&key("b.mp4"), at(150)).await.unwrap();
    catalog.removed(&key("c.mp4"), at(150)).await.unwrap();
    assert_eq!(open(999).await, [key("a.mp4")]);
    assert_eq!(story(&*catalog, "b").await.iter().filter(|word| *word == "removed").count(), 1);
    assert_eq!(clip(&*catalog, "b").await.state, ClipState::Deleted);
}

async fn a_lost_object_starts_its_clip_over_under_the_next_epoch(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["r"]).await;
    let row = clip(&*catalog, "r").await;
    let key = key("r.mp4");
    assert!(!catalog.object_lost(&key, row.epoch + 1, at(50), at(53), "another epoch's").await.unwrap());
    assert!(catalog.object_lost(&key, row.epoch, at(50), at(53), "not there").await.unwrap());
    assert!(!catalog.object_lost(&key, row.epoch, at(51), at(54), "again").await.unwrap());
    let again = clip(&*catalog, "r").await;
    assert_eq!((again.state, again.epoch, again.attempts), (ClipState::Waiting, row.epoch + 1, 0));
    assert_eq!((again.due_at, again.sought_since()), (Some(at(53)), at(50)));
    assert_eq!((again.sealed, again.stored_at, again.view), (None, None, None));
    assert_eq!(again.last_error.as_deref(), Some("not there"));
    assert_eq!(told(&*catalog, 2).await, [(EventType::ClipStored, None), (EventType::ClipRevised, None)]);
    assert!(catalog.claim_due(&"node".into(), at(52), LEASE, Quota::halves(10)).await.unwrap().is_empty());
    let claims = catalog.claim_due(&"node".into(), at(53), LEASE, Quota::halves(10)).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert!(claims[0].lease.fence > 1, "what an earlier fill left is aborted first");
    assert_eq!(story(&*catalog, "r").await[4..], ["object_lost", "claimed"]);
}

async fn stored_clips_are_walked_by_key_and_by_age(bed: Bed) {
    let catalog = bed.open().await;
    // Bytes decide on the order, as in a bucket's listing.
    stored(&*catalog, &["b", "B", "a~", "a-"]).await;
    catalog.record_hooks(&[hook("waits")]).await.unwrap();
    let (mut after, mut walked): (Option<ClipKey>, Vec<_>) = (None, Vec::new());
    loop {
        let page = catalog.stored_objects(after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        walked.extend(page);
    }
    let keys: Vec<_> = walked.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["B.mp4", "a-.mp4", "a~.mp4", "b.mp4"]);
    let expected = (sealed().size, sealed().sha256, 1, at(3));
    assert!(walked.iter().all(|row| (row.size, row.sha256.clone(), row.epoch, row.stored_at) == expected));
    assert_eq!(catalog.stored_object(&key("b.mp4")).await.unwrap().as_ref(), walked.last());
    assert_eq!(catalog.stored_object(&key("waits.mp4")).await.unwrap(), None);

    let (mut after, mut walked): (Option<Cursor>, Vec<_>) = (None, Vec::new());
    loop {
        let page = catalog.aged(after.as_ref(), at(3), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.at.clone());
        walked.extend(page.into_iter().map(|clip| clip.at.key));
    }
    assert_eq!(walked, ["b.mp4", "B.mp4", "a~.mp4"].map(key), "the fourth is not old enough");
}

async fn states_tell_which_keys_have_a_row(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["s"]).await;
    catalog.record_hooks(&[hook("w")]).await.unwrap();
    let mut states = catalog.states(&["s.mp4", "w.mp4", "x.mp4"].map(key)).await.unwrap();
    states.sort();
    assert_eq!(states, [(key("s.mp4"), ClipState::Stored), (key("w.mp4"), ClipState::Waiting)]);
    assert_eq!(catalog.states(&[]).await.unwrap(), []);
}

async fn a_run_goes_on_until_it_ends_and_meets_each_clip_once(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["a", "b", "c", "d"]).await;
    let began = catalog.begin_run("verify", at(100)).await.unwrap();
    assert_eq!(began, at(100));
    let verify = async |id: &str, secs| catalog.verified(&key(&format!("{id}.mp4")), 1, at(secs)).await.unwrap();
    verify("a", 101).await;
    verify("c", 102).await;
    // Of another epoch: no word on these bytes.
    catalog.verified(&key("b.mp4"), 7, at(102)).await.unwrap();
    catalog.damaged(&key("d.mp4"), 1, at(103), "other bytes").await.unwrap();
    catalog.damaged(&key("d.mp4"), 7, at(103), "another epoch's").await.unwrap();
    assert_eq!(story(&*catalog, "d").await[4..], ["damaged"]);
    let left = async |since| {
        let (mut after, mut met) = (None, Vec::new());
        loop {
            let page = catalog.unverified(since, after.as_ref(), 1).await.unwrap();
            let Some(last) = page.last() else { return met };
            after = Some((last.verified_at.unwrap_or(Timestamp::from_millis(0)), last.key.clone()));
            met.extend(page.into_iter().map(|row| row.key.to_string()));
        }
    };
    // Interrupted, it is the same run.
    let began = catalog.begin_run("verify", at(200)).await.unwrap();
    assert_eq!((began, left(began).await), (at(100), vec!["b.mp4".to_owned(), "d.mp4".to_owned()]));
    assert_eq!(catalog.count_unverified(began).await.unwrap(), 2);
    catalog.end_run("verify").await.unwrap();
    // The next one begins anew, with those that were not read for longest.
    let began = catalog.begin_run("verify", at(300)).await.unwrap();
    assert_eq!((began, left(began).await), (at(300), ["b.mp4", "d.mp4", "a.mp4", "c.mp4"].map(str::to_owned).to_vec()));
    assert_eq!(clip(&*catalog, "a").await.verified_at, Some(at(101)));
    let mut sample = catalog.sample(3).await.unwrap();
    sample.sort();
    sample.dedup();
    assert_eq!(sample.len(), 3);
    assert_eq!(catalog.sample(99).await.unwrap().len(), 4);
}

async fn the_same_damage_is_written_down_once_unless_it_was_right_between(bed: Bed) {
    let catalog = bed.open().await;
    stored(&*catalog, &["r"]).await;
    let key = key("r.mp4");
    let count = async || story(&*catalog, "r").await.iter().filter(|word| *word == "damaged").count();
    for (n, what, expected) in [(100, "a", 1), (101, "a", 1), (102, "b", 2), (103, "a", 3), (104, "a", 3)] {
        catalog.damaged(&key, 1, at(n), what).await.unwrap();
        assert_eq!(count().await, expected, "{n}");
    }
    catalog.verified(&key, 1, at(105)).await.unwrap();
    catalog.damaged(&key, 1, at(106), "a").await.unwrap();
    catalog.damaged(&key, 2, at(107), "c").await.unwrap();
    assert_eq!(count().await, 4, "of another epoch nothing is written");
}

async fn an_adopting_clip_keeps_its_source_until_it_is_over(bed: Bed) {
    let catalog = bed.open().await;
    let key = key("r.mp4");
    let mut adopting = hook("r");
    adopting.status = GenerationStatus::Pending;
    adopting.facts.policy = Some(Policy::OnDemand);
    adopting.clips[0].source_url = SourceUrl::own_store(&key);
    catalog.record_hooks(std::slice::from_ref(&adopting)).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.due_at, row.source_url.is_own_store()), (Some(at(0)), true), "due whatever the policy");
    let generation = catalog.generation(&row.request_id).await.unwrap().unwrap();
    assert_eq!((generation.status, generation.completed_at), (GenerationStatus::Pending, None));
    // The webhook names another URL.
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert!(clip(&*catalog, "r").await.source_url.is_own_store());
    let generation = catalog.generation(&row.request_id).await.unwrap().unwrap();
    assert_eq!(generation.status, GenerationStatus::Completed);
    // It never came. Told again, it is looked for again; told otherwise, it is fetched.
    let lost = take(&*catalog, "r", at(1)).await.unwrap();
    catalog.mark_lost(&lost, ended(at(2)), "never came").await.unwrap();
    let again = HookRecord { received_at: at(9), ..adopting.clone() };
    catalog.record_hooks(&[again]).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.sought_since(), row.attempts), (ClipState::Waiting, at(9), 0));
    let lost = take(&*catalog, "r", at(10)).await.unwrap();
    catalog.mark_lost(&lost, ended(at(11)), "never came").await.unwrap();
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.source_url.is_own_store()), (ClipState::Waiting, false));
    assert_eq!(story(&*catalog, "r").await[0], "adopting");
    // A key that is another provider's stays that one's.
    let theirs = HookRecord { provider: Provider::adopted(), ..adopting };
    assert!(matches!(catalog.record_hooks(&[theirs]).await, Err(CatalogError::KeyTaken { .. })));
}

async fn leases_that_ran_out_are_counted(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&["a", "b"].map(hook)).await.unwrap();
    take(&*catalog, "a", at(0)).await.unwrap();
    take(&*catalog, "b", at(30)).await.unwrap();
    for (now, expected) in [(59, 0), (60, 1), (90, 2)] {
        assert_eq!(catalog.leases_run_out(at(now)).await.unwrap(), expected, "{now}");
    }
}
