//! The ways back from `lost` and `rejected`, and what ends leave behind.

use std::time::Duration;

use clipkeep::catalog::{Catalog, Fault, HookOutcome, MAX_VANISHED};
use clipkeep_core::{
    generation::{Facts, HookRecord, Origin},
    id::ClipKey,
    policy::Policy,
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{
    Bed, HOUR, at, clip, ended, hook, key, new_clip, on_both,
    queue::{sealed, store},
    story,
};

on_both![
    k07_what_is_over_starts_over_from_its_source,
    k07_the_same_news_brings_a_clip_back_later_each_time,
    k07_what_vanished_comes_back_only_for_whoever_takes_the_risk,
    k07_refused_origins_are_found_and_their_clips_come_back,
    h47_an_object_that_others_wrote_is_nobodys_duplicate,
    h48_an_object_that_stays_makes_way_and_is_told_of_once,
    h50_texts_go_with_the_clip_that_ends_last,
    h50_what_ended_in_vain_grows_old_too,
];

const LEASE: Duration = Duration::from_secs(60);

async fn end(catalog: &dyn Catalog, id: &str, state: ClipState, now: Timestamp) {
    let key = key(&format!("{id}.mp4"));
    let lease = catalog.claim(&key, &"n".into(), now, LEASE).await.unwrap().unwrap().lease;
    match state {
        ClipState::Lost => catalog.mark_lost(&lease, ended(now), "http_404").await.unwrap(),
        _ => catalog.mark_rejected(&lease, ended(now), "an HTML page").await.unwrap(),
    }
}

async fn k07_what_is_over_starts_over_from_its_source(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&["l", "r", "w", "s", "d"].map(hook)).await.unwrap();
    let lease = catalog.claim(&key("l.mp4"), &"n".into(), at(0), LEASE).await.unwrap().unwrap().lease;
    catalog.retry_later(&lease, ended(at(1)), at(1), Fault::Source, "http_404").await.unwrap();
    end(&*catalog, "l", ClipState::Lost, at(2)).await;
    end(&*catalog, "r", ClipState::Rejected, at(2)).await;
    store(&*catalog, "s").await;
    catalog.delete(&key("d.mp4"), at(3), at(9), "").await.unwrap();
    let others = [clip(&*catalog, "w").await, clip(&*catalog, "s").await, clip(&*catalog, "d").await];
    let keys = ["l", "r", "w", "s", "d", "unknown"].map(|id| key(&format!("{id}.mp4")));
    let back = catalog.requeue(&keys, at(HOUR), "by request", false).await.unwrap();
    assert_eq!(back, [key("l.mp4"), key("r.mp4")]);
    for id in ["l", "r"] {
        let row = clip(&*catalog, id).await;
        assert_eq!((row.state, row.attempts, row.misses, row.epoch), (ClipState::Waiting, 0, 0, 2), "{id}");
        assert_eq!((row.due_at, row.sought_since()), (Some(at(HOUR)), at(HOUR)));
    }
    assert_eq!([clip(&*catalog, "w").await, clip(&*catalog, "s").await, clip(&*catalog, "d").await], others);
    let history = catalog.history(&key("r.mp4")).await.unwrap();
    let last = history.last().unwrap();
    assert_eq!((last.event.as_str(), last.detail.as_deref()), ("requeued", Some("was rejected; by request")));
    assert!(catalog.requeue(&keys, at(HOUR), "by request", true).await.unwrap().is_empty());
    store_at(&*catalog, "l", at(HOUR)).await;
}

async fn store_at(catalog: &dyn Catalog, id: &str, now: Timestamp) {
    let key = key(&format!("{id}.mp4"));
    let lease = catalog.claim(&key, &"n".into(), now, LEASE).await.unwrap().unwrap().lease;
    catalog.seal(&lease, &sealed(), now).await.unwrap();
    catalog.mark_stored(&lease, ended(now)).await.unwrap();
}

async fn k07_the_same_news_brings_a_clip_back_later_each_time(bed: Bed) {
    let catalog = bed.open().await;
    let news = |secs: i64| HookRecord { received_at: at(secs), ..hook("r") };
    catalog.record_hooks(&[news(0)]).await.unwrap();
    let mut now = 10;
    for (n, return_delay) in [0, 60, 240, 960].into_iter().enumerate() {
        end(&*catalog, "r", [ClipState::Rejected, ClipState::Lost][n % 2], at(now)).await;
        now += 1;
        let told = catalog.record_hooks(&[news(now)]).await.unwrap();
        assert_eq!(told, [HookOutcome::Recorded { clips: vec![key("r.mp4")] }]);
        let row = clip(&*catalog, "r").await;
        assert_eq!((row.state, row.due_at, row.attempts), (ClipState::Waiting, Some(at(now + return_delay)), 0), "{n}");
        // Repeated while it waits it is a duplicate, whoever says it.
        for by in [Origin::Webhook, Origin::Proxy, Origin::Poll] {
            let again = HookRecord { origin: by, ..news(now + 1) };
            assert_eq!(catalog.record_hooks(&[again]).await.unwrap(), [HookOutcome::Duplicate]);
        }
        assert_eq!(clip(&*catalog, "r").await, row);
        now += return_delay + 10;
    }
    assert_eq!(story(&*catalog, "r").await[..5], ["received", "claimed", "rejected", "returned", "claimed"]);
    // Another source, and whoever asks for it by hand, begin anew.
    end(&*catalog, "r", ClipState::Lost, at(now)).await;
    catalog.requeue(&[key("r.mp4")], at(now), "by request", false).await.unwrap();
    end(&*catalog, "r", ClipState::Lost, at(now)).await;
    catalog.record_hooks(&[news(now)]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.due_at, Some(at(now)));
}

async fn k07_what_vanished_comes_back_only_for_whoever_takes_the_risk(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    for n in 0..=MAX_VANISHED {
        catalog.claim(&key("r.mp4"), &format!("n{n}"), at(n * 60), LEASE).await.unwrap();
    }
    assert_eq!(clip(&*catalog, "r").await.state, ClipState::Rejected);
    assert!(catalog.requeue(&[key("r.mp4")], at(HOUR), "imported once more", false).await.unwrap().is_empty());
    assert_eq!(catalog.requeue(&[key("r.mp4")], at(HOUR), "by request", true).await.unwrap(), [key("r.mp4")]);
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.vanished), (ClipState::Waiting, 0));
}

async fn k07_refused_origins_are_found_and_their_clips_come_back(bed: Bed) {
    let catalog = bed.open().await;
    let (a, b) = ("https://cdn.example", "https://cdn.example:8443");
    for (id, origin, state) in [
        ("1", Some(b), ClipState::Rejected),
        ("2", Some(a), ClipState::Lost),
        ("3", Some(a), ClipState::Rejected),
        ("4", None, ClipState::Rejected),
    ] {
        catalog.record_hooks(&[hook(id)]).await.unwrap();
        let key = key(&format!("{id}.mp4"));
        let lease = catalog.claim(&key, &"n".into(), at(1), LEASE).await.unwrap().unwrap().lease;
        match origin {
            Some(origin) => catalog.mark_refused(&lease, ended(at(2)), state, origin, "not allowed").await.unwrap(),
            None => catalog.mark_rejected(&lease, ended(at(2)), "a page").await.unwrap(),
        }
        assert_eq!(clip(&*catalog, id).await.state, state);
    }
    let origins = async || {
        let (mut found, mut after) = (Vec::new(), String::new());
        while let Some(origin) = catalog.refused_origin(&after).await.unwrap() {
            found.push(origin.clone());
            after = origin;
        }
        found
    };
    assert_eq!(origins().await, [a, b]);
    assert_eq!(catalog.refused(a, 10).await.unwrap(), [key("2.mp4"), key("3.mp4")]);
    assert_eq!(catalog.refused(a, 1).await.unwrap(), [key("2.mp4")]);
    catalog.requeue(&[key("2.mp4"), key("3.mp4")], at(3), "", true).await.unwrap();
    assert_eq!(origins().await, [b]);
    catalog.delete(&key("1.mp4"), at(4), at(9), "").await.unwrap();
    assert!(origins().await.is_empty());
}

async fn h47_an_object_that_others_wrote_is_nobodys_duplicate(bed: Bed) {
    let catalog = bed.open().await;
    // Found in the store, as by `sweep --adopt`.
    let mut found = hook("found");
    found.provider = clipkeep_core::id::Provider::adopted();
    found.origin = Origin::Store;
    found.clips[0].source_url = SourceUrl::own_store(&key("found.mp4"));
    catalog.record_hooks(&[found]).await.unwrap();
    store(&*catalog, "found").await;
    // Its provider tells of it: it has a source now, and its object is what it was.
    catalog.record_hooks(&[hook("found")]).await.unwrap();
    let row = clip(&*catalog, "found").await;
    assert_eq!((row.provider.as_str(), row.source_url.is_own_store(), row.state), ("fal", false, ClipState::Stored));
    let duplicate = async |id: &str| {
        catalog.record_hooks(&[hook(id)]).await.unwrap();
        let lease = catalog.claim(&key(&format!("{id}.mp4")), &"n".into(), at(9), LEASE).await.unwrap().unwrap().lease;
        catalog.seal(&lease, &sealed(), at(9)).await.unwrap();
        let duplicate = catalog.find_duplicate(&lease.key).await.unwrap().map(|duplicate| duplicate.object);
        (lease, duplicate)
    };
    let (lease, none) = duplicate("a").await;
    assert_eq!(none, None);
    catalog.mark_stored(&lease, ended(at(10))).await.unwrap();
    assert_eq!(duplicate("b").await.1, Some(key("a.mp4")), "a clip of our own is a duplicate");
    // Lost and filled again from its source, its object is ours.
    assert!(catalog.object_lost(&key("found.mp4"), row.epoch, at(11), at(11), "gone").await.unwrap());
    assert!(catalog.object_lost(&key("a.mp4"), 1, at(11), at(11), "gone").await.unwrap());
    store_at(&*catalog, "found", at(12)).await;
    assert_eq!(duplicate("c").await.1, Some(key("found.mp4")));
}

async fn h48_an_object_that_stays_makes_way_and_is_told_of_once(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("stays"), hook("goes")]).await.unwrap();
    catalog.delete(&key("stays.mp4"), at(0), at(10), "").await.unwrap();
    catalog.delete(&key("goes.mp4"), at(0), at(20), "").await.unwrap();
    let due = async |now: i64| -> Vec<ClipKey> { catalog.tombstones(at(now), 10).await.unwrap() };
    let mut now = 20;
    for (n, return_delay) in [60, 120, 240, 480].into_iter().enumerate() {
        assert!(due(now).await.contains(&key("stays.mp4")));
        assert_eq!(catalog.not_removed(&key("stays.mp4"), at(now)).await.unwrap(), n == 0);
        assert_eq!(due(now + return_delay - 1).await, [key("goes.mp4")], "it heads no queue");
        now += return_delay;
    }
    for _ in 0..20 {
        now += 24 * HOUR;
        catalog.not_removed(&key("stays.mp4"), at(now)).await.unwrap();
    }
    assert!(!due(now + 24 * HOUR - 1).await.contains(&key("stays.mp4")));
    assert!(due(now + 24 * HOUR).await.contains(&key("stays.mp4")), "a day at most");
    assert_eq!(story(&*catalog, "stays").await, ["received", "deleted", "not_removed"]);
    catalog.removed(&key("stays.mp4"), at(now + 24 * HOUR)).await.unwrap();
    assert_eq!(story(&*catalog, "stays").await.last().unwrap(), "removed");
    assert!(!catalog.not_removed(&key("stays.mp4"), at(now + 48 * HOUR)).await.unwrap());
}

async fn h50_texts_go_with_the_clip_that_ends_last(bed: Bed) {
    let catalog = bed.open().await;
    let texts = async |id: &str| {
        let facts = catalog.generation(&super::id(id)).await.unwrap().unwrap().facts;
        (facts.prompt.is_some(), facts.input.is_some())
    };
    let two = |id: &str| {
        let mut hook = hook(id);
        hook.clips.push(new_clip(id, 1));
        hook.facts = Facts {
            prompt: Some("a fox".into()),
            prompt_hash: Some("h".into()),
            input: Some(serde_json::json!({"prompt": "a fox"}).into()),
            ..Facts::default()
        };
        hook
    };
    for (id, state) in [("l", ClipState::Lost), ("r", ClipState::Rejected)] {
        catalog.record_hooks(&[two(id)]).await.unwrap();
        catalog.delete(&key(&format!("{id}.1.mp4")), at(1), at(9), "").await.unwrap();
        assert_eq!(texts(id).await, (true, true), "its sibling may still come");
        end(&*catalog, id, state, at(2)).await;
        assert_eq!(texts(id).await, (false, false), "{id}");
    }
    // Nor does one whose attempts vanish keep them.
    catalog.record_hooks(&[two("v")]).await.unwrap();
    catalog.delete(&key("v.1.mp4"), at(1), at(9), "").await.unwrap();
    for n in 0..=MAX_VANISHED {
        catalog.claim(&key("v.mp4"), &format!("n{n}"), at(n * 60), LEASE).await.unwrap();
    }
    assert_eq!(texts("v").await, (false, false));
    // Without a deletion nothing is forgotten: it may be brought back.
    catalog.record_hooks(&[two("k")]).await.unwrap();
    end(&*catalog, "k", ClipState::Lost, at(2)).await;
    assert_eq!(texts("k").await, (true, true));
}

async fn h50_what_ended_in_vain_grows_old_too(bed: Bed) {
    let catalog = bed.open().await;
    for (n, id) in (0..).zip(["l", "s", "r", "w", "d"]) {
        let policy = Some(Policy::OnDemand).filter(|_| id == "w");
        let facts = Facts { policy, ..Facts::default() };
        catalog.record_hooks(&[HookRecord { received_at: at(n), facts, ..hook(id) }]).await.unwrap();
    }
    end(&*catalog, "l", ClipState::Lost, at(9)).await;
    end(&*catalog, "r", ClipState::Rejected, at(9)).await;
    store_at(&*catalog, "s", at(9)).await;
    catalog.delete(&key("d.mp4"), at(9), at(19), "").await.unwrap();
    let aged = catalog.aged(None, at(HOUR), 10).await.unwrap();
    let keys = |clips: &[clipkeep::catalog::AgedClip]| -> Vec<String> {
        clips.iter().map(|clip| clip.at.key.to_string()).collect()
    };
    assert_eq!(keys(&aged), ["l.mp4", "s.mp4", "r.mp4"]);
    let rest = catalog.aged(Some(&aged[0].at), at(HOUR), 1).await.unwrap();
    assert_eq!(keys(&rest), ["s.mp4"]);
}
