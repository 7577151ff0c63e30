//! What came more than once.

use std::time::Duration;

use clipkeep::catalog::sharing::DuplicateCursor;
use clipkeep_core::generation::{Facts, HookRecord, Sealed};

use super::{Bed, at, ended, hook, key, on_both, queue::sealed, sharing::delete};

on_both![what_came_twice_is_listed_newest_first];

const LEASE: Duration = Duration::from_secs(60);

async fn what_came_twice_is_listed_newest_first(bed: Bed) {
    let catalog = bed.open().await;
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        let bytes = Sealed { sha256: format!("{n:064}"), size: 100 + n as u64, ..sealed() };
        for copy in 0..=n {
            let name = format!("{id}{copy}");
            let facts =
                Facts { prompt: Some(format!("prompt {name}")), seed: Some((copy as i64).into()), ..Facts::default() };
            catalog.record_hooks(&[HookRecord { facts, ..hook(&name) }]).await.unwrap();
            let claim = catalog.claim(&key(&format!("{name}.mp4")), &"n".into(), at(1), LEASE).await.unwrap();
            let lease = claim.unwrap().lease;
            catalog.seal(&lease, &bytes, at(2)).await.unwrap();
            catalog.mark_stored(&lease, ended(at(10 * n as i64 + copy as i64))).await.unwrap();
        }
    }
    let list = async |after: Option<&DuplicateCursor>| catalog.duplicates(None, after, 1).await.unwrap();
    let first = list(None).await;
    let duplicate_group = &first.duplicates[0];
    assert_eq!(
        (duplicate_group.clips, duplicate_group.objects, duplicate_group.size, duplicate_group.saved()),
        (3, 3, 102, 0)
    );
    assert_eq!((duplicate_group.newest_at, duplicate_group.tenant.clone()), (at(22), None));
    let told: Vec<_> = duplicate_group
        .examples
        .iter()
        .map(|c| (c.key.as_str(), c.prompt.as_deref(), c.seed.map(|seed| seed.get())))
        .collect();
    assert_eq!(told[..2], [("c0.mp4", Some("prompt c0"), Some(0)), ("c1.mp4", Some("prompt c1"), Some(1))]);
    let second = list(first.next.as_ref()).await;
    assert_eq!((second.duplicates[0].clips, second.duplicates[0].newest_at), (2, at(11)));
    assert_eq!(second.next, None, "what came once is not listed");
    // No longer twice: left out.
    delete(&*catalog, "b0").await;
    assert!(list(first.next.as_ref()).await.duplicates.is_empty());
}
