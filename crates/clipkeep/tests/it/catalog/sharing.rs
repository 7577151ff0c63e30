//! Same bytes once: who may share an object, how long it stays, how sharing ends.

use std::{sync::Arc, time::Duration};

use clipkeep::catalog::{Catalog, Lease, sharing::Duplicate};
use clipkeep_core::{
    event::{EventType, Position},
    generation::{Facts, HookRecord, Sealed},
    id::ClipKey,
    secret::SourceUrl,
    state::ClipState,
    version::SourceVersion,
};

use super::{
    Bed, at, clip, ended, hook, key, on_both,
    queue::{sealed, store},
    registration, story,
};

on_both![
    a_clip_shares_the_object_of_its_duplicate,
    case_45_nobody_shares_across_tenants,
    a_duplicate_that_is_not_what_it_was_is_not_shared,
    a_shared_object_goes_with_the_last_clip_that_refers_to_it,
    the_last_two_of_an_object_may_go_at_once,
    a_lost_object_starts_all_its_clips_over,
    a_clip_that_lost_its_object_takes_those_that_share_it,
    case_45_a_clip_whose_tenant_becomes_known_parts,
    sharing_that_is_switched_off_ends,
    a_share_and_a_deletion_at_once_never_leave_a_clip_without_its_object,
];

const LEASE: Duration = Duration::from_secs(60);

/// A lease on a new clip of this tenant, sealed with these bytes.
async fn fill(catalog: &dyn Catalog, id: &str, tenant: Option<&str>, bytes: &Sealed) -> Lease {
    let facts = Facts { tenant: tenant.map(|name| name.parse().unwrap()), ..Facts::default() };
    catalog.record_hooks(&[HookRecord { facts, ..hook(id) }]).await.unwrap();
    let claim = catalog.claim(&key(&format!("{id}.mp4")), &"node".into(), at(1), LEASE).await.unwrap().unwrap();
    catalog.seal(&claim.lease, bytes, at(2)).await.unwrap();
    claim.lease
}

/// Stores a clip as a node does: by its duplicate's object, if it has one.
async fn put(catalog: &dyn Catalog, id: &str, tenant: Option<&str>, bytes: &Sealed) -> Option<ClipKey> {
    let lease = fill(catalog, id, tenant, bytes).await;
    if let Some(duplicate) = catalog.find_duplicate(&lease.key).await.unwrap()
        && catalog.mark_shared(&lease, &duplicate, ended(at(3))).await.unwrap()
    {
        return Some(duplicate.object);
    }
    catalog.mark_stored(&lease, ended(at(3))).await.unwrap();
    None
}

pub(super) async fn delete(catalog: &dyn Catalog, id: &str) -> Vec<ClipKey> {
    let key = key(&format!("{id}.mp4"));
    catalog.delete(&key, at(10), at(130), "").await.unwrap();
    let mut removals = catalog.removals(&key).await.unwrap();
    removals.sort();
    removals
}

async fn object_of(catalog: &dyn Catalog, id: &str) -> Option<String> {
    clip(catalog, id).await.object_key.map(Into::into)
}

fn other_bytes() -> Sealed {
    Sealed { sha256: "cd".repeat(32), ..sealed() }
}

async fn a_clip_shares_the_object_of_its_duplicate(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("a")]).await.unwrap();
    store(&*catalog, "a").await;
    assert_eq!(put(&*catalog, "b", None, &sealed()).await, Some(key("a.mp4")));
    assert_eq!(put(&*catalog, "other", None, &other_bytes()).await, None);
    // Its duplicate may itself share: there is one object.
    assert_eq!(put(&*catalog, "c", None, &sealed()).await, Some(key("a.mp4")));
    for id in ["b", "c"] {
        let row = clip(&*catalog, id).await;
        assert_eq!((row.state, row.object().as_str(), &row.sealed), (ClipState::Stored, "a.mp4", &Some(sealed())));
        assert_eq!(story(&*catalog, id).await, ["received", "claimed", "sealed", "shared", "stored"]);
        assert_eq!(catalog.sharers(&key(&format!("{id}.mp4"))).await.unwrap(), 2);
    }
    assert_eq!(clip(&*catalog, "a").await.object().as_str(), "a.mp4");
    assert_eq!(catalog.sharers(&key("a.mp4")).await.unwrap(), 2);
    assert_eq!(catalog.sharers(&key("other.mp4")).await.unwrap(), 0);
    let objects = catalog.stored_objects(None, 10).await.unwrap();
    let objects: Vec<_> = objects.iter().map(|row| (row.key.as_str(), row.object.as_str(), row.has_owner)).collect();
    assert_eq!(
        objects,
        [
            ("a.mp4", "a.mp4", false),
            ("b.mp4", "a.mp4", true),
            ("c.mp4", "a.mp4", true),
            ("other.mp4", "other.mp4", false)
        ]
    );
    let owners = catalog.object_owners(&["a.mp4", "b.mp4", "x.mp4"].map(key)).await.unwrap();
    let mut owners: Vec<_> = owners.iter().map(|owner| (owner.key.as_str(), owner.is_spare)).collect();
    owners.sort_unstable();
    assert_eq!(owners, [("a.mp4", false), ("b.mp4", true)]);
}

async fn case_45_nobody_shares_across_tenants(bed: Bed) {
    let catalog = bed.open().await;
    assert_eq!(put(&*catalog, "a", Some("acme"), &sealed()).await, None);
    assert_eq!(put(&*catalog, "b", Some("other"), &sealed()).await, None);
    assert_eq!(put(&*catalog, "n", None, &sealed()).await, None);
    assert_eq!(put(&*catalog, "a2", Some("acme"), &sealed()).await, Some(key("a.mp4")));
    assert_eq!(put(&*catalog, "b2", Some("other"), &sealed()).await, Some(key("b.mp4")));
    assert_eq!(put(&*catalog, "n2", None, &sealed()).await, Some(key("n.mp4")));
    // Not even if asked for: the transaction looks, too.
    let lease = fill(&*catalog, "c", Some("third"), &sealed()).await;
    assert_eq!(catalog.find_duplicate(&lease.key).await.unwrap(), None);
    let duplicate = Duplicate { key: key("a.mp4"), object: key("a.mp4"), size: sealed().size, sha256: sealed().sha256 };
    assert!(!catalog.mark_shared(&lease, &duplicate, ended(at(3))).await.unwrap());
    assert_eq!(clip(&*catalog, "c").await.state, ClipState::Filling);
    // What came twice is told of each tenant by itself.
    for (tenant, count) in [("acme", 1), ("third", 0), ("none", 0)] {
        let page = catalog.duplicates(Some(&tenant.parse().unwrap()), None, 10).await.unwrap();
        assert_eq!(page.duplicates.len(), count, "{tenant}");
        assert!(
            page.duplicates.iter().all(|duplicate_group| duplicate_group.clips == 2 && duplicate_group.objects == 1)
        );
    }
    assert_eq!(catalog.duplicates(None, None, 10).await.unwrap().duplicates.len(), 3);
}

async fn a_duplicate_that_is_not_what_it_was_is_not_shared(bed: Bed) {
    let catalog = bed.open().await;
    put(&*catalog, "a", None, &sealed()).await;
    let lease = fill(&*catalog, "b", None, &sealed()).await;
    let duplicate = catalog.find_duplicate(&lease.key).await.unwrap().unwrap();
    let elsewhere = Duplicate { object: key("x.mp4"), ..duplicate.clone() };
    assert!(!catalog.mark_shared(&lease, &elsewhere, ended(at(3))).await.unwrap());
    // Lost, or deleted, meanwhile.
    assert!(catalog.object_lost(&key("a.mp4"), 1, at(3), at(3), "gone").await.unwrap());
    assert!(!catalog.mark_shared(&lease, &duplicate, ended(at(3))).await.unwrap());
    let again = catalog.claim(&key("a.mp4"), &"node".into(), at(4), LEASE).await.unwrap().unwrap();
    catalog.seal(&again.lease, &sealed(), at(4)).await.unwrap();
    catalog.mark_stored(&again.lease, ended(at(4))).await.unwrap();
    assert_eq!(delete(&*catalog, "a").await, [key("a.mp4")]);
    assert!(!catalog.mark_shared(&lease, &duplicate, ended(at(5))).await.unwrap());
    assert_eq!(catalog.find_duplicate(&lease.key).await.unwrap(), None);
    let row = clip(&*catalog, "b").await;
    assert_eq!((row.state, row.object_key), (ClipState::Filling, None));
    // Without the lease nothing is shared either.
    catalog.mark_stored(&lease, ended(at(6))).await.unwrap();
    let late = fill(&*catalog, "c", None, &sealed()).await;
    let duplicate = catalog.find_duplicate(&late.key).await.unwrap().unwrap();
    catalog.claim(&late.key, &"other".into(), at(99), LEASE).await.unwrap().unwrap();
    assert!(catalog.mark_shared(&late, &duplicate, ended(at(100))).await.is_err());
    assert_eq!(clip(&*catalog, "c").await.state, ClipState::Filling);
    assert!(!story(&*catalog, "c").await.contains(&"shared".to_owned()));
    // What a provider writes into our own store is nobody's duplicate: it may write again.
    let mut own = hook("own");
    own.clips[0].source_url = SourceUrl::own_store(&key("own.mp4"));
    catalog.record_hooks(&[own]).await.unwrap();
    let claim = catalog.claim(&key("own.mp4"), &"node".into(), at(7), LEASE).await.unwrap().unwrap();
    catalog.seal(&claim.lease, &other_bytes(), at(7)).await.unwrap();
    catalog.mark_stored(&claim.lease, ended(at(7))).await.unwrap();
    assert_eq!(put(&*catalog, "d", None, &other_bytes()).await, None);
}

async fn a_shared_object_goes_with_the_last_clip_that_refers_to_it(bed: Bed) {
    let catalog = bed.open().await;
    for id in ["a", "b", "c"] {
        put(&*catalog, id, None, &sealed()).await;
    }
    // Its own clip goes first: the object stays, also under the tombstone.
    assert!(delete(&*catalog, "a").await.is_empty());
    assert!(catalog.removals(&key("a.mp4")).await.unwrap().is_empty());
    assert_eq!(catalog.tombstones(at(200), 10).await.unwrap(), [key("a.mp4")]);
    catalog.removed(&key("a.mp4"), at(200)).await.unwrap();
    assert_eq!(story(&*catalog, "a").await.last().unwrap(), "spared");
    let row = &catalog.stored_objects(None, 1).await.unwrap()[0];
    assert_eq!((row.object.as_str(), row.has_owner), ("a.mp4", false));
    // Who comes now finds it by those who refer to it.
    assert_eq!(put(&*catalog, "d", None, &sealed()).await, Some(key("a.mp4")));
    assert_eq!(delete(&*catalog, "b").await, [key("b.mp4")]);
    assert_eq!(delete(&*catalog, "d").await, [key("d.mp4")]);
    assert_eq!(delete(&*catalog, "c").await, ["a.mp4", "c.mp4"].map(key));
    assert!(catalog.object_owners(&[key("a.mp4")]).await.unwrap()[0].is_spare);
    catalog.removed(&key("c.mp4"), at(200)).await.unwrap();
    assert_eq!(story(&*catalog, "c").await.last().unwrap(), "removed");
}

async fn the_last_two_of_an_object_may_go_at_once(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    for round in 0..20 {
        let names = [format!("a{round}"), format!("b{round}")];
        let bytes = Sealed { sha256: format!("{round:064}"), ..sealed() };
        for name in &names {
            put(&*nodes[0], name, None, &bytes).await;
        }
        let removed = nodes.iter().zip(&names).map(|(node, name)| delete(&**node, name));
        let removed: Vec<_> = futures_util::future::join_all(removed).await.concat();
        assert!(removed.contains(&key(&format!("a{round}.mp4"))), "nobody removes the object: {removed:?}");
    }
}

async fn a_lost_object_starts_all_its_clips_over(bed: Bed) {
    let catalog = bed.open().await;
    for id in ["a", "b", "c"] {
        put(&*catalog, id, None, &sealed()).await;
    }
    put(&*catalog, "other", None, &other_bytes()).await;
    delete(&*catalog, "a").await;
    catalog.removed(&key("a.mp4"), at(200)).await.unwrap();
    // Found out by way of one of them.
    assert!(catalog.object_lost(&key("c.mp4"), 1, at(300), at(303), "damaged").await.unwrap());
    for id in ["b", "c"] {
        let row = clip(&*catalog, id).await;
        assert_eq!((row.state, row.epoch, row.due_at), (ClipState::Waiting, 2, Some(at(303))), "{id}");
        assert_eq!((row.sealed, row.object_key), (None, None), "{id}");
        assert_eq!(story(&*catalog, id).await.last().unwrap(), "object_lost");
    }
    assert_eq!(clip(&*catalog, "a").await.state, ClipState::Deleted);
    assert_eq!(clip(&*catalog, "other").await.state, ClipState::Stored);
    assert!(!catalog.object_lost(&key("b.mp4"), 1, at(301), at(304), "again").await.unwrap());
    // The deleted clip's damaged object goes, too.
    assert_eq!(catalog.tombstones(at(300), 10).await.unwrap(), [key("a.mp4")]);
    assert_eq!(catalog.removals(&key("a.mp4")).await.unwrap(), [key("a.mp4")]);
    let told = told(&*catalog, 7).await;
    assert_eq!(told.iter().filter(|kind| **kind == EventType::ClipRevised).count(), 2, "{told:?}");
}

async fn told(catalog: &dyn Catalog, count: usize) -> Vec<EventType> {
    let began = std::time::Instant::now();
    loop {
        let events = catalog.events(Position { tx: 0, id: 0 }, 100).await.unwrap();
        if events.len() >= count || began.elapsed() > crate::support::eventually::PATIENCE {
            return events.into_iter().map(|(_, event)| event.kind).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn a_clip_that_lost_its_object_takes_those_that_share_it(bed: Bed) {
    let catalog = bed.open().await;
    for id in ["a", "b", "c"] {
        put(&*catalog, id, None, &sealed()).await;
    }
    catalog.object_lost(&key("a.mp4"), 1, at(10), at(13), "gone").await.unwrap();
    let take = async |id: &str| {
        let claim = catalog.claim(&key(&format!("{id}.mp4")), &"node".into(), at(20), LEASE).await.unwrap();
        claim.unwrap().lease
    };
    let [a, b, c] = [take("a").await, take("b").await, take("c").await];
    assert_eq!(catalog.find_duplicate(&b.key).await.unwrap(), None, "none is back yet");
    catalog.seal(&a, &sealed(), at(21)).await.unwrap();
    catalog.mark_stored(&a, ended(at(21))).await.unwrap();
    // Its source need not live any more.
    let duplicate = catalog.find_duplicate(&b.key).await.unwrap().unwrap();
    assert!(catalog.mark_shared(&b, &duplicate, ended(at(22))).await.unwrap());
    let row = clip(&*catalog, "b").await;
    assert_eq!((row.state, row.object().as_str(), &row.sealed), (ClipState::Stored, "a.mp4", &Some(sealed())));
    assert_eq!((row.kind, row.content_type.as_str(), row.epoch), (sealed().media.kind, "audio/mp4", 2));
    // But a viewer may have seen other bytes of its source under this epoch.
    let version = SourceVersion { etag: Some("\"2\"".into()), last_modified: None, len: Some(9) };
    catalog.pin(&c.key, 2, &version, None).await.unwrap().unwrap();
    assert_eq!(catalog.find_duplicate(&c.key).await.unwrap(), None);
    assert!(!catalog.mark_shared(&c, &duplicate, ended(at(23))).await.unwrap());
    // And another source means other bytes.
    catalog.object_lost(&key("a.mp4"), 2, at(30), at(33), "gone").await.unwrap();
    let mut other = hook("b");
    other.clips[0].source_url = SourceUrl::new("https://source.example/other.mp4");
    catalog.record_hooks(&[other]).await.unwrap();
    let a = take("a").await;
    catalog.seal(&a, &sealed(), at(41)).await.unwrap();
    catalog.mark_stored(&a, ended(at(41))).await.unwrap();
    assert_eq!(catalog.find_duplicate(&key("b.mp4")).await.unwrap(), None);
}

async fn case_45_a_clip_whose_tenant_becomes_known_parts(bed: Bed) {
    let catalog = bed.open().await;
    for id in ["a", "b", "c", "d"] {
        put(&*catalog, id, None, &sealed()).await;
    }
    let acme = Facts { tenant: Some("acme".parse().unwrap()), ..Facts::default() };
    let claim = async |now| {
        let mut found = catalog.claim_unsharing(at(now), at(now + 600), 10).await.unwrap();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    };
    // One that refers to the object.
    catalog.register(&registration("c", acme.clone())).await.unwrap();
    let unsharing = claim(10).await;
    assert_eq!(unsharing.iter().map(|clip| clip.key.as_str()).collect::<Vec<_>>(), ["c.mp4"]);
    assert_eq!((unsharing[0].object.as_str(), unsharing[0].size), ("a.mp4", sealed().size));
    assert!(claim(20).await.is_empty(), "somebody is at it");
    // It is nobody's duplicate while it does.
    let lease = fill(&*catalog, "e", Some("acme"), &sealed()).await;
    assert_eq!(catalog.find_duplicate(&lease.key).await.unwrap(), None);
    let duplicate = Duplicate { key: key("c.mp4"), object: key("a.mp4"), size: sealed().size, sha256: sealed().sha256 };
    assert!(!catalog.mark_shared(&lease, &duplicate, ended(at(3))).await.unwrap());
    assert!(catalog.unshared(&unsharing[0], at(21), at(141)).await.unwrap());
    assert!(!catalog.unshared(&unsharing[0], at(21), at(141)).await.unwrap());
    assert_eq!((object_of(&*catalog, "c").await, object_of(&*catalog, "b").await), (None, Some("a.mp4".to_owned())));
    assert_eq!(story(&*catalog, "c").await.last().unwrap(), "unshared");
    let duplicate = catalog.find_duplicate(&lease.key).await.unwrap().unwrap();
    assert_eq!(duplicate.object, key("c.mp4"));
    assert!(catalog.mark_shared(&lease, &duplicate, ended(at(22))).await.unwrap());
    assert!(claim(9999).await.is_empty());
    // The one whose object it is: the others go.
    catalog.register(&registration("a", acme)).await.unwrap();
    let unsharing = claim(10_000).await;
    assert_eq!(unsharing.iter().map(|clip| clip.key.as_str()).collect::<Vec<_>>(), ["b.mp4", "d.mp4"]);
    // Deleted meanwhile: what was copied goes with its tombstone.
    assert_eq!(delete(&*catalog, "d").await, [key("d.mp4")]);
    assert!(!catalog.unshared(&unsharing[1], at(10_001), at(10_121)).await.unwrap());
    assert!(catalog.unshared(&unsharing[0], at(10_001), at(10_121)).await.unwrap());
    assert_eq!(delete(&*catalog, "b").await, [key("b.mp4")]);
    // They have the same bytes still, and now that is known of the tenant.
    let acmes = catalog.duplicates(Some(&"acme".parse().unwrap()), None, 10).await.unwrap().duplicates;
    assert_eq!(
        acmes.iter().map(|duplicate_group| (duplicate_group.clips, duplicate_group.objects)).collect::<Vec<_>>(),
        [(3, 2)]
    );
}

async fn sharing_that_is_switched_off_ends(bed: Bed) {
    let catalog = bed.open().await;
    for id in ["a", "b", "c"] {
        put(&*catalog, id, None, &sealed()).await;
    }
    delete(&*catalog, "a").await;
    assert!(catalog.claim_unsharing(at(9), at(609), 10).await.unwrap().is_empty());
    assert_eq!(catalog.schedule_unsharing(at(9), 1).await.unwrap(), 1);
    assert_eq!(catalog.schedule_unsharing(at(9), 100).await.unwrap(), 1);
    assert_eq!(catalog.schedule_unsharing(at(9), 100).await.unwrap(), 0);
    for unsharing in catalog.claim_unsharing(at(9), at(609), 10).await.unwrap() {
        assert!(catalog.unshared(&unsharing, at(9), at(129)).await.unwrap());
    }
    assert_eq!((object_of(&*catalog, "b").await, object_of(&*catalog, "c").await), (None, None));
    assert_eq!(catalog.removals(&key("a.mp4")).await.unwrap(), [key("a.mp4")]);
    assert_eq!(catalog.tombstones(at(129), 10).await.unwrap(), [key("a.mp4")]);
}

/// Two nodes: one shares the object of a clip that the other deletes, and one
/// loses it meanwhile. Whoever is first, a stored clip's object is never
/// removable, and never that of a clip that starts over.
async fn a_share_and_a_deletion_at_once_never_leave_a_clip_without_its_object(bed: Bed) {
    let nodes: [Arc<dyn Catalog>; 2] = [bed.open().await, bed.open().await];
    let mut seen = [0; 2];
    for round in 0..60 {
        let bytes = Sealed { sha256: format!("{round:064}"), ..sealed() };
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        put(&*nodes[0], &a, None, &bytes).await;
        put(&*nodes[0], &b, None, &bytes).await;
        if round % 3 == 0 {
            delete(&*nodes[0], &a).await;
        }
        let lease = fill(&*nodes[1], &c, None, &bytes).await;
        let duplicate = nodes[1].find_duplicate(&lease.key).await.unwrap().unwrap();
        let of: ClipKey = duplicate.key.clone();
        let share = async { nodes[1].mark_shared(&lease, &duplicate, ended(at(3))).await.unwrap() };
        let end = async {
            if round % 2 == 0 {
                nodes[0].delete(&of, at(4), at(130), "").await.unwrap();
                nodes[0].removals(&of).await.unwrap()
            } else {
                nodes[0].object_lost(&of, 1, at(4), at(7), "gone").await.unwrap();
                Vec::new()
            }
        };
        let (shared, removed) = tokio::join!(share, end);
        seen[usize::from(shared)] += 1;
        let row = clip(&*nodes[0], &c).await;
        if row.state == ClipState::Stored {
            assert!(shared && !removed.contains(row.object()), "{round}: its object was removed");
            let owner = nodes[0].clip(row.object()).await.unwrap().unwrap();
            let is_own = owner.state == ClipState::Stored && owner.object_key.is_none();
            assert!(is_own || owner.state == ClipState::Deleted, "{round}: {:?}", owner.state);
        } else {
            assert_eq!(row.object_key, None, "{round}");
        }
    }
    assert!(seen[0] + seen[1] == 60, "{seen:?}");
}
