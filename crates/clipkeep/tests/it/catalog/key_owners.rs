//! Who holds the clip names of a request id.

use clipkeep::catalog::{CatalogError, HookOutcome, Registration, tenants::Own};
use clipkeep_core::{
    event::EventType,
    generation::{Facts, HookRecord, Origin},
    id::{Provider, Tenant},
    state::GenerationStatus,
};

use super::{Bed, clip, hook, id, on_both, registration};

on_both![
    a_confirmed_generation_holds_its_names_before_it_has_clips,
    what_a_tenant_registers_holds_nothing_and_yields,
    what_another_tenant_said_first_does_not_count_once_it_is_confirmed,
    of_two_that_come_at_once_one_has_the_names,
    h53_an_import_a_hook_and_a_tenant_that_take_one_name_at_once,
    h52_what_a_tenant_claims_counts_once_it_is_the_tenants,
    h52_a_claim_that_is_given_up_takes_no_names_and_is_not_told,
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
    let claim = catalog.register_own(&tenant("b"), &squatting).await.unwrap();
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!(clip(&*catalog, "r").await.provider, Provider::fal());
    // Its tenant sees what it saw before, and the world is told nothing.
    assert!(matches!(&claim, Own::Claimed(row) if row.status == GenerationStatus::Pending), "{claim:?}");
    assert_eq!(catalog.own_generation(&tenant("b"), &id("r")).await.unwrap().as_ref(), Some(&claim));
    assert_eq!(catalog.register_own(&tenant("b"), &squatting).await.unwrap(), claim);
    assert!(catalog.list_events(Some(EventType::GenerationFailed), None, 9).await.unwrap().is_empty());
    is_taken(catalog.record_hooks(&[lumas("r")]).await, &Provider::fal());
}

async fn what_another_tenant_said_first_does_not_count_once_it_is_confirmed(bed: Bed) {
    let catalog = bed.open().await;
    let said = |prompt: &str| Facts { prompt: Some(prompt.to_owned()), public: Some(true), ..Facts::default() };
    for request_id in ["r", "s", "t"] {
        catalog.register_own(&tenant("b"), &registration(request_id, said("theirs"))).await.unwrap();
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

async fn h52_what_a_tenant_claims_counts_once_it_is_the_tenants(bed: Bed) {
    let catalog = bed.open().await;
    let said = |prompt: &str| Facts { prompt: Some(prompt.to_owned()), ..Facts::default() };
    let claims = async |request_id: &str| {
        for name in ["b", "a"] {
            catalog.register_own(&tenant(name), &registration(request_id, said(name))).await.unwrap();
        }
    };
    claims("hooked").await;
    catalog.record_hooks(&[HookRecord { facts: of("a"), ..hook("hooked") }]).await.unwrap();
    claims("registered").await;
    catalog.register(&registration("registered", of("a"))).await.unwrap();
    // Nobody's first, then known to be a's.
    catalog.record_hooks(&[hook("nobodys")]).await.unwrap();
    claims("nobodys").await;
    catalog.register(&registration("nobodys", of("a"))).await.unwrap();
    for request_id in ["hooked", "registered", "nobodys"] {
        let Some(Own::Confirmed(row)) = catalog.own_generation(&tenant("a"), &id(request_id)).await.unwrap() else {
            panic!("{request_id}")
        };
        assert_eq!(row.facts.prompt.as_deref(), Some("a"), "{request_id}");
        let others = catalog.own_generation(&tenant("b"), &id(request_id)).await.unwrap();
        assert!(matches!(&others, Some(Own::Claimed(row)) if row.facts.prompt.as_deref() == Some("b")), "{others:?}");
    }
    assert_eq!(clip(&*catalog, "nobodys").await.facts.prompt.as_deref(), Some("a"));
}

async fn h52_a_claim_that_is_given_up_takes_no_names_and_is_not_told(bed: Bed) {
    let catalog = bed.open().await;
    let given_up = |request_id: &str| HookRecord {
        status: GenerationStatus::Failed,
        error: Some("no result came".to_owned()),
        clips: vec![],
        origin: Origin::Nobody,
        ..hook(request_id)
    };
    let claim = catalog.register_own(&tenant("b"), &registration("r", Facts::default())).await.unwrap();
    catalog.register(&registration("s", of("b"))).await.unwrap();
    catalog.record_hooks(&[given_up("r"), given_up("s")]).await.unwrap();
    let told = catalog.list_events(Some(EventType::GenerationFailed), None, 9).await.unwrap();
    assert_eq!(told.iter().map(|(_, event)| event.request_id().unwrap().as_str()).collect::<Vec<_>>(), ["s"]);
    assert_eq!(catalog.own_generation(&tenant("b"), &id("r")).await.unwrap(), Some(claim));
    // It is asked for no more, and whose it is may still come.
    let row = catalog.generation(&id("r")).await.unwrap().unwrap();
    assert_eq!((row.status, row.poll_at), (GenerationStatus::Failed, None));
    let late = HookRecord { facts: of("a"), ..hook("r") };
    assert!(matches!(&catalog.record_hooks(&[late]).await.unwrap()[..], [HookOutcome::Recorded { .. }]));
    assert_eq!(clip(&*catalog, "r").await.facts.tenant, Some(tenant("a")));
}

async fn h53_an_import_a_hook_and_a_tenant_that_take_one_name_at_once(bed: Bed) {
    let (one, other) = (bed.open().await, bed.open().await);
    for number in 0..20 {
        let request_id = format!("r{number}");
        let mut line = HookRecord { origin: Origin::Import, facts: of("a"), ..lumas(&request_id) };
        line.clips[0].slot = format!("/imports/x/{number}");
        let (line, hook) = ([line], [HookRecord { facts: of("c"), ..hook(&request_id) }]);
        let claim = Registration { provider: luma(), ..registration(&request_id, Facts::default()) };
        let b = tenant("b");
        let (imported, told, claimed) =
            tokio::join!(one.record_hooks(&line), other.record_hooks(&hook), other.register_own(&b, &claim));
        assert!(imported.is_ok() != told.is_ok(), "{imported:?} {told:?}");
        let (holder, whose, loser) = match imported.is_ok() {
            true => (luma(), "a", told),
            false => (Provider::fal(), "c", imported),
        };
        is_taken(loser, &holder);
        let kept = clip(&*one, &request_id).await;
        assert_eq!((&kept.provider, kept.facts.tenant), (&holder, Some(tenant(whose))));
        // Whoever only claims it sees its claim, whenever it came.
        assert!(matches!(claimed.unwrap(), Own::Claimed(_)));
        let own = one.own_generation(&b, &id(&request_id)).await.unwrap();
        assert!(matches!(own, Some(Own::Claimed(row)) if row.status == GenerationStatus::Pending));
        // And it stays so, whoever says it again.
        for again in [&line, &hook] {
            let is_holders = again[0].provider == holder;
            assert_eq!(one.record_hooks(again).await.is_ok(), is_holders);
        }
    }
}
