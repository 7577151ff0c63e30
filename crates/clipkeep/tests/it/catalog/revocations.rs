//! Revoked links, of one, of a clip, of a key.

use clipkeep::catalog::revocations::{MAX_REVOCATIONS, MAX_REVOCATIONS_PER_TENANT};
use clipkeep_core::{
    event::{EventType, Position},
    link::Revocation,
};

use super::{Bed, HOUR, at, clip, events::read, hook, key, on_both, story};

on_both![
    a_revocation_is_remembered_until_it_ends,
    all_of_a_clips_links_are_a_generation,
    there_are_only_so_many,
    one_tenant_leaves_room_for_others,
];

fn link(hash: u8, expires: i64) -> Revocation {
    format!("link {} {}", format!("{hash:02x}").repeat(32), at(expires).secs()).parse().unwrap()
}

async fn a_revocation_is_remembered_until_it_ends(bed: Bed) {
    let catalog = bed.open().await;
    let (one, kid) = (link(1, 100), Revocation::Key("k1".parse().unwrap()));
    for _ in 0..2 {
        assert!(catalog.revoke(&one, None, at(0)).await.unwrap());
        assert!(catalog.revoke(&kid, None, at(0)).await.unwrap());
    }
    let now = async |secs| {
        let mut all: Vec<_> = catalog.revocations(at(secs)).await.unwrap().iter().map(ToString::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(now(50).await, [kid.to_string(), one.to_string()]);
    assert_eq!(now(101).await.len(), 2, "clocks may differ");
    assert_eq!(now(101 + HOUR).await, [kid.to_string()]);
    // Told to every node, once; and nobody's row.
    let events = read(&*catalog, Position { tx: 0, id: 0 }, 2).await;
    let told: Vec<_> = events.iter().map(|(_, event)| (event.kind, event.key.clone(), event.detail.clone())).collect();
    let expected = [&one, &kid].map(|what| (EventType::LinkRevoked, None, Some(what.to_string())));
    assert_eq!(told, expected);
    // What is over makes room.
    assert!(catalog.revoke(&link(2, 9 * HOUR), None, at(8 * HOUR)).await.unwrap());
    assert_eq!(now(0).await.len(), 2);
    drop(catalog);
    assert_eq!(bed.open().await.revocations(at(0)).await.unwrap().len(), 2);
}

async fn all_of_a_clips_links_are_a_generation(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r"), hook("s")]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.link_generation, 0);
    assert_eq!(catalog.revoke_links_of(&key("r.mp4"), at(5)).await.unwrap(), Some(1));
    assert_eq!(catalog.revoke_links_of(&key("r.mp4"), at(6)).await.unwrap(), Some(2));
    assert_eq!(catalog.revoke_links_of(&key("unknown.mp4"), at(6)).await.unwrap(), None);
    assert_eq!((clip(&*catalog, "r").await.link_generation, clip(&*catalog, "s").await.link_generation), (2, 0));
    assert_eq!(story(&*catalog, "r").await, ["received", "links_revoked", "links_revoked"]);
    let history = catalog.history(&key("r.mp4")).await.unwrap();
    assert_eq!(history[2].detail.as_deref(), Some("generation 2 from now on"));
    let events = read(&*catalog, Position { tx: 0, id: 0 }, 2).await;
    let told: Vec<_> = events.iter().map(|(_, event)| (event.kind, event.key.clone())).collect();
    assert_eq!(told, vec![(EventType::LinkRevoked, Some(key("r.mp4"))); 2]);
    assert!(!EventType::LinkRevoked.is_for_apps());
    // Another source is another content, but still the same clip.
    super::queue::store(&*catalog, "r").await;
    assert_eq!(clip(&*catalog, "r").await.link_generation, 2);
}

async fn there_are_only_so_many(bed: Bed) {
    let catalog = bed.open().await;
    let fill = format!(
        "INSERT INTO revocations (what, revoked_at, ends_at) WITH RECURSIVE n (i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_REVOCATIONS}) SELECT 'link x ' || i, 0, {} FROM n",
        at(10).millis()
    );
    bed.execute(&fill).await;
    assert!(!catalog.revoke(&link(1, 100), None, at(0)).await.unwrap());
    let kid = Revocation::Key("k1".parse().unwrap());
    assert!(catalog.revoke(&kid, None, at(0)).await.unwrap(), "a key can be revoked all the same");
    assert!(catalog.revoke(&link(1, 100), None, at(11)).await.unwrap(), "what is over makes room");
    let mut left: Vec<_> = catalog.revocations(at(11)).await.unwrap().iter().map(ToString::to_string).collect();
    left.sort();
    assert_eq!(left, [kid.to_string(), link(1, 100).to_string()]);
}

async fn one_tenant_leaves_room_for_others(bed: Bed) {
    let catalog = bed.open().await;
    let fill = async |tenant: &str, count: u32| {
        let fill = format!(
            "INSERT INTO revocations (what, revoked_at, ends_at, tenant) WITH RECURSIVE n (i) AS \
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT 'link {tenant} ' || i, 0, {}, '{tenant}' FROM n",
            at(10).millis()
        );
        bed.execute(&fill).await;
    };
    let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
    fill("one", MAX_REVOCATIONS_PER_TENANT - 1).await;
    assert!(catalog.revoke(&link(1, 100), Some(&one), at(0)).await.unwrap());
    assert!(!catalog.revoke(&link(2, 100), Some(&one), at(0)).await.unwrap());
    assert!(catalog.revoke(&link(1, 100), Some(&one), at(0)).await.unwrap(), "it is revoked already");
    assert!(catalog.revoke(&link(2, 100), Some(&other), at(0)).await.unwrap());
    fill("two", MAX_REVOCATIONS_PER_TENANT).await;
    fill("three", MAX_REVOCATIONS_PER_TENANT - 1).await;
    assert!(!catalog.revoke(&link(3, 100), Some(&other), at(0)).await.unwrap(), "the rest is the admin's");
    assert!(catalog.revoke(&link(3, 100), None, at(0)).await.unwrap());
}
