//! What clips cost, out of the catalogue: the worked example, and a month of
//! traffic that the test reckons by itself.

use std::{collections::BTreeMap, time::Duration};

use clipkeep::{
    catalog::{Catalog, OperationsRow, UsageBatch, UsageFilter, UsageGroup},
    costs::{CostError, CostQuery, CostReport, report},
};
use clipkeep_core::{
    cost::{GenerationPrice, GenerationPrices, Money, PriceList},
    generation::{Facts, HookRecord, Sealed},
    time::Timestamp,
    usage::{Counts, UsageRow},
};
use futures_util::{StreamExt, stream};

use super::{Bed, adoption::adopted, ended, hook, key, on_both, queue::sealed};

on_both![
    a_thousand_clips_of_15_mb_cost_what_the_example_says,
    a_month_of_traffic_costs_what_the_test_reckons,
    what_is_not_told_by_costs_is_refused,
    h51_what_a_clip_costs_by_the_second_counts_when_its_length_is_known,
];

pub(super) const DAY: i64 = 86_400;

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn later(from: Timestamp, secs: i64) -> Timestamp {
    Timestamp::from_millis(from.millis() + secs * 1000)
}

/// A clip that is stored from `at` on.
pub(super) async fn store(catalog: &dyn Catalog, id: &str, size: u64, at: Timestamp) {
    keep(catalog, id, &Sealed { size, ..sealed() }, at, false).await;
}

/// A clip that has these bytes from `at` on: those of its duplicate, or its own.
pub(super) async fn keep(catalog: &dyn Catalog, id: &str, bytes: &Sealed, at: Timestamp, shares: bool) {
    let key = key(&format!("{id}.mp4"));
    let claim = catalog.claim(&key, &"n".into(), at, Duration::from_secs(60)).await.unwrap().unwrap();
    catalog.seal(&claim.lease, bytes, at).await.unwrap();
    if shares {
        let duplicate = catalog.find_duplicate(&key).await.unwrap().unwrap();
        assert!(catalog.mark_shared(&claim.lease, &duplicate, ended(at)).await.unwrap());
        return;
    }
    catalog.mark_stored(&claim.lease, ended(at)).await.unwrap();
}

pub(super) fn priced(currency: &str, prices: &[(&str, &str)]) -> GenerationPrices {
    let price = |(model, price): &(&str, &str)| GenerationPrice {
        model: (*model).to_owned(),
        price: price.parse().unwrap(),
        per_second: false,
    };
    GenerationPrices { currency: currency.to_owned(), prices: prices.iter().map(price).collect() }
}

fn played(hour: Timestamp, id: &str, tenant: &str, bytes: u64) -> UsageRow {
    let counts = Counts { viewer_bytes: bytes, ..Counts::default() };
    UsageRow { hour, key: key(&format!("{id}.mp4")), tenant: tenant.parse().ok(), counts }
}

pub(super) fn batch(seq: i64, rows: Vec<UsageRow>, operations: Vec<OperationsRow>) -> UsageBatch {
    UsageBatch { node: "n".into(), seq, at: time("2027-02-01T00:00:00Z"), rows, operations }
}

pub(super) async fn costs(
    catalog: &dyn Catalog,
    group: UsageGroup,
    (from, to, now): (&str, &str, &str),
    generations: &GenerationPrices,
) -> CostReport {
    let lists = PriceList::built_in();
    let filter = UsageFilter { from: Some(time(from)), to: Some(time(to)), ..UsageFilter::default() };
    let query = CostQuery { filter, group, lists: &lists, generations, after: None, limit: 1000 };
    report(catalog, time(now), &query).await.unwrap()
}

async fn a_thousand_clips_of_15_mb_cost_what_the_example_says(bed: Bed) {
    let catalog = bed.open().await;
    let ids: Vec<String> = (0..1000).map(|n| format!("c{n:03}")).collect();
    let hooks: Vec<_> = ids.iter().map(|id| hook(id)).collect();
    catalog.record_hooks(&hooks).await.unwrap();
    let began = time("2027-02-01T00:00:00Z");
    let storing = ids.iter().map(|id| store(&*catalog, id, 15_000_000, began));
    stream::iter(storing).buffer_unordered(16).collect::<Vec<()>>().await;
    let february = ("2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-03-01T00:00:00Z");
    let stored = costs(&*catalog, UsageGroup::Month, february, &GenerationPrices::default()).await;
    let [s3, r2] = &stored.total.costs[..] else { panic!("two lists") };
    assert_eq!((s3.list.as_str(), s3.total.as_str()), ("aws-s3-standard", "0.345"));
    assert_eq!((r2.list.as_str(), r2.total.as_str()), ("cloudflare-r2", "0.225"));
    assert_eq!(stored.total.byte_hours, 15_000_000_000 * 28 * 24);

    let plays = ids.iter().map(|id| played(time("2027-02-14T12:00:00Z"), id, "", 15_000_000)).collect();
    catalog.add_usage(&batch(1, plays, Vec::new())).await.unwrap();
    let watched = costs(&*catalog, UsageGroup::Clip, february, &GenerationPrices::default()).await;
    let [s3, r2] = &watched.total.costs[..] else { panic!("two lists") };
    assert_eq!((s3.storage.as_str(), s3.egress.as_str(), s3.total.as_str()), ("0.345", "1.35", "1.695"));
    assert_eq!((r2.storage.as_str(), r2.egress.as_str()), ("0.225", "0.00"));
    assert_eq!(s3.cost.egress.percent_of(s3.cost.storage), Some(391), "3.9 times");
    assert_eq!((watched.costs.len(), watched.next), (1000, None));
    assert!(watched.costs.iter().all(|row| row.costs[0].total == "0.001695"));
    assert!(watched.forecast.is_empty(), "the month is over");
}

/// What the test reckons: fractions of dollars with one common denominator, in
/// no way as clipkeep does.
#[derive(Default)]
struct Reckoned {
    /// Bytes times seconds, by day of a month of 31.
    byte_secs: u128,
    bytes: u128,
    generations: u128,
    writes: u128,
    reads: u128,
}

impl Reckoned {
    /// Cents on S3, half up; the month has 31 days.
    fn cents(&self) -> u128 {
        // Everything in 10⁻⁹ byte-seconds' worth of a dollar, times 10⁶.
        let month = 31 * 86_400_u128;
        let storage = self.byte_secs * 23 * 1000;
        let egress = self.bytes * 90 * 1000 * month;
        let generation = self.generations * 50 * 1000 * month * 1_000_000_000;
        // $5 and $0.40 a million are 5 and 0.4 of a millionth.
        let operations = (self.writes * 50 + self.reads * 4) * month * 1_000_000_000 / 10;
        let whole = month * 1_000_000_000 * 1_000_000;
        ((storage + egress + generation + operations) * 200 + whole) / (2 * whole)
    }
}

struct Luck(u64);

impl Luck {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

async fn a_month_of_traffic_costs_what_the_test_reckons(bed: Bed) {
    let catalog = bed.open().await;
    let (began, over) = (time("2027-03-01T00:00:00Z"), 31 * DAY);
    let mut luck = Luck(7);
    let tenants = ["acme", "other", ""];
    let mut reckoned: BTreeMap<String, Reckoned> = BTreeMap::new();
    let mut days: Vec<Reckoned> = (0..31).map(|_| Reckoned::default()).collect();
    let mut rows: BTreeMap<(i64, String, &str), u64> = BTreeMap::new();
    for n in 0..60 {
        let (id, tenant) = (format!("c{n}"), tenants[n % 3]);
        let size = 50_000_000_000 + luck.below(400_000_000_000);
        // Some from the month before, some in it; a third is deleted in it.
        let from = luck.below(40 * 86_400).cast_signed() - 10 * DAY;
        let from = from.min(25 * DAY);
        let until = if n % 3 == 1 { from.max(0) + 1 + luck.below(5 * 86_400).cast_signed() } else { 40 * DAY };
        let mut hook = hook(&id);
        hook.received_at = later(began, from);
        hook.facts.tenant = tenant.parse().ok();
        hook.facts.model = Some(if n % 2 == 0 { "paid" } else { "free" }.to_owned());
        catalog.record_hooks(&[hook]).await.unwrap();
        store(&*catalog, &id, size, later(began, from)).await;
        if until < over {
            let at = later(began, until);
            catalog.delete(&key(&format!("{id}.mp4")), at, at, "by the test").await.unwrap();
        }
        for (day, sums) in days.iter_mut().enumerate() {
            let (start, end) = (day as i64 * DAY, (day as i64 + 1) * DAY);
            let secs = (until.min(end) - from.max(start)).max(0) as u128;
            let plays = if secs > 0 { luck.below(4) } else { 0 };
            let generations = u128::from(n % 2 == 0 && (start..end).contains(&from));
            let hour = start + luck.below(24).cast_signed() * 3600;
            *rows.entry((hour, id.clone(), tenant)).or_default() += plays * size;
            for of in [&mut *sums, reckoned.entry(tenant.to_owned()).or_default()] {
                of.byte_secs += u128::from(size) * secs;
                of.bytes += u128::from(plays * size);
                of.generations += generations;
            }
        }
    }
    more_ways(&*catalog, began, &mut days, &mut reckoned).await;
    let usage =
        rows.iter().map(|((hour, id, tenant), bytes)| played(later(began, *hour), id, tenant, *bytes)).collect();
    let mut operations = Vec::new();
    for (day, sums) in days.iter_mut().enumerate() {
        let hour = later(began, day as i64 * DAY + 5 * 3600);
        let row = OperationsRow { hour, writes: luck.below(3_000_000), reads: luck.below(9_000_000) };
        (sums.writes, sums.reads) = (row.writes.into(), row.reads.into());
        operations.push(row);
    }
    catalog.add_usage(&batch(1, usage, operations)).await.unwrap();

    let price = priced("USD", &[("pai*", "0.05")]);
    let march = ("2027-03-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-05-01T00:00:00Z");
    let by_day = costs(&*catalog, UsageGroup::Day, march, &price).await;
    assert_eq!(by_day.costs.len(), 31);
    for (day, row) in by_day.costs.iter().enumerate() {
        assert_eq!(row.name, format!("2027-03-{:02}", day + 1));
        assert_eq!(row.costs[0].cost.total().cents().unsigned_abs(), days[day].cents(), "{}", row.name);
    }
    let by_tenant = costs(&*catalog, UsageGroup::Tenant, march, &price).await;
    assert_eq!(by_tenant.costs.len(), 3);
    for row in &by_tenant.costs {
        assert_eq!(row.costs[0].cost.total().cents().unsigned_abs(), reckoned[&row.name].cents(), "{}", row.name);
    }
    let mut all = Reckoned::default();
    for day in &days {
        all.byte_secs += day.byte_secs;
        all.bytes += day.bytes;
        all.generations += day.generations;
        all.writes += day.writes;
        all.reads += day.reads;
    }
    let total = by_tenant.total.costs[0].cost.total();
    assert_eq!(total.cents().unsigned_abs(), all.cents());
    assert!(total > "1000".parse::<Money>().unwrap(), "{total}: enough for a cent to be hard to hit");
    assert_eq!(by_tenant.total.costs[1].egress, "0.00");
    for group in [UsageGroup::Clip, UsageGroup::Model, UsageGroup::Prompt, UsageGroup::Month] {
        let other = costs(&*catalog, group, march, &price).await;
        assert_eq!(other.total.costs[0].total, total.to_string(), "{group:?}");
    }

    // In the middle of the month the trend goes on.
    let middle = ("2027-03-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-03-21T00:00:00Z");
    let so_far = costs(&*catalog, UsageGroup::Day, middle, &GenerationPrices::default()).await;
    assert_eq!(so_far.costs.len(), 20);
    let week = ("2027-03-14T00:00:00Z", "2027-03-21T00:00:00Z", "2027-03-21T00:00:00Z");
    let week = costs(&*catalog, UsageGroup::Day, week, &GenerationPrices::default()).await.total.costs[0].cost;
    let expected = so_far.total.costs[0].cost.egress + week.egress.times(11, 7);
    assert_eq!(so_far.forecast[0].cost.egress, expected);
}

/// A clip that shares another one's bytes and outlives it, and one that was found
/// in the store, of which its provider tells ten days later.
async fn more_ways(
    catalog: &dyn Catalog,
    began: Timestamp,
    days: &mut [Reckoned],
    tenants: &mut BTreeMap<String, Reckoned>,
) {
    let acme = Facts { tenant: "acme".parse().ok(), model: Some("paid".to_owned()), ..Facts::default() };
    let bytes = Sealed { size: 700_000_000_000, sha256: "77".repeat(32), ..sealed() };
    // The second is the first by name.
    for (id, day) in [("twin2", 2), ("twin1", 5)] {
        let at = later(began, day * DAY);
        catalog.record_hooks(&[HookRecord { facts: acme.clone(), received_at: at, ..hook(id) }]).await.unwrap();
        keep(catalog, id, &bytes, later(at, 7), id == "twin1").await;
    }
    let at = later(began, 9 * DAY + 1);
    catalog.delete(&key("twin2.mp4"), at, at, "by the test").await.unwrap();

    let at = later(began, 3 * DAY);
    catalog.record_hooks(&[HookRecord { received_at: at, ..adopted("found", 0) }]).await.unwrap();
    store(catalog, "found", 300_000_000_000, at).await;
    let at = later(began, 13 * DAY);
    catalog.record_hooks(&[HookRecord { facts: acme, received_at: at, ..hook("found") }]).await.unwrap();

    let periods = [
        ("acme", 700_000_000_000, 2 * DAY + 7, 31 * DAY),
        ("", 300_000_000_000, 3 * DAY, 13 * DAY),
        ("acme", 300_000_000_000, 13 * DAY, 31 * DAY),
    ];
    for (tenant, size, from, until) in periods {
        tenants.get_mut(tenant).unwrap().byte_secs += size * (until - from) as u128;
        for (day, sums) in days.iter_mut().enumerate() {
            let (start, end) = (day as i64 * DAY, (day as i64 + 1) * DAY);
            sums.byte_secs += size * (until.min(end) - from.max(start)).max(0) as u128;
        }
    }
    for day in [2, 5, 13] {
        days[day].generations += 1;
        tenants.get_mut("acme").unwrap().generations += 1;
    }
}

async fn what_is_not_told_by_costs_is_refused(bed: Bed) {
    let catalog = bed.open().await;
    let lists = PriceList::built_in();
    let now = time("2027-03-01T00:00:00Z");
    let ask = async |group, from: &str| {
        let filter = UsageFilter { from: Some(time(from)), ..UsageFilter::default() };
        let query = CostQuery {
            filter,
            group,
            lists: &lists,
            generations: &GenerationPrices::default(),
            after: None,
            limit: 10,
        };
        report(&*catalog, now, &query).await
    };
    assert!(matches!(ask(UsageGroup::Hour, "2027-01-01T00:00:00Z").await, Err(CostError::Group)));
    assert!(matches!(ask(UsageGroup::Day, "2020-01-01T00:00:00Z").await, Err(CostError::TooLong)));
    let none = ask(UsageGroup::Clip, "2027-01-01T00:00:00Z").await.unwrap();
    assert_eq!((none.costs.len(), none.total.costs[0].total.as_str()), (0, "0.00"));
}

/// Costs of the generations of January, February and March.
async fn by_month(catalog: &dyn Catalog, prices: &GenerationPrices) -> Vec<(String, String)> {
    let span = ("2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-04-01T00:00:00Z");
    let report = costs(catalog, UsageGroup::Month, span, prices).await;
    let rows = report.costs.into_iter().map(|row| (row.name, row.costs[0].generation.clone()));
    rows.filter(|(_, cost)| cost != "0.00").collect()
}

async fn h51_what_a_clip_costs_by_the_second_counts_when_its_length_is_known(bed: Bed) {
    let catalog = bed.open().await;
    let price = |model: &str, price: &str, per_second| GenerationPrice {
        model: model.to_owned(),
        price: price.parse().unwrap(),
        per_second,
    };
    let prices = vec![price("long*", "0.10", true), price("*", "3", false)];
    let prices = GenerationPrices { currency: "USD".to_owned(), prices };
    let facts = |model: &str| Facts { model: Some(model.to_owned()), ..Facts::default() };
    let (january, february) = (time("2027-01-31T23:00:00Z"), time("2027-02-01T01:00:00Z"));
    let of = |id: &str, facts| HookRecord { facts, received_at: january, ..hook(id) };
    catalog.record_hooks(&[of("a", facts("long")), of("b", facts("flat")), of("c", Facts::default())]).await.unwrap();
    assert_eq!(by_month(&*catalog, &prices).await, [("2027-01".to_owned(), "3.00".to_owned())]);
    let mut bytes = sealed();
    bytes.media.duration = Some(20.0);
    keep(&*catalog, "a", &bytes, february, false).await;
    keep(&*catalog, "c", &Sealed { sha256: "c".repeat(64), ..bytes.clone() }, february, false).await;
    let both = [("2027-01".to_owned(), "3.00".to_owned()), ("2027-02".to_owned(), "2.00".to_owned())];
    assert_eq!(by_month(&*catalog, &prices).await, both, "January is over");
    // Which model made it is told in March: then that counts, and its seconds.
    let march = time("2027-03-01T00:00:00Z");
    catalog.record_hooks(&[HookRecord { facts: facts("long-2"), received_at: march, ..hook("c") }]).await.unwrap();
    let all = [&both[..], &[("2027-03".to_owned(), "2.00".to_owned())]].concat();
    assert_eq!(by_month(&*catalog, &prices).await, all);
    // Lost and filled once more, it is paid for once.
    let clip = catalog.clip(&key("a.mp4")).await.unwrap().unwrap();
    assert!(catalog.object_lost(&clip.key, clip.epoch, march, march, "gone").await.unwrap());
    assert_eq!(by_month(&*catalog, &prices).await, all);
    bytes.media.duration = Some(50.0);
    keep(&*catalog, "a", &bytes, later(march, 60), false).await;
    assert_eq!(by_month(&*catalog, &prices).await, all);
}
