//! Budgets: told of once, with their events.

use std::time::Duration;

use clipkeep::{
    catalog::{
        Catalog, UsageFilter,
        budgets::{BudgetAlarm, BudgetCheck, BudgetUse},
        outbox::{DeliveryOutcome, DeliveryResult},
    },
    costs::BudgetWatch,
};
use clipkeep_core::{
    config::{Config, Layers},
    cost::{BudgetFor, PriceList},
    event::{Event, EventType, Position},
    generation::{Facts, HookRecord},
    id::Tenant,
    time::Timestamp,
};

use super::{Bed, HOUR, at, hook, on_both};

on_both![
    a_budget_is_told_of_once_for_each_month_amount_and_threshold,
    an_alarm_whose_event_cannot_be_written_is_told_later,
    nodes_that_look_at_once_tell_once,
    a_tenant_hears_of_its_own_budget_and_of_no_other,
    an_event_about_no_generation_waits_and_is_listed_like_any,
    older_events_keep_their_generations,
    each_month_is_weighed_and_told_of_anew,
    h51_a_month_that_is_over_is_weighed_against_its_own_budgets,
    h51_many_tenants_are_weighed_turn_by_turn_and_kept,
];

fn used(tenant: Option<&str>) -> BudgetUse {
    BudgetUse {
        tenant: tenant.map(|name| name.parse().unwrap()),
        month: "2027-01".to_owned(),
        price_list: "aws-s3-standard".to_owned(),
        currency: "USD".to_owned(),
        budget: "10".parse().unwrap(),
        spent: "8.5".parse().unwrap(),
        percent: 85,
        of: BudgetFor::All,
    }
}

fn alarm(tenant: Option<&str>, threshold: u64) -> BudgetAlarm {
    BudgetAlarm { used: used(tenant), threshold }
}

async fn told(catalog: &dyn Catalog, count: usize) -> Vec<(Position, Event)> {
    let began = tokio::time::Instant::now();
    loop {
        let events = catalog.events(Position { tx: i64::MIN, id: i64::MIN }, 1000).await.unwrap();
        if events.len() >= count || began.elapsed() > crate::support::eventually::PATIENCE {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_budget_is_told_of_once_for_each_month_amount_and_threshold(bed: Bed) {
    let catalog = bed.open().await;
    let first = alarm(None, 80);
    assert!(catalog.emit_budget_alarm(&first, at(1)).await.unwrap());
    assert!(!catalog.emit_budget_alarm(&first, at(2)).await.unwrap());
    // More was spent since: the same alarm.
    let of = |used| BudgetAlarm { used, threshold: 80 };
    assert!(!catalog.emit_budget_alarm(&of(BudgetUse { percent: 90, ..used(None) }), at(2)).await.unwrap());
    // A restart, and another node.
    assert!(!bed.open().await.emit_budget_alarm(&first, at(3)).await.unwrap());
    let others = [
        alarm(None, 100),
        alarm(Some("acme"), 80),
        of(BudgetUse { month: "2027-02".to_owned(), ..used(None) }),
        of(BudgetUse { budget: "10.5".parse().unwrap(), ..used(None) }),
        of(BudgetUse { price_list: "cloudflare-r2".to_owned(), ..used(None) }),
    ];
    for other in &others {
        assert!(catalog.emit_budget_alarm(other, at(4)).await.unwrap(), "{other:?}");
    }
    let events = told(&*catalog, 6).await;
    assert_eq!(events.len(), 6);
    let (_, event) = &events[0];
    assert_eq!((event.kind, event.at, &event.generation, &event.key), (EventType::BudgetExceeded, at(1), &None, &None));
    assert_eq!((event.subject(), &event.tenant), ("all", &None));
    assert_eq!(event.reason().unwrap(), "2027-01, all together: 8.50 of 10.00 USD are spent (85 %)");
    let data = event.detail_json().unwrap();
    assert_eq!((&data["budget"], &data["spent"], &data["threshold"]), (&"10.00".into(), &"8.50".into(), &80.into()));
    assert_eq!(events[2].1.tenant.as_ref().map(Tenant::as_str), Some("acme"));
}

/// As after a power cut between the two: neither is there without the other.
async fn an_alarm_whose_event_cannot_be_written_is_told_later(bed: Bed) {
    let catalog = bed.open().await;
    bed.execute("CREATE UNIQUE INDEX stumble ON events (type)").await;
    assert!(catalog.emit_budget_alarm(&alarm(None, 80), at(1)).await.unwrap());
    assert!(catalog.emit_budget_alarm(&alarm(None, 100), at(1)).await.is_err());
    bed.execute("DROP INDEX stumble").await;
    assert!(catalog.emit_budget_alarm(&alarm(None, 100), at(2)).await.unwrap());
    assert_eq!(told(&*catalog, 2).await.len(), 2);
}

async fn nodes_that_look_at_once_tell_once(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    let tellers: Vec<_> = (0..8)
        .map(|n: usize| {
            let catalog = nodes[n % 2].clone();
            tokio::spawn(async move { catalog.emit_budget_alarm(&alarm(Some("acme"), 100), at(1)).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for teller in tellers {
        winners += usize::from(teller.await.unwrap());
    }
    assert_eq!((winners, told(&*nodes[0], 1).await.len()), (1, 1));
}

async fn a_tenant_hears_of_its_own_budget_and_of_no_other(bed: Bed) {
    let catalog = bed.open().await;
    for whose in [None, Some("acme"), Some("other")] {
        assert!(catalog.emit_budget_alarm(&alarm(whose, 80), at(1)).await.unwrap());
    }
    told(&*catalog, 3).await;
    for (name, heard) in [("acme", 1), ("other", 1), ("all", 0)] {
        let own = catalog.own_events(&name.parse().unwrap(), Position { tx: 0, id: 0 }, 9).await.unwrap();
        assert_eq!(own.len(), 3, "the places are everybody's");
        let own: Vec<_> = own.into_iter().filter_map(|(_, event)| event).collect();
        assert_eq!(own.len(), heard, "{name}");
        assert!(own.iter().all(|event| event.tenant.as_ref().unwrap().as_str() == name));
    }
}

async fn an_event_about_no_generation_waits_and_is_listed_like_any(bed: Bed) {
    let catalog = bed.open().await;
    let lease = catalog.claim_endpoint("app", &"n".to_owned(), at(0), Duration::from_secs(60)).await.unwrap().unwrap();
    catalog.emit_budget_alarm(&alarm(Some("acme"), 80), at(1)).await.unwrap();
    let (position, event) = told(&*catalog, 1).await.remove(0);
    let outcome =
        DeliveryOutcome::Waiting { attempts: 1, first_at: at(1), next_at: at(2), why: "it is away".to_owned() };
    let settled = [DeliveryResult { position, subject: event.subject().to_owned(), outcome }];
    assert!(catalog.ack(&lease, Some(position), &settled, at(1)).await.unwrap());
    assert_eq!(catalog.waiting_deliveries(9).await.unwrap()[0].delivery.event, event);
    assert_eq!(catalog.due_deliveries("app", at(3), 9).await.unwrap()[0].event, event);
    assert_eq!(catalog.list_events(Some(EventType::BudgetExceeded), None, 9).await.unwrap()[0].1, event);
}

async fn older_events_keep_their_generations(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    catalog.delete(&super::key("r.mp4"), at(1), at(2), "by request").await.unwrap();
    let events = told(&*catalog, 1).await;
    let ids = events[0].1.generation.as_ref().map(|(provider, id)| (provider.as_str(), id.as_str()));
    assert_eq!((ids, &events[0].1.tenant), (Some(("fal", "r")), &None));
}

/// What one look at `now` tells: whose, month, threshold.
async fn look(catalog: &dyn Catalog, now: Timestamp) -> Vec<(Option<String>, String, u64)> {
    look_at(catalog, now, "all:1@aws-s3-standard, tenant=*:0.5@aws-s3-standard").await
}

/// The same with these budgets: turn by turn, as a node does.
async fn look_at(catalog: &dyn Catalog, now: Timestamp, budgets: &str) -> Vec<(Option<String>, String, u64)> {
    let watch = watch(budgets);
    let check = BudgetCheck { now, plan: watch.plan(), rest: Duration::ZERO };
    let mut told = Vec::new();
    while let Some(turn) = catalog.claim_budget_check(&check).await.unwrap() {
        let then = watch.of_plan(&turn.plan);
        let mut used = Vec::new();
        if turn.is_first {
            used.extend(then.used_by_all(catalog, turn.moment).await.unwrap());
        }
        for tenant in &turn.tenants {
            used.extend(then.used_by(catalog, turn.moment, tenant).await.unwrap());
        }
        for alarm in used.iter().flat_map(BudgetUse::alarms) {
            if catalog.emit_budget_alarm(&alarm, now).await.unwrap() {
                let whose = alarm.used.tenant.map(|tenant| tenant.to_string());
                told.push((whose, alarm.used.month, alarm.threshold));
            }
        }
        catalog.finish_budget_check(&turn, &used, &check).await.unwrap();
        if turn.is_last && turn.moment == now {
            break;
        }
    }
    told
}

fn watch(budgets: &str) -> BudgetWatch {
    let given = [("budgets", budgets.to_owned()), ("generation_prices", "model=m:0.50".to_owned())];
    let config = Config::from_layers(Layers::new().with_flags(given)).unwrap();
    BudgetWatch::new(&config, &PriceList::built_in()).unwrap()
}

fn generated(request_id: &str, tenant: &str, received_at: Timestamp) -> HookRecord {
    let facts = Facts { model: Some("m".to_owned()), tenant: Some(tenant.parse().unwrap()), ..Facts::default() };
    HookRecord { facts, received_at, ..hook(request_id) }
}

fn told_of(whose: Option<&str>, month: &str, threshold: u64) -> (Option<String>, String, u64) {
    (whose.map(str::to_owned), month.to_owned(), threshold)
}

async fn each_month_is_weighed_and_told_of_anew(bed: Bed) {
    const MONTH: i64 = 30 * 24 * HOUR;
    let catalog = bed.open().await;
    let told = told_of;
    catalog.record_hooks(&[generated("a", "acme", at(0))]).await.unwrap();
    // Half of all that may be spent, and all of acme's.
    let january = [told(Some("acme"), "2027-01", 80), told(Some("acme"), "2027-01", 100)];
    assert_eq!(look(&*catalog, at(HOUR)).await, january);
    catalog.record_hooks(&[generated("b", "acme", at(2 * HOUR))]).await.unwrap();
    let all = [told(None, "2027-01", 80), told(None, "2027-01", 100)];
    assert_eq!(look(&*catalog, at(3 * HOUR)).await, all);
    assert_eq!(look(&*catalog, at(4 * HOUR)).await, []);
    // A new month begins with nothing.
    assert_eq!(look(&*catalog, at(MONTH)).await, []);
    catalog.record_hooks(&[generated("c", "acme", at(MONTH))]).await.unwrap();
    let february = [told(Some("acme"), "2027-02", 80), told(Some("acme"), "2027-02", 100)];
    assert_eq!(look(&*catalog, at(MONTH + HOUR)).await, february);
}

async fn h51_a_month_that_is_over_is_weighed_against_its_own_budgets(bed: Bed) {
    // The first of February.
    const MONTH: i64 = 17 * 24 * HOUR;
    let catalog = bed.open().await;
    let (wide, narrow) = ("tenant=*:10@aws-s3-standard", "tenant=*:0.5@aws-s3-standard");
    catalog.record_hooks(&[generated("a", "acme", at(0))]).await.unwrap();
    assert_eq!(look_at(&*catalog, at(HOUR), wide).await, []);
    // Narrowed on the first of the month: February's business.
    assert_eq!(look_at(&*catalog, at(MONTH + HOUR), narrow).await, []);
    catalog.record_hooks(&[generated("b", "acme", at(MONTH + HOUR))]).await.unwrap();
    let february = [told_of(Some("acme"), "2027-02", 80), told_of(Some("acme"), "2027-02", 100)];
    assert_eq!(look_at(&*catalog, at(MONTH + 2 * HOUR), narrow).await, february);
    // Widened on the first of the next: what February's last hours cost is still told.
    let catalog = bed.open().await;
    catalog.record_hooks(&[generated("c", "late", at(MONTH + 3 * HOUR))]).await.unwrap();
    let late = [told_of(Some("late"), "2027-02", 80), told_of(Some("late"), "2027-02", 100)];
    assert_eq!(look_at(&*catalog, at(MONTH + 28 * 24 * HOUR + HOUR), wide).await, late);
}

async fn h51_many_tenants_are_weighed_turn_by_turn_and_kept(bed: Bed) {
    let catalog = bed.open().await;
    let named = |number: u32| format!("t{number:03}");
    for number in 0..120 {
        let clips = if number == 77 { 2 } else { 1 };
        let made = |clip| generated(&format!("{number}-{clip}"), &named(number), at(0));
        catalog.record_hooks(&(0..clips).map(made).collect::<Vec<_>>()).await.unwrap();
    }
    let budgets = "tenant=t005:0.4@aws-s3-standard, tenant=*:1@aws-s3-standard";
    let (watch, now) = (watch(budgets), at(HOUR));
    let check = BudgetCheck { now, plan: watch.plan(), rest: Duration::from_secs(30) };
    let mut turns = Vec::new();
    while let Some(turn) = catalog.claim_budget_check(&check).await.unwrap() {
        assert_eq!(catalog.claim_budget_check(&check).await.unwrap(), None, "two nodes never weigh at once");
        let mut used = Vec::new();
        for tenant in &turn.tenants {
            used.extend(watch.used_by(&*catalog, turn.moment, tenant).await.unwrap());
        }
        catalog.finish_budget_check(&turn, &used, &check).await.unwrap();
        turns.push(turn.tenants.len());
    }
    assert_eq!(turns, [50, 50, 20], "and then all rest");
    let shown = watch.shown(&*catalog, now, &UsageFilter::default(), None).await.unwrap();
    let most: Vec<_> =
        shown.iter().take(3).map(|one| (one.tenant.as_ref().unwrap().to_string(), one.percent)).collect();
    assert_eq!(most[..2], [("t005".to_owned(), 125), ("t077".to_owned(), 100)]);
    assert_eq!((shown.len(), most[2].1), (100, 50));
    assert_eq!(catalog.count_used_up("2027-01").await.unwrap(), 2);
    let spent: Vec<_> = watch.readings(&*catalog, now).await.unwrap().into_iter().map(|(_, spent)| spent).collect();
    assert_eq!(spent, ["0.5".parse().unwrap(), "1".parse().unwrap()], "of each budget by who used up most");
    assert_eq!(catalog.count_used_up("2027-02").await.unwrap(), 0);
}
