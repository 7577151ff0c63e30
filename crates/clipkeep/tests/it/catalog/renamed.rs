//! K13: a clip whose bytes give it another name takes all that is known of it along.

use std::{sync::Arc, time::Duration};

use clipkeep::catalog::{Catalog, CatalogError, Claim, ClipFilter, UsageBatch, UsageFilter, UsageGroup};
use clipkeep_core::{
    event::{EventType, Position},
    generation::{Facts, HookRecord, Kind, NewClip, Origin},
    id::ClipKey,
    secret::SourceUrl,
    state::ClipState,
    usage::{Counts, UsageRow},
};

use super::{Bed, at, ended, hook, id, key, on_both, queue::sealed};

on_both![
    k13_all_that_is_known_goes_along_with_the_name,
    k13_a_name_that_somebody_has_or_had_is_not_given,
    k13_the_same_news_again_makes_no_second_clip,
    k13_news_and_a_renaming_at_once_make_one_clip,
    k13_who_lost_the_lease_renames_nothing,
];

const LEASE: Duration = Duration::from_secs(60);

/// News of one output that is said to be a picture.
fn picture(request_id: &str, slot: &str, url: &str) -> HookRecord {
    let clip = NewClip {
        key: ClipKey::new(&id(request_id), 0, "png"),
        index: 0,
        slot: slot.to_owned(),
        source_url: SourceUrl::new(url),
        kind: Kind::Image,
        content_type: "image/png".to_owned(),
        source_expires_at: None,
    };
    let facts = Facts { prompt: Some("a fox in snow".to_owned()), ..Facts::default() };
    HookRecord { clips: vec![clip], facts, ..hook(request_id) }
}

async fn claimed(catalog: &dyn Catalog, name: &str) -> Claim {
    catalog.claim(&key(name), &"node".into(), at(1), LEASE).await.unwrap().unwrap()
}

async fn told(catalog: &dyn Catalog, request_id: &str) -> Claim {
    catalog.record_hooks(&[picture(request_id, "/image", "https://h/a.png")]).await.unwrap();
    claimed(catalog, &format!("{request_id}.png")).await
}

/// The clip's names, of its generation's only one.
async fn only(catalog: &dyn Catalog, request_id: &str) -> (String, Option<String>) {
    let filter = ClipFilter { request_id: Some(id(request_id)), ..ClipFilter::default() };
    let mut clips = catalog.clips(&filter, None, 10).await.unwrap().clips;
    assert_eq!(clips.len(), 1, "{clips:?}");
    let clip = clips.remove(0);
    (clip.key.into(), clip.was_key.map(Into::into))
}

async fn count(catalog: &dyn Catalog, batch: i64, names: &[&str]) {
    let counts = Counts { plays: 1, viewer_bytes: 10, ..Counts::default() };
    let row = |name: &&str| UsageRow { hour: at(0), key: key(name), tenant: None, counts };
    let rows = names.iter().map(row).collect();
    let batch = UsageBatch { node: "n".into(), seq: batch, at: at(0), rows, operations: Vec::new() };
    catalog.add_usage(&batch).await.unwrap();
}

async fn k13_all_that_is_known_goes_along_with_the_name(bed: Bed) {
    let catalog = bed.open().await;
    let claim = told(&*catalog, "r").await;
    let (old, new) = (key("r.png"), key("r.mp4"));
    count(&*catalog, 1, &["r.png"]).await;
    // Another was made from it.
    bed.execute("INSERT INTO parents (provider, request_id, parent) VALUES ('fal', 'child', 'r.png')").await;
    catalog.record_hooks(&[hook("child")]).await.unwrap();
    let before = catalog.history(&old).await.unwrap().len();
    assert!(catalog.rename(&claim.lease, &new, at(2)).await.unwrap());
    // Who did not hear the answer asks again.
    assert!(catalog.rename(&claim.lease, &new, at(2)).await.unwrap());
    for name in [&old, &new] {
        let clip = catalog.clip(name).await.unwrap().unwrap();
        assert_eq!((&clip.key, clip.was_key.as_ref(), clip.first_key()), (&new, Some(&old), &old));
        assert_eq!(clip.state, ClipState::Filling);
    }
    assert_eq!(catalog.history(&old).await.unwrap(), []);
    let history = catalog.history(&new).await.unwrap();
    assert_eq!(history.len(), before + 1);
    let last = history.last().unwrap();
    assert_eq!((last.event.as_str(), last.detail.as_deref()), ("renamed", Some("was r.png")));
    // The lease goes on under the new name, and no more under the old one.
    let mut lease = claim.lease.clone();
    assert!(matches!(catalog.renew(&lease, at(90), 0).await, Err(CatalogError::LeaseLost { .. })));
    lease.key = new.clone();
    catalog.renew(&lease, at(90), 0).await.unwrap();
    catalog.seal(&lease, &sealed(), at(3)).await.unwrap();
    catalog.mark_stored(&lease, ended(at(4))).await.unwrap();
    // What was counted under either name is the clip's.
    count(&*catalog, 2, &["r.mp4", "r.png"]).await;
    let filter = UsageFilter { key: Some(old.clone()), ..UsageFilter::default() };
    let filter = filter.by_names(&*catalog).await.unwrap();
    let usage = catalog.usage(&filter, UsageGroup::Clip, None, 10).await.unwrap();
    let usage: Vec<_> = usage.lines.iter().map(|line| (line.name.as_str(), line.counts.viewer_bytes)).collect();
    assert_eq!(usage, [("r.mp4", 30)]);
    let words = ClipFilter { words: Some("fox snow".parse().unwrap()), ..ClipFilter::default() };
    let found = catalog.clips(&words, None, 10).await.unwrap().clips;
    assert_eq!(found.iter().map(|clip| clip.key.as_str()).collect::<Vec<_>>(), ["r.mp4"]);
    let children = catalog.children(&new, None, 10).await.unwrap();
    assert_eq!(children.iter().map(|clip| clip.key.as_str()).collect::<Vec<_>>(), ["child.mp4"]);
    // Apps hear of it under its name; nodes, that the old one is no more.
    let events = catalog.events(Position { tx: 0, id: 0 }, 100).await.unwrap();
    let events: Vec<_> = events.iter().map(|(_, event)| (event.kind, event.key.clone().unwrap())).collect();
    assert_eq!(events, [(EventType::ClipRevised, old.clone()), (EventType::ClipStored, new.clone())]);
    // What lies under the old name is nobody's.
    let named = catalog.object_owners(&[old.clone(), new.clone()]).await.unwrap();
    let mut named: Vec<_> = named.into_iter().map(|named| (named.key, named.is_spare)).collect();
    named.sort();
    assert_eq!(named, [(new, false), (old, true)]);
}

async fn k13_a_name_that_somebody_has_or_had_is_not_given(bed: Bed) {
    let catalog = bed.open().await;
    let claim = told(&*catalog, "r").await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert!(!catalog.rename(&claim.lease, &key("r.mp4"), at(2)).await.unwrap());
    assert!(catalog.rename(&claim.lease, &key("r.webm"), at(2)).await.unwrap());
    // The name that a clip had leads to it.
    let other = claimed(&*catalog, "r.mp4").await;
    assert!(!catalog.rename(&other.lease, &key("r.png"), at(3)).await.unwrap());
    assert_eq!(catalog.clip(&key("r.png")).await.unwrap().unwrap().key, key("r.webm"));
    // Back to its own it may go.
    let lease = clipkeep::catalog::Lease { key: key("r.webm"), ..claim.lease };
    assert!(catalog.rename(&lease, &key("r.png"), at(4)).await.unwrap());
    let back = catalog.clip(&key("r.png")).await.unwrap().unwrap();
    assert_eq!((back.key, back.was_key), (key("r.png"), None));
    assert_eq!(catalog.clip(&key("r.webm")).await.unwrap(), None);
}

async fn k13_the_same_news_again_makes_no_second_clip(bed: Bed) {
    let catalog = bed.open().await;
    let claim = told(&*catalog, "r").await;
    assert!(catalog.rename(&claim.lease, &key("r.mp4"), at(2)).await.unwrap());
    let from = |origin: Origin| HookRecord { origin, ..picture("r", "/image", "https://h/a.png") };
    let honest = |url: &str| {
        let mut honest = picture("r", "/image", url);
        honest.clips[0] = NewClip {
            key: key("r.mp4"),
            kind: Kind::Video,
            content_type: "video/mp4".to_owned(),
            ..honest.clips[0].clone()
        };
        honest
    };
    for news in [
        picture("r", "/image", "https://h/a.png"),
        from(Origin::Poll),
        from(Origin::Proxy),
        from(Origin::Import),
        from(Origin::Store),
        picture("r", "/image", "https://h/again.png"),
        picture("r", "/elsewhere", "https://h/moved.png"),
        honest("https://h/moved.png"),
        honest("https://h/b.mp4"),
    ] {
        catalog.record_hooks(&[news]).await.unwrap();
        assert_eq!(only(&*catalog, "r").await, ("r.mp4".to_owned(), Some("r.png".to_owned())));
    }
    // What is another output does not get the name that leads to this one.
    let mut both = picture("r", "/image", "https://h/b.mp4");
    both.clips
        .insert(0, NewClip { slot: "/mask".to_owned(), ..picture("r", "/mask", "https://h/m.png").clips.remove(0) });
    both.clips[1].key = key("r.1.png");
    both.clips[1].index = 1;
    catalog.record_hooks(&[both]).await.unwrap();
    let clip_summaries = catalog.clip_summaries(&[id("r")]).await.unwrap();
    let mut names: Vec<_> = clip_summaries.into_iter().map(|clip| (clip.key.to_string(), clip.slot)).collect();
    names.sort();
    assert_eq!(names, [("r.1.png".to_owned(), "/mask".to_owned()), ("r.mp4".to_owned(), "/image".to_owned())]);
}

async fn k13_news_and_a_renaming_at_once_make_one_clip(bed: Bed) {
    let catalogs: [Arc<dyn Catalog>; 2] = [bed.open().await, bed.open().await];
    for n in 0..30 {
        let name = format!("r{n}");
        let claim = told(&*catalogs[0], &name).await;
        let (news, to) = (picture(&name, "/image", "https://h/other.png"), key(&format!("{name}.mp4")));
        let other = Arc::clone(&catalogs[1]);
        let announced_again = tokio::spawn(async move { other.record_hooks(&[news]).await });
        // The news may have started it over.
        let renamed = catalogs[0].rename(&claim.lease, &to, at(2)).await;
        assert!(matches!(renamed, Ok(true) | Err(CatalogError::LeaseLost { .. })), "{renamed:?}");
        announced_again.await.unwrap().unwrap();
        only(&*catalogs[0], &name).await;
    }
}

async fn k13_who_lost_the_lease_renames_nothing(bed: Bed) {
    let catalog = bed.open().await;
    let claim = told(&*catalog, "r").await;
    let later = catalog.claim(&key("r.png"), &"other".into(), at(100), LEASE).await.unwrap().unwrap();
    let refused = catalog.rename(&claim.lease, &key("r.mp4"), at(101)).await;
    assert!(matches!(refused, Err(CatalogError::LeaseLost { .. })), "{refused:?}");
    assert_eq!(only(&*catalog, "r").await, ("r.png".to_owned(), None));
    assert!(catalog.rename(&later.lease, &key("r.mp4"), at(102)).await.unwrap());
    let refused = catalog.rename(&claim.lease, &key("r.mp4"), at(103)).await;
    assert!(matches!(refused, Err(CatalogError::LeaseLost { .. })), "{refused:?}");
}
