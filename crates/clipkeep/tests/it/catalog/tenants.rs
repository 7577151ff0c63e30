//! One tenant's rows.

use clipkeep::catalog::{Catalog, page::Value, postgres as pg, sqlite as lite, tenants::Own};
use clipkeep_core::{
    event::{EventType, Position},
    generation::{Facts, HookRecord},
    id::{Provider, Tenant},
};

use super::{
    Bed, HOUR, at, hook, id, key, on_both,
    plans::{postgres_plan, postgres_with_many, sqlite_plan},
    queue, registration, story,
};

on_both![
    registering_what_is_anothers_or_nobodys_touches_none_of_it,
    a_tenant_finds_its_own_generation_among_providers,
    clips_at_risk_are_the_tenants_own,
    of_others_events_there_is_only_the_position,
];

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn of(name: &str) -> Facts {
    Facts { tenant: Some(tenant(name)), ..Facts::default() }
}

fn hook_of(request_id: &str, name: &str) -> HookRecord {
    let mut hook = HookRecord { facts: of(name), ..hook(request_id) };
    hook.clips[0].source_expires_at = Some(at(HOUR));
    hook
}

async fn registering_what_is_anothers_or_nobodys_touches_none_of_it(bed: Bed) {
    let catalog = bed.open().await;
    let found = super::adoption::adopted("found", 0);
    catalog.record_hooks(&[hook_of("theirs", "b"), hook("nobodys"), hook_of("own", "a"), found]).await.unwrap();
    let facts = || Facts { prompt: Some("p".to_owned()), ..Facts::default() };
    for request_id in ["theirs", "nobodys", "found"] {
        let before = (catalog.generation(&id(request_id)).await.unwrap(), story(&*catalog, request_id).await);
        let told = catalog.register_own(&tenant("a"), &registration(request_id, facts())).await.unwrap();
        assert!(matches!(&told, Own::Claimed(row) if row.facts.prompt.as_deref() == Some("p")), "{told:?}");
        let after = (catalog.generation(&id(request_id)).await.unwrap(), story(&*catalog, request_id).await);
        assert_eq!(after, before, "{request_id}");
    }
    for request_id in ["own", "new"] {
        let told = match catalog.register_own(&tenant("a"), &registration(request_id, facts())).await.unwrap() {
            Own::Confirmed(row) if request_id == "own" => row,
            Own::Claimed(row) if request_id == "new" => row,
            odd => panic!("{odd:?}"),
        };
        assert_eq!((told.facts.tenant, told.facts.prompt.as_deref()), (Some(tenant("a")), Some("p")), "{request_id}");
    }
}

async fn a_tenant_finds_its_own_generation_among_providers(bed: Bed) {
    let catalog = bed.open().await;
    let mut other = registration("r", Facts::default());
    other.provider = "replicate".parse().unwrap();
    catalog.register_own(&tenant("b"), &other).await.unwrap();
    catalog.record_hooks(&[hook_of("r", "a")]).await.unwrap();
    for (name, provider) in [("a", Some("fal")), ("b", Some("replicate")), ("c", None)] {
        let found = catalog.own_generation(&tenant(name), &id("r")).await.unwrap();
        let found = found.map(|own| match own {
            Own::Confirmed(row) | Own::Claimed(row) => row,
        });
        assert_eq!(found.as_ref().map(|found| Provider::as_str(&found.provider)), provider, "{name}");
    }
}

async fn clips_at_risk_are_the_tenants_own(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook_of("a1", "a"), hook_of("a2", "a"), hook_of("b1", "b"), hook("n")]).await.unwrap();
    queue::store(&*catalog, "a2").await;
    let at_risk = async |name: &str, until| {
        let clips = catalog.own_at_risk(&tenant(name), until, 9).await.unwrap();
        clips.into_iter().map(|clip| clip.request_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(at_risk("a", at(HOUR)).await, ["a1"]);
    assert_eq!(at_risk("b", at(HOUR)).await, ["b1"]);
    assert!(at_risk("a", at(HOUR - 1)).await.is_empty() && at_risk("c", at(HOUR)).await.is_empty());
}

async fn of_others_events_there_is_only_the_position(bed: Bed) {
    let catalog = bed.open().await;
    let start = Position { tx: 0, id: 0 };
    catalog.record_hooks(&[hook_of("a1", "a"), hook_of("b1", "b"), hook("n")]).await.unwrap();
    for request_id in ["a1", "b1", "n"] {
        let deleted = catalog.delete(&key(&format!("{request_id}.mp4")), at(1), at(2), "by request").await;
        deleted.unwrap();
    }
    let all = told(&*catalog, start, 3).await;
    for name in ["a", "b", "c"] {
        let own = catalog.own_events(&tenant(name), start, 9).await.unwrap();
        assert_eq!(own.iter().map(|(position, _)| *position).collect::<Vec<_>>(), all, "{name}");
        let own: Vec<_> = own.into_iter().filter_map(|(_, event)| event).collect();
        let expected = if name == "c" { vec![] } else { vec![(EventType::ClipDeleted, id(&format!("{name}1")))] };
        assert_eq!(
            own.into_iter().map(|event| (event.kind, event.request_id().unwrap().clone())).collect::<Vec<_>>(),
            expected,
            "{name}"
        );
    }
    assert!(catalog.own_events(&tenant("a"), all[2], 9).await.unwrap().is_empty());
}

/// The places of all events, once there are so many: PostgreSQL holds back what
/// is younger than the oldest transaction that is open anywhere.
async fn told(catalog: &dyn Catalog, start: Position, count: usize) -> Vec<Position> {
    let began = tokio::time::Instant::now();
    loop {
        let events = catalog.events(start, 9).await.unwrap();
        if events.len() >= count {
            return events.into_iter().map(|(position, _)| position).collect();
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "events do not come");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_tenants_clips_and_events_are_found_by_index() {
    let bed = Bed::sqlite();
    bed.open().await;
    let (name, one) = (Value::Text("t".into()), Value::Int(1));
    let plan = sqlite_plan(&bed, lite::tenants::AT_RISK, &[name, one.clone(), one.clone()]);
    assert!(plan.contains("clips_tenant_at_risk") && !plan.contains("TEMP B-TREE"), "{plan}");
    let plan = sqlite_plan(&bed, lite::tenants::EVENTS, &[one.clone(), one]);
    assert!(!plan.contains("SCAN g") && !plan.contains("TEMP B-TREE"), "{plan}");
    let client = postgres_with_many().await;
    let plan = postgres_plan(&client, pg::tenants::AT_RISK, &[&"t20", &1_000_i64, &9_i64]).await;
    assert!(plan.contains("clips_tenant_at_risk") && !plan.contains("Seq Scan"), "{plan}");
    let plan = postgres_plan(&client, pg::tenants::EVENTS, &[&0_i64, &0_i64, &9_i64, &i64::MAX]).await;
    assert!(!plan.contains("Seq Scan on generations"), "{plan}");
}
