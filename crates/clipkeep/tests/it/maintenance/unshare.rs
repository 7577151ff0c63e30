//! Clips that shared an object and get one of their own.

use std::time::Duration;

use clipkeep::sweep::{tombstones, unshare};
use clipkeep_core::time::{Clock, Timestamp};

use super::{
    Bed,
    delete::delete,
    in_both,
    sharing::{body, media, names, objects},
};
use crate::cold::all;

in_both![sharing_that_is_switched_off_ends_for_all, case_39_what_a_killed_unsharing_has_made_is_no_leftover,];

/// A clock that stands.
struct Later(Timestamp);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        self.0
    }
}

async fn sharing_that_is_switched_off_ends_for_all(bed: Bed) {
    for id in ["a", "b", "c"] {
        bed.store(id, &media(1)).await;
    }
    delete(&bed.t, "a.mp4").await;
    // The store fails for one of them: it is served as before.
    let in_the_way = bed.t.data.path().join("clips/b.mp4");
    let is_folder = bed.t.app.store.is_folder();
    if is_folder {
        std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    }
    let app = &bed.t.app;
    let (now, lease) = (app.clock.now(), app.config.lease);
    let report = unshare::run(&*app.catalog, &app.store, true, &*app.clock, lease).await.unwrap();
    assert_eq!((report.unshared, report.failed), if is_folder { (1, 1) } else { (2, 0) });
    assert!(body(&bed, "b.mp4").await == all(&media(1)));
    if is_folder {
        std::fs::remove_dir_all(in_the_way).unwrap();
        let later = Later(now.plus(Duration::from_secs(601)));
        assert_eq!(unshare::run(&*app.catalog, &app.store, true, &later, lease).await.unwrap().unshared, 1);
    }
    let late = now.plus(Duration::from_secs(1000));
    tombstones::run(&*app.catalog, &app.store, late).await.unwrap();
    assert_eq!(objects(&bed.t).await, names(["b.mp4", "c.mp4"]));
    assert!(body(&bed, "b.mp4").await == all(&media(1)) && body(&bed, "c.mp4").await == all(&media(1)));
}

async fn case_39_what_a_killed_unsharing_has_made_is_no_leftover(bed: Bed) {
    bed.store("a", &media(1)).await;
    bed.store("b", &media(1)).await;
    let app = &bed.t.app;
    let now = app.clock.now();
    // Claimed and copied; then the node was killed, before the row was written.
    assert_eq!(app.catalog.schedule_unsharing(now, 10).await.unwrap(), 1);
    let claimed = app.catalog.claim_unsharing(now, now.plus(Duration::from_secs(600)), 10).await.unwrap();
    app.store.copy(&claimed[0].object, &claimed[0].key, claimed[0].size).await.unwrap();
    // On a folder the copy is as old as what it was made of.
    assert_eq!(bed.drift(|s| s.orphan_age = Duration::ZERO).await.leftovers, 0);
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "b.mp4"]));
    let later = Later(now.plus(Duration::from_secs(601)));
    assert_eq!(unshare::run(&*app.catalog, &app.store, false, &later, app.config.lease).await.unwrap().unshared, 1);
    assert_eq!(bed.clip("b.mp4").await.unwrap().object_key, None);
    assert!(body(&bed, "b.mp4").await == all(&media(1)));
}
