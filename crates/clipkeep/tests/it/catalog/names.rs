//! Who holds the clip names of a request id.

use clipkeep::catalog::{CatalogError, Registration};
use clipkeep_core::{
    generation::{Facts, HookRecord},
    id::{Provider, Tenant},
    state::GenerationStatus,
};

use super::{Bed, clip, hook, id, on_both, registration};

on_both![
    a_confirmed_generation_holds_its_names_before_it_has_clips,
    what_a_tenant_registers_holds_nothing_and_yields,
    what_another_tenant_said_first_does_not_count_once_it_is_confirmed,
    of_two_that_come_at_once_one_has_the_names,
];

fn of(name: &str) -> Facts {
    Facts { tenant: Some(tenant(name)), ..Facts::default() }
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn luma() -> Provider {
    "luma".parse().unwrap()
}

fn lumas(request_id: &str) -> HookRecord {
    HookRecord { provider: luma(), ..hook(request_id) }
}

fn is_taken<T: std::fmt::Debug>(told: Result<T, CatalogError>, by: &Provider) {
    assert!(matches!(&told, Err(CatalogError::KeyTaken { provider, .. }) if provider == by), "{told:?}");
}

async fn a_confirmed_generation_holds_its_names_before_it_has_clips(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", Facts::default())).await.unwrap();
    for _ in 0..2 {
        is_taken(catalog.record_hooks(&[lumas("r")]).await, &Provider::fal());
    }
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.provider, Provider::fal());
    // One that brings no clips yet needs no names, and takes none.
    let started = HookRecord { status: GenerationStatus::Pending, clips: vec![], ..lumas("r") };
    catalog.record_hooks(&[started]).await.unwrap();
    is_taken(catalog.record_hooks(&[lumas("r")]).await, &Provider::fal());
}

async fn what_a_tenant_registers_holds_nothing_and_yields(bed: Bed) {
    let catalog = bed.open().await;
    let squatting = Registration { provider: luma(), ..registration("r", Facts::default()) };
    catalog.register_own(&tenant("b"), &squatting).await.unwrap().unwrap();
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.provider, Provider::fal());
    let over = catalog.own_generation(&tenant("b"), &id("r")).await.unwrap().unwrap();
    assert_eq!((over.status, over.poll_at), (GenerationStatus::Failed, None));
    assert!(over.error.unwrap().contains("belong to a generation of fal"));
    is_taken(catalog.register_own(&tenant("b"), &squatting).await, &Provider::fal());
    is_taken(catalog.record_hooks(&[lumas("r")]).await, &Provider::fal());
}

async fn what_another_tenant_said_first_does_not_count_once_it_is_confirmed(bed: Bed) {
    let catalog = bed.open().await;
    let said = |prompt: &str| Facts { prompt: Some(prompt.to_owned()), public: Some(true), ..Facts::default() };
    for request_id in ["r", "s", "t"] {
        catalog.register_own(&tenant("b"), &registration(request_id, said("theirs"))).await.unwrap().unwrap();
    }
    let whose = async |request_id: &str| {
        let known = catalog.generation(&id(request_id)).await.unwrap().unwrap().facts;
        (known.tenant.map(|tenant| tenant.to_string()), known.prompt, known.public)
    };
    catalog.register(&registration("r", of("a"))).await.unwrap();
    catalog.record_hooks(&[HookRecord { facts: of("a"), ..hook("s") }]).await.unwrap();
    for request_id in ["r", "s"] {
        assert_eq!(whose(request_id).await, (Some("a".to_owned()), None, None), "{request_id}");
    }
    assert_eq!(clip(&*catalog, "s").await.facts.tenant, Some(tenant("a")));
    // Whoever names no tenant takes it from nobody; and what is confirmed stays.
    catalog.record_hooks(&[hook("t")]).await.unwrap();
    catalog.register(&registration("t", of("a"))).await.unwrap();
    assert_eq!(whose("t").await, (Some("b".to_owned()), Some("theirs".to_owned()), Some(true)));
}

async fn of_two_that_come_at_once_one_has_the_names(bed: Bed) {
    let (one, other) = (bed.open().await, bed.open().await);
    for number in 0..20 {
        let request_id = format!("r{number}");
        let registered = registration(&request_id, Facts::default());
        let (hook, early) = ([lumas(&request_id)], [hook(&request_id)]);
        let (theirs, ours, told) =
            tokio::join!(one.record_hooks(&hook), other.record_hooks(&early), other.register(&registered));
        told.unwrap();
        assert!(theirs.is_ok() != ours.is_ok(), "{theirs:?} {ours:?}");
        let holder = if theirs.is_ok() { luma() } else { Provider::fal() };
        assert_eq!(clip(&*one, &request_id).await.provider, holder);
    }
}
