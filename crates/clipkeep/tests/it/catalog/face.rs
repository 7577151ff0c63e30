//! Posters and the console's sessions.

use std::time::Duration;

use clipkeep::catalog::{Attempt, sessions::Session};
use clipkeep_core::generation::Poster;

use super::{Bed, at, costs::store, hook, key, on_both, queue::sealed};

on_both![
    clips_without_a_poster_are_taken_up_once_newest_first,
    a_poster_is_of_one_content_epoch,
    a_session_ends_when_it_should
];

async fn clips_without_a_poster_are_taken_up_once_newest_first(bed: Bed) {
    let catalog = bed.open().await;
    for (id, secs) in [("a", 100), ("b", 200), ("c", 300)] {
        catalog.record_hooks(&[hook(id)]).await.unwrap();
        store(&*catalog, id, 1000, at(secs)).await;
    }
    let due = async |secs: i64, limit: u32| {
        let found = catalog.posters_due(at(secs), at(secs + 600), limit).await.unwrap();
        found.into_iter().map(|key| key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due(159, 10).await, [""; 0], "whoever stored it has a minute");
    assert_eq!(due(400, 1).await, ["c.mp4"]);
    let mut rest = due(400, 10).await;
    rest.sort();
    assert_eq!(rest, ["a.mp4", "b.mp4"]);
    assert_eq!(due(401, 10).await, [""; 0], "they were taken up");
    assert!(catalog.poster_made(&key("a.mp4"), 1, Some("hash")).await.unwrap());
    assert!(catalog.poster_made(&key("b.mp4"), 1, None).await.unwrap());
    assert_eq!(due(5000, 10).await, ["c.mp4"], "whoever took it up did not do it");
    let poster = async |name: &str| catalog.clip(&key(name)).await.unwrap().unwrap().poster;
    assert_eq!(poster("a.mp4").await, Poster::Made { thumbhash: "hash".to_owned() });
    assert_eq!((poster("b.mp4").await, poster("c.mp4").await), (Poster::None, Poster::Untried));
}

async fn a_poster_is_of_one_content_epoch(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("a")]).await.unwrap();
    store(&*catalog, "a", 1000, at(100)).await;
    assert!(!catalog.poster_made(&key("a.mp4"), 7, Some("hash")).await.unwrap());
    assert!(catalog.poster_made(&key("a.mp4"), 1, Some("hash")).await.unwrap());
    let poster = async || catalog.clip(&key("a.mp4")).await.unwrap().unwrap().poster;
    catalog.object_lost(&key("a.mp4"), 1, at(200), at(200), "gone").await.unwrap();
    assert_eq!(poster().await, Poster::Untried, "it is not stored");
    assert!(!catalog.poster_made(&key("a.mp4"), 1, Some("late")).await.unwrap());
    let claim = catalog.claim(&key("a.mp4"), &"n".to_owned(), at(201), Duration::from_secs(60)).await.unwrap().unwrap();
    catalog.seal(&claim.lease, &sealed(), at(202)).await.unwrap();
    catalog.mark_stored(&claim.lease, Attempt { at: at(203), bytes: 1000 }).await.unwrap();
    assert_eq!(poster().await, Poster::Untried, "these are other bytes");
    assert_eq!(catalog.posters_due(at(900), at(1000), 10).await.unwrap(), [key("a.mp4")]);
    catalog.delete(&key("a.mp4"), at(1001), at(1002), "test").await.unwrap();
    assert_eq!(catalog.posters_due(at(9000), at(9001), 10).await.unwrap(), []);
    assert!(!catalog.poster_made(&key("a.mp4"), 2, Some("late")).await.unwrap());
}

async fn a_session_ends_when_it_should(bed: Bed) {
    let catalog = bed.open().await;
    let session = |hash: &str, until: i64| Session {
        hash: hash.to_owned(),
        token_hash: "token".to_owned(),
        expires_at: at(until),
    };
    catalog.begin_session(&session("a", 100), at(0)).await.unwrap();
    assert!(catalog.begin_session(&session("a", 100), at(0)).await.is_err(), "a secret is one session's");
    catalog.begin_session(&session("b", 200), at(50)).await.unwrap();
    assert_eq!(catalog.session("a", at(99)).await.unwrap(), Some(session("a", 100)));
    assert_eq!(catalog.session("a", at(100)).await.unwrap(), None);
    assert_eq!(catalog.session("nobody", at(0)).await.unwrap(), None);
    // The next log-in clears away what is over.
    catalog.begin_session(&session("c", 500), at(150)).await.unwrap();
    assert_eq!(catalog.session("a", at(0)).await.unwrap(), None);
    assert_eq!(catalog.session("b", at(199)).await.unwrap(), Some(session("b", 200)));
    catalog.end_session("b").await.unwrap();
    catalog.end_session("b").await.unwrap();
    assert_eq!(catalog.session("b", at(199)).await.unwrap(), None);
}
