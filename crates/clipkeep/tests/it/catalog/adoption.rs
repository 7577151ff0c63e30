//! Objects that were found in the store, and of which their provider tells
//! later.

use clipkeep::catalog::{Catalog, CatalogError, HookOutcome};
use clipkeep_core::{
    generation::{Facts, HookRecord, NewClip, Origin},
    id::Provider,
    secret::SourceUrl,
    state::{ClipState, GenerationStatus},
};

use super::{
    Bed, at, clip, hook, id, key, new_clip, on_both,
    queue::{sealed, store},
    registration, story,
};

on_both![
    a_webhook_takes_over_what_was_found_stored,
    a_lost_one_starts_over_from_its_real_source,
    a_registration_takes_over_too,
    a_known_generation_takes_over_as_well,
    another_providers_clip_is_never_taken_over,
];

/// What `clipkeep sweep --adopt` makes of an object.
pub(super) fn adopted(request_id: &str, index: u32) -> HookRecord {
    let clip = NewClip { slot: "/".to_owned(), ..new_clip(request_id, index) };
    let clip = NewClip { source_url: SourceUrl::own_store(&clip.key), ..clip };
    HookRecord { provider: Provider::adopted(), origin: Origin::Store, clips: vec![clip], ..hook(request_id) }
}

fn facts() -> Facts {
    Facts {
        model: Some("fal-ai/veo3".to_owned()),
        prompt: Some("a fox".to_owned()),
        prompt_hash: Some("h".to_owned()),
        tenant: Some("acme".parse().unwrap()),
        ..Facts::default()
    }
}

/// There is one generation, fal's, completed, with these clips.
async fn is_fals(catalog: &dyn Catalog, request_id: &str, keys: &[&str]) {
    let generation = catalog.generation(&id(request_id)).await.unwrap().unwrap();
    assert_eq!((generation.provider, generation.status), (Provider::fal(), GenerationStatus::Completed));
    let clip_summaries = catalog.clip_summaries(&[id(request_id)]).await.unwrap();
    let mut found: Vec<_> = clip_summaries.iter().map(|clip_summary| clip_summary.key.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, keys);
    assert!(clip_summaries.iter().all(|clip_summary| clip_summary.provider == Provider::fal()));
}

async fn a_webhook_takes_over_what_was_found_stored(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[adopted("r", 0)]).await.unwrap();
    catalog.record_hooks(&[adopted("r", 1)]).await.unwrap();
    store(&*catalog, "r").await;
    // Beside another webhook in one batch.
    let late = HookRecord { facts: facts(), received_at: at(50), ..hook("r") };
    let told = catalog.record_hooks(&[hook("x"), late.clone()]).await.unwrap();
    assert_eq!(told[1], HookOutcome::Recorded { clips: vec![] });
    is_fals(&*catalog, "r", &["r.1.mp4", "r.mp4"]).await;
    let adoption = clip(&*catalog, "r").await;
    assert_eq!((adoption.state, adoption.epoch, adoption.sealed), (ClipState::Stored, 1, Some(sealed())));
    assert_eq!(adoption.source_url.expose(), "https://source.example/r/0.mp4");
    assert_eq!((adoption.facts.prompt.as_deref(), adoption.facts.tenant.unwrap().as_str()), (Some("a fox"), "acme"));
    assert_eq!(story(&*catalog, "r").await.last().unwrap(), "provider_known");
    // The one that the webhook does not name went along, and is awaited in our store as before.
    let other = catalog.clip(&key("r.1.mp4")).await.unwrap().unwrap();
    assert!(other.source_url.is_own_store() && other.facts.prompt.as_deref() == Some("a fox"));
    // From here on all is as ever.
    assert_eq!(catalog.record_hooks(&[late]).await.unwrap(), [HookOutcome::Duplicate]);
    let by_model = clipkeep::catalog::ClipFilter { model: facts().model, ..Default::default() };
    assert_eq!(catalog.clips(&by_model, None, 10).await.unwrap().clips.len(), 2);
}

async fn a_lost_one_starts_over_from_its_real_source(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[adopted("r", 0)]).await.unwrap();
    let claim = catalog
        .claim(&key("r.mp4"), &"n".to_owned(), at(1), std::time::Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap();
    catalog.mark_lost(&claim.lease, super::ended(at(2)), "never came").await.unwrap();
    let told = catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(told, [HookOutcome::Recorded { clips: vec![key("r.mp4")] }]);
    is_fals(&*catalog, "r", &["r.mp4"]).await;
    let clip = clip(&*catalog, "r").await;
    assert_eq!((clip.state, clip.source_url.expose()), (ClipState::Waiting, "https://source.example/r/0.mp4"));
}

async fn a_registration_takes_over_too(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[adopted("r", 0)]).await.unwrap();
    store(&*catalog, "r").await;
    let generation = catalog.register(&registration("r", facts())).await.unwrap();
    assert_eq!((generation.status, generation.poll_at), (GenerationStatus::Completed, None));
    is_fals(&*catalog, "r", &["r.mp4"]).await;
    let clip = clip(&*catalog, "r").await;
    assert_eq!((clip.state, clip.facts.prompt.as_deref()), (ClipState::Stored, Some("a fox")));
    assert!(catalog.claim_polls(at(9999), at(99999), 10).await.unwrap().is_empty());
}

async fn a_known_generation_takes_over_as_well(bed: Bed) {
    let catalog = bed.open().await;
    // Known first, found meanwhile by a node that had not heard.
    catalog.register(&registration("r", facts())).await.unwrap();
    catalog.record_hooks(&[adopted("r", 0)]).await.unwrap();
    store(&*catalog, "r").await;
    let told = catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(told, [HookOutcome::Recorded { clips: vec![] }]);
    is_fals(&*catalog, "r", &["r.mp4"]).await;
    assert_eq!(clip(&*catalog, "r").await.facts.prompt.as_deref(), Some("a fox"));
}

async fn another_providers_clip_is_never_taken_over(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    for provider in [Provider::replicate(), Provider::adopted()] {
        let refused = catalog.record_hooks(&[HookRecord { provider: provider.clone(), ..hook("r") }]).await;
        assert!(matches!(refused, Err(CatalogError::KeyTaken { provider, .. }) if provider == Provider::fal()));
    }
    is_fals(&*catalog, "r", &["r.mp4"]).await;
}
