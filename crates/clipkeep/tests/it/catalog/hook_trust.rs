//! When what a hook URL's query tells counts.

use std::time::Duration;

use clipkeep_core::{
    generation::{Facts, Hearsay, HookRecord},
    id::Provider,
    policy::Policy,
    state::GenerationStatus,
};

use super::{Bed, adoption::adopted, at, clip, hook, id, on_both, registration};
use clipkeep::catalog::HookOutcome;

on_both![
    h02_a_duplicate_tells_nothing_whatever_its_query,
    h02_the_delivery_that_ends_a_generation_tells_what_its_query_tells,
    h02_a_delivery_that_ends_nothing_adds_nothing,
    h02_a_registration_is_stronger_than_a_query,
    h02_what_was_found_in_the_store_learns_from_its_first_webhook,
    h02_one_more_delivery_opens_no_clip_that_is_there,
];

fn saying(tenant: &str, public: bool) -> Facts {
    Facts {
        model: Some(format!("model-of-{tenant}")),
        prompt: Some(format!("a prompt of {tenant}")),
        prompt_hash: Some(format!("hash-of-{tenant}")),
        tenant: Some(tenant.parse().unwrap()),
        policy: Some(if public { Policy::OnDemand } else { Policy::Deferred }),
        public: Some(public),
        ..Facts::default()
    }
}

fn heard(record: HookRecord, facts: Facts) -> HookRecord {
    HookRecord { hearsay: Hearsay { facts, source_lifetime: Some(Duration::from_secs(9)) }, ..record }
}

async fn h02_a_duplicate_tells_nothing_whatever_its_query(bed: Bed) {
    let catalog = bed.open().await;
    let missing = HookRecord { status: GenerationStatus::ResultMissing, clips: Vec::new(), ..hook("missing") };
    let failed = HookRecord { status: GenerationStatus::Failed, clips: Vec::new(), ..hook("failed") };
    for first in [hook("bare"), heard(hook("told"), saying("acme", false)), missing, failed] {
        let request_id = first.request_id.clone();
        catalog.record_hooks(std::slice::from_ref(&first)).await.unwrap();
        let before = catalog.generation(&request_id).await.unwrap().unwrap();
        for again in [heard(first.clone(), saying("eve", true)), heard(first.clone(), saying("acme", true))] {
            assert_eq!(catalog.record_hooks(&[again]).await.unwrap(), [HookOutcome::Duplicate], "{request_id}");
        }
        assert_eq!(catalog.generation(&request_id).await.unwrap().unwrap(), before);
    }
    assert_eq!(clip(&*catalog, "bare").await.facts, Facts::default());
    assert_eq!(clip(&*catalog, "bare").await.source_expires_at, None);
    // Within one batch, too.
    let both = [heard(hook("batch"), saying("acme", false)), heard(hook("batch"), saying("eve", true))];
    catalog.record_hooks(&both).await.unwrap();
    assert_eq!(clip(&*catalog, "batch").await.facts, saying("acme", false));
}

async fn h02_the_delivery_that_ends_a_generation_tells_what_its_query_tells(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("known", Facts { seed: Some(7_u64.into()), ..Facts::default() })).await.unwrap();
    for (request_id, seed) in [("known", Some(7_u64.into())), ("new", None)] {
        catalog.record_hooks(&[heard(hook(request_id), saying("acme", true))]).await.unwrap();
        let row = clip(&*catalog, request_id).await;
        assert_eq!((row.facts, row.policy), (Facts { seed, ..saying("acme", true) }, Policy::OnDemand));
        assert_eq!(row.source_expires_at, Some(at(9)));
    }
    // Of what was signed, whose it is and who sees it stand.
    let signed = HookRecord { facts: saying("acme", false), ..hook("signed") };
    catalog.record_hooks(&[heard(signed, saying("eve", true))]).await.unwrap();
    let facts = clip(&*catalog, "signed").await.facts;
    assert_eq!((facts.tenant, facts.public), (Some("acme".parse().unwrap()), Some(false)));
    assert_eq!(facts.model.as_deref(), Some("model-of-eve"));
}

async fn h02_a_delivery_that_ends_nothing_adds_nothing(bed: Bed) {
    let catalog = bed.open().await;
    let started = HookRecord { status: GenerationStatus::Pending, clips: Vec::new(), ..hook("r") };
    let first = Facts { tenant: Some("acme".parse().unwrap()), ..Facts::default() };
    catalog.record_hooks(&[heard(started.clone(), first.clone())]).await.unwrap();
    let again = heard(started, saying("acme", true));
    assert_eq!(catalog.record_hooks(&[again]).await.unwrap(), [HookOutcome::Duplicate]);
    assert_eq!(catalog.generation(&id("r")).await.unwrap().unwrap().facts, first);
}

async fn h02_a_registration_is_stronger_than_a_query(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", saying("acme", false))).await.unwrap();
    catalog.record_hooks(&[heard(hook("r"), saying("eve", true))]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.facts, saying("acme", false));
    // One that comes later fills in what nobody said yet.
    catalog.record_hooks(&[hook("late")]).await.unwrap();
    catalog.register(&registration("late", saying("acme", false))).await.unwrap();
    catalog.record_hooks(&[heard(hook("late"), saying("eve", true))]).await.unwrap();
    assert_eq!(clip(&*catalog, "late").await.facts, saying("acme", false));
}

async fn h02_what_was_found_in_the_store_learns_from_its_first_webhook(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[adopted("found", 0)]).await.unwrap();
    catalog.record_hooks(&[heard(hook("found"), saying("acme", false))]).await.unwrap();
    catalog.record_hooks(&[heard(hook("found"), saying("eve", true))]).await.unwrap();
    let row = clip(&*catalog, "found").await;
    assert_eq!((row.provider, row.facts), (Provider::fal(), saying("acme", false)));
}

/// Signed itself, not said by a query.
async fn h02_one_more_delivery_opens_no_clip_that_is_there(bed: Bed) {
    let catalog = bed.open().await;
    let opens = Facts { public: Some(true), seed: Some(7_u64.into()), ..Facts::default() };
    let started = HookRecord { status: GenerationStatus::Pending, clips: Vec::new(), ..hook("r") };
    for (request_id, started) in [("r", Some(started)), ("s", None)] {
        catalog.record_hooks(&started.into_iter().collect::<Vec<_>>()).await.unwrap();
        catalog.record_hooks(&[hook(request_id)]).await.unwrap();
        let mut again = HookRecord { facts: opens.clone(), ..hook(request_id) };
        again.clips.push(clipkeep_core::generation::NewClip {
            key: format!("{request_id}.1.mp4").parse().unwrap(),
            index: 1,
            slot: "/more".to_owned(),
            ..again.clips[0].clone()
        });
        catalog.record_hooks(&[again]).await.unwrap();
        for key in [format!("{request_id}.mp4"), format!("{request_id}.1.mp4")] {
            let facts = catalog.clip(&key.parse().unwrap()).await.unwrap().unwrap().facts;
            // What opens nothing counts.
            assert_eq!((facts.public, facts.seed), (None, Some(7_u64.into())), "{key}");
        }
        // A registration says what nobody said.
        catalog.register(&registration(request_id, opens.clone())).await.unwrap();
        assert_eq!(clip(&*catalog, request_id).await.facts.public, Some(true));
    }
    // The delivery that ends it may; and one may close.
    let started = HookRecord { status: GenerationStatus::Pending, clips: Vec::new(), ..hook("t") };
    catalog.record_hooks(&[started, HookRecord { facts: opens.clone(), ..hook("t") }]).await.unwrap();
    assert_eq!(clip(&*catalog, "t").await.facts.public, Some(true));
    let closes = Facts { public: Some(false), ..Facts::default() };
    catalog.record_hooks(&[hook("u"), HookRecord { facts: closes, ..hook("u") }]).await.unwrap();
    assert_eq!(clip(&*catalog, "u").await.facts.public, Some(false));
}
