//! Clips whose source's time runs out.

use std::{collections::HashSet, time::Duration};

use clipkeep::catalog::Catalog;
use clipkeep_core::{
    event::{EventType, Position},
    generation::HookRecord,
    secret::SourceUrl,
    time::Timestamp,
};

use super::{Bed, HOUR, at, hook, key, on_both, queue, story};

on_both![
    a_clip_at_risk_is_told_of_once_and_listed_until_it_is_stored,
    another_source_is_told_of_anew,
    a_clip_whose_object_vanished_is_told_of_anew,
    two_nodes_tell_of_each_once,
];

fn expiring(request_id: &str, expires: Timestamp) -> HookRecord {
    let mut webhook = hook(request_id);
    webhook.clips[0].source_expires_at = Some(expires);
    webhook
}

/// Whom the world was told of, once it heard of so many: PostgreSQL holds back
/// what is younger than the oldest transaction that is open anywhere.
async fn told(catalog: &dyn Catalog, count: usize) -> Vec<String> {
    let began = tokio::time::Instant::now();
    loop {
        let events = catalog.events(Position { tx: i64::MIN, id: i64::MIN }, 1000).await.unwrap();
        let at_risk = events.into_iter().filter(|(_, event)| event.kind == EventType::ClipAtRisk);
        let told: Vec<_> = at_risk.map(|(_, event)| event.request_id().unwrap().to_string()).collect();
        if told.len() >= count || began.elapsed() > crate::support::eventually::PATIENCE {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_clip_at_risk_is_told_of_once_and_listed_until_it_is_stored(bed: Bed) {
    let catalog = bed.open().await;
    let hooks = [expiring("late", at(9 * HOUR)), expiring("soon", at(HOUR)), expiring("sooner", at(2)), hook("never")];
    catalog.record_hooks(&hooks).await.unwrap();
    let first = catalog.report_at_risk(at(1), at(HOUR), 1).await.unwrap();
    assert_eq!((first.len(), first[0].request_id.as_str()), (1, "sooner"));
    assert_eq!(catalog.report_at_risk(at(1), at(HOUR), 9).await.unwrap().len(), 1);
    assert!(catalog.report_at_risk(at(1), at(HOUR), 9).await.unwrap().is_empty());
    assert_eq!(told(&*catalog, 2).await, ["sooner", "soon"]);
    assert_eq!(story(&*catalog, "soon").await, ["received", "at_risk"]);
    let listed = catalog.at_risk(at(HOUR), 9).await.unwrap();
    assert_eq!(listed.iter().map(|clip| clip.request_id.as_str()).collect::<Vec<_>>(), ["sooner", "soon"]);
    assert_eq!(catalog.at_risk(at(HOUR), 1).await.unwrap().len(), 1);
    queue::store(&*catalog, "soon").await;
    assert_eq!(catalog.at_risk(at(HOUR), 9).await.unwrap().len(), 1);
    assert_eq!(catalog.count_at_risk(at(9 * HOUR)).await.unwrap(), 2);
}

async fn a_clip_whose_object_vanished_is_told_of_anew(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[expiring("r", at(HOUR))]).await.unwrap();
    assert_eq!(catalog.report_at_risk(at(1), at(HOUR), 9).await.unwrap().len(), 1);
    queue::store(&*catalog, "r").await;
    assert!(catalog.object_lost(&key("r.mp4"), 1, at(4), at(5), "it is gone").await.unwrap());
    assert_eq!(catalog.report_at_risk(at(6), at(HOUR), 9).await.unwrap().len(), 1);
}

async fn another_source_is_told_of_anew(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[expiring("r", at(HOUR))]).await.unwrap();
    catalog.report_at_risk(at(1), at(HOUR), 9).await.unwrap();
    let mut other = expiring("r", at(HOUR));
    other.clips[0].source_url = SourceUrl::new("https://source.example/other.mp4".to_owned());
    catalog.record_hooks(&[other]).await.unwrap();
    assert_eq!(catalog.report_at_risk(at(2), at(HOUR), 9).await.unwrap().len(), 1);
    assert_eq!(told(&*catalog, 2).await, ["r", "r"]);
}

async fn two_nodes_tell_of_each_once(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    let hooks: Vec<_> = (0..100).map(|n| expiring(&format!("r{n}"), at(n))).collect();
    nodes[0].record_hooks(&hooks).await.unwrap();
    let tellers: Vec<_> = (0..6)
        .map(|n: usize| {
            let catalog = nodes[n % 2].clone();
            tokio::spawn(async move { while !catalog.report_at_risk(at(1), at(HOUR), 7).await.unwrap().is_empty() {} })
        })
        .collect();
    for teller in tellers {
        teller.await.unwrap();
    }
    let told = told(&*nodes[0], 100).await;
    assert_eq!((told.len(), told.into_iter().collect::<HashSet<_>>().len()), (100, 100));
}
