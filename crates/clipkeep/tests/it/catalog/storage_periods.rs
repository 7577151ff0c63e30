//! Who pays for stored bytes, from when until when; and what that makes of
//! totals, of months that are over, and of forecasts.

use clipkeep::{
    catalog::{Catalog, OperationsRow, Registration, UsageFilter, UsageGroup, open::Database},
    costs::{CostQuery, CostReport, report},
};
use clipkeep_core::{
    cost::{GenerationPrices, Money, PriceList},
    generation::{Facts, HookRecord, Sealed},
    time::Timestamp,
};

use super::{
    Bed,
    adoption::adopted,
    costs::{DAY, batch, costs, keep, later, priced, store, time},
    hook, key, on_both,
    queue::sealed,
    registration,
};

on_both![
    totals_depend_on_no_page,
    a_month_that_is_over_stays_as_it_was,
    the_first_that_stored_shared_bytes_pays_and_then_the_next_by_time,
    bytes_that_come_back_are_paid_for_from_then_on,
    the_last_of_an_object_may_go_at_once_and_nobody_pays,
    a_forecast_of_two_days_has_two_days,
    a_forecast_of_what_only_lies_there_is_exact,
    two_currencies_are_never_added_up,
    operations_are_told_where_they_are_known,
    a_catalogue_from_before_gets_its_storage_periods,
];

const BY: [UsageGroup; 6] =
    [UsageGroup::Clip, UsageGroup::Tenant, UsageGroup::Model, UsageGroup::Prompt, UsageGroup::Day, UsageGroup::Month];
const JANUARY: &str = "2027-01-01T00:00:00Z";
const FEBRUARY: &str = "2027-02-01T00:00:00Z";
const MARCH: &str = "2027-03-01T00:00:00Z";

fn bytes(sha256: &str) -> Sealed {
    Sealed { size: 1_000_000, sha256: sha256.repeat(32), ..sealed() }
}

async fn received(catalog: &dyn Catalog, id: &str, model: &str, tenant: &str, at: Timestamp) {
    let model = (!model.is_empty()).then(|| model.to_owned());
    let facts = Facts { tenant: tenant.parse().ok(), model, prompt_hash: Some(format!("h{id}")), ..Facts::default() };
    catalog.record_hooks(&[HookRecord { facts, received_at: at, ..hook(id) }]).await.unwrap();
}

async fn page(catalog: &dyn Catalog, group: UsageGroup, limit: u32, after: Option<&str>) -> CostReport {
    let lists = PriceList::built_in();
    let generations = priced("USD", &[("*", "0.05")]);
    let filter = UsageFilter { from: Some(time(JANUARY)), to: Some(time(MARCH)), ..UsageFilter::default() };
    let query = CostQuery { filter, group, lists: &lists, generations: &generations, after, limit };
    report(catalog, time(MARCH), &query).await.unwrap()
}

/// Twenty models, so that one name has more lines than a page has names.
async fn totals_depend_on_no_page(bed: Bed) {
    let catalog = bed.open().await;
    for n in 0..60 {
        let (id, at) = (format!("c{n:02}"), later(time(JANUARY), n * DAY / 2));
        received(&*catalog, &id, &format!("m{}", n % 20), ["acme", "other", ""][n as usize % 3], at).await;
        store(&*catalog, &id, 1_000_000_000, later(at, 3600)).await;
    }
    let expected = page(&*catalog, UsageGroup::Month, 1000, None).await.total;
    assert_eq!(expected.costs[0].generation, "3.00");
    for group in BY {
        for limit in [1, 2, 1000] {
            let (mut sum, mut names, mut after) = (Money::ZERO, 0, None);
            loop {
                let told = page(&*catalog, group, limit, after.as_deref()).await;
                assert_eq!(told.total.costs[0].total, expected.costs[0].total, "{group:?} {limit}");
                assert_eq!(told.total.byte_hours, expected.byte_hours, "{group:?} {limit}");
                assert!(told.costs.len() <= limit as usize);
                names += told.costs.len();
                sum = told.costs.iter().map(|row| row.costs[0].cost.total()).fold(sum, |a, b| a + b);
                after = told.next;
                if after.is_none() {
                    break;
                }
            }
            let difference = expected.costs[0].cost.total().attos().abs_diff(sum.attos());
            // What is below an atto is dropped, once in each line.
            assert!(difference < 1000, "{group:?} {limit}: {sum} of {}", expected.costs[0].total);
            let names_of_all = page(&*catalog, group, 1000, None).await.costs.len();
            assert_eq!(names, names_of_all, "{group:?} {limit}");
        }
    }
}

/// What a month came to, by everything.
async fn told(catalog: &dyn Catalog) -> Vec<String> {
    let mut told = Vec::new();
    let generations = priced("USD", &[("*", "0.05")]);
    for group in BY.into_iter().filter(|group| !matches!(group, UsageGroup::Model | UsageGroup::Prompt)) {
        let report = costs(catalog, group, (JANUARY, FEBRUARY, MARCH), &generations).await;
        told.extend(report.costs.iter().chain([&report.total]).map(|row| format!("{group:?} {row:?}")));
    }
    told
}

async fn a_month_that_is_over_stays_as_it_was(bed: Bed) {
    let catalog = bed.open().await;
    let (began, closed) = (time("2027-01-05T00:00:00Z"), later(time(FEBRUARY), 5 * DAY));
    for id in ["deleted", "lost", "named"] {
        received(&*catalog, id, "", "", began).await;
        store(&*catalog, id, 5_000_000, later(began, 60)).await;
    }
    for id in ["owner", "sharer", "third", "priced"] {
        received(&*catalog, id, "m", "acme", began).await;
    }
    store(&*catalog, "priced", 7_000_000, later(began, 60)).await;
    for (id, secs) in [("owner", 60), ("sharer", 120), ("third", 180)] {
        keep(&*catalog, id, &bytes("cd"), later(began, secs), id != "owner").await;
    }
    catalog.record_hooks(&[HookRecord { received_at: began, ..adopted("found", 0) }]).await.unwrap();
    store(&*catalog, "found", 3_000_000, later(began, 60)).await;
    let before = told(&*catalog).await;
    let unchanged = async |what: &str| assert_eq!(told(&*catalog).await, before, "{what}");

    for id in ["deleted", "owner"] {
        catalog.delete(&key(&format!("{id}.mp4")), closed, closed, "by the test").await.unwrap();
        unchanged("a deletion").await;
    }
    for id in ["lost", "priced"] {
        assert!(catalog.object_lost(&key(&format!("{id}.mp4")), 1, closed, closed, "gone").await.unwrap());
        unchanged("a loss").await;
    }
    store(&*catalog, "priced", 9_000_000, later(closed, 60)).await;
    unchanged("bytes that came back").await;
    assert_eq!(catalog.schedule_unsharing(closed, 100).await.unwrap(), 2);
    for unsharing in catalog.claim_unsharing(closed, later(closed, 60), 100).await.unwrap() {
        assert!(catalog.unshared(&unsharing, later(closed, 1), closed).await.unwrap());
        unchanged("an unsharing").await;
    }
    let facts = Facts { tenant: "acme".parse().ok(), model: Some("m".to_owned()), ..Facts::default() };
    let taken = HookRecord { facts: facts.clone(), received_at: closed, ..hook("found") };
    catalog.record_hooks(&[taken]).await.unwrap();
    unchanged("a take-over").await;
    catalog.register(&Registration { at: closed, ..registration("named", facts) }).await.unwrap();
    unchanged("a tenant that became known").await;
}

/// Bytes times hours of these clips on one day.
async fn paid(catalog: &dyn Catalog, day: &str, until: &str) -> Vec<(String, u64)> {
    let rows = costs(catalog, UsageGroup::Clip, (day, until, MARCH), &GenerationPrices::default()).await.costs;
    rows.into_iter().filter(|row| row.byte_hours > 0).map(|row| (row.name, row.byte_hours)).collect()
}

async fn the_first_that_stored_shared_bytes_pays_and_then_the_next_by_time(bed: Bed) {
    let catalog = bed.open().await;
    let began = time(JANUARY);
    for (id, day) in [("c", 0), ("b", 2), ("a", 4), ("0", 4)] {
        received(&*catalog, id, "m", "acme", began).await;
        keep(&*catalog, id, &bytes("cd"), later(began, day * DAY), id != "c").await;
    }
    for (id, day) in [("c", 6), ("b", 8), ("0", 10), ("a", 12)] {
        let at = later(began, day * DAY);
        catalog.delete(&key(&format!("{id}.mp4")), at, at, "by the test").await.unwrap();
    }
    let days = [("c", 1), ("c", 6), ("b", 7), ("b", 8), ("0", 9), ("0", 10), ("a", 11), ("a", 12)];
    for (id, day) in days {
        let (from, to) = (format!("2027-01-{day:02}T00:00:00Z"), format!("2027-01-{:02}T00:00:00Z", day + 1));
        assert_eq!(paid(&*catalog, &from, &to).await, [(format!("{id}.mp4"), 24_000_000)], "{day}");
    }
    assert_eq!(paid(&*catalog, "2027-01-13T00:00:00Z", FEBRUARY).await, []);
    let month = costs(&*catalog, UsageGroup::Month, (JANUARY, FEBRUARY, MARCH), &GenerationPrices::default()).await;
    assert_eq!(month.total.byte_hours, 12 * 24_000_000);
}

async fn bytes_that_come_back_are_paid_for_from_then_on(bed: Bed) {
    let catalog = bed.open().await;
    let began = time(JANUARY);
    for (id, day) in [("a", 0), ("b", 1)] {
        received(&*catalog, id, "m", "acme", began).await;
        keep(&*catalog, id, &bytes("cd"), later(began, day * DAY), id == "b").await;
    }
    let lost = later(began, 4 * DAY);
    assert!(catalog.object_lost(&key("b.mp4"), 1, lost, lost, "gone").await.unwrap());
    // Now the other one stores them, and the first refers to them.
    keep(&*catalog, "b", &bytes("cd"), later(began, 10 * DAY), false).await;
    keep(&*catalog, "a", &bytes("cd"), later(began, 11 * DAY), true).await;
    let paid = paid(&*catalog, JANUARY, FEBRUARY).await;
    assert_eq!(paid, [("a.mp4".into(), 4 * 24_000_000), ("b.mp4".into(), 21 * 24_000_000)]);
}

/// Whoever goes at the same time as the one that pays does not pay for ever.
async fn the_last_of_an_object_may_go_at_once_and_nobody_pays(bed: Bed) {
    let catalog = bed.open().await;
    let began = time(JANUARY);
    for group in 0..12 {
        let bytes = Sealed { sha256: format!("{group:064x}"), ..bytes("cd") };
        let ids: Vec<String> = (0..4).map(|n| format!("g{group}-{n}")).collect();
        for (n, id) in ids.iter().enumerate() {
            received(&*catalog, id, "m", "acme", began).await;
            keep(&*catalog, id, &bytes, later(began, 60), n > 0).await;
        }
        let at = later(began, DAY);
        let going = ids.iter().map(|id| {
            let (catalog, key) = (catalog.clone(), key(&format!("{id}.mp4")));
            async move { catalog.delete(&key, at, at, "by the test").await.unwrap() }
        });
        futures_util::future::join_all(going).await;
    }
    assert_eq!(paid(&*catalog, "2027-01-03T00:00:00Z", FEBRUARY).await, []);
    let month = costs(&*catalog, UsageGroup::Month, (JANUARY, FEBRUARY, MARCH), &GenerationPrices::default()).await;
    assert_eq!(month.total.byte_hours, 12 * 1_000_000 * (86_400 - 60) / 3600);
}

async fn forecast(catalog: &dyn Catalog, now: Timestamp) -> CostReport {
    let now = now.to_string();
    costs(catalog, UsageGroup::Day, (JANUARY, FEBRUARY, &now), &GenerationPrices::default()).await
}

async fn a_forecast_of_two_days_has_two_days(bed: Bed) {
    let catalog = bed.open().await;
    let began = time("2027-01-20T00:00:00Z");
    received(&*catalog, "c", "m", "acme", began).await;
    store(&*catalog, "c", 1_000_000_000_000, later(began, 60)).await;
    let row = |n: i64| OperationsRow { hour: later(began, n * 3600), writes: 1_000_000, reads: 0 };
    catalog.add_usage(&batch(1, Vec::new(), (0..48).map(row).collect())).await.unwrap();
    let month = forecast(&*catalog, later(began, 2 * DAY)).await;
    // $5 an hour go on for the ten days that are left.
    assert_eq!((month.total.costs[0].cost.operations.to_string(), 48 * 5), ("240.00".to_owned(), 240));
    assert_eq!(month.forecast[0].operations.as_deref(), Some("1440.00"));
    // A terabyte came in two days, and as much goes on to come: it is there for
    // two days, and then one to six are for ten.
    let month_secs = u128::from(31 * 86_400_u64);
    let expected = 1_000_000_000_000 * (2 * 86_400 - 60 + 10 * 86_400 + 10 * 86_400 * 5 / 2);
    let expected = "0.023".parse::<Money>().unwrap().times(expected, 1_000_000_000 * month_secs);
    assert!(month.forecast[0].cost.storage.attos().abs_diff(expected.attos()) < 10, "{expected}");
}

async fn a_forecast_of_what_only_lies_there_is_exact(bed: Bed) {
    let catalog = bed.open().await;
    received(&*catalog, "c", "m", "acme", time(JANUARY)).await;
    store(&*catalog, "c", 1_000_000_000_000, time(JANUARY)).await;
    let month = forecast(&*catalog, time("2027-01-20T00:00:00Z")).await;
    assert_eq!(month.forecast[0].storage, "23.00", "a terabyte, all month, as it has been for weeks");
    assert_eq!(month.forecast[0].total, "23.00");
    // What is deleted today costs nothing from now on, whatever the week was.
    catalog.delete(&key("c.mp4"), time("2027-01-16T12:00:00Z"), time(JANUARY), "by the test").await.unwrap();
    let month = forecast(&*catalog, time("2027-01-16T12:00:01Z")).await;
    assert_eq!((month.forecast[0].storage.as_str(), month.total.costs[0].storage.as_str()), ("11.50", "11.50"));
}

async fn two_currencies_are_never_added_up(bed: Bed) {
    let catalog = bed.open().await;
    received(&*catalog, "c", "m", "acme", time(JANUARY)).await;
    store(&*catalog, "c", 1_000_000_000_000, time(JANUARY)).await;
    let generations = priced("EUR", &[("*", "0.05")]);
    let month = costs(&*catalog, UsageGroup::Model, (JANUARY, FEBRUARY, MARCH), &generations).await;
    for on in month.costs[0].costs.iter().chain(&month.total.costs) {
        assert_eq!(
            (on.currency.as_str(), on.generation_currency.as_str(), on.generation.as_str()),
            ("USD", "EUR", "0.05")
        );
        assert_eq!(on.total, on.storage);
    }
    let same = priced("USD", &[("*", "0.05")]);
    let month = costs(&*catalog, UsageGroup::Model, (JANUARY, FEBRUARY, MARCH), &same).await;
    assert_eq!((month.total.costs[0].total.as_str(), month.total.costs[0].generation.as_str()), ("23.05", "0.05"));
}

async fn operations_are_told_where_they_are_known(bed: Bed) {
    let catalog = bed.open().await;
    received(&*catalog, "c", "m", "acme", time(JANUARY)).await;
    store(&*catalog, "c", 1_000_000, time(JANUARY)).await;
    let row = OperationsRow { hour: time("2027-01-07T05:00:00Z"), writes: 1_000_000, reads: 0 };
    catalog.add_usage(&batch(1, Vec::new(), vec![row])).await.unwrap();
    for group in BY {
        let month = costs(&*catalog, group, (JANUARY, FEBRUARY, MARCH), &GenerationPrices::default()).await;
        assert_eq!(month.total.costs[0].operations.as_deref(), Some("5.00"));
        let is_time = matches!(group, UsageGroup::Day | UsageGroup::Month);
        assert!(month.costs.iter().all(|row| row.costs[0].operations.is_some() == is_time), "{group:?}");
    }
    let lists = PriceList::built_in();
    let filter = UsageFilter {
        from: Some(time(JANUARY)),
        to: Some(time(FEBRUARY)),
        tenant: "acme".parse().ok(),
        ..UsageFilter::default()
    };
    let none = GenerationPrices::default();
    let query =
        CostQuery { filter, group: UsageGroup::Day, lists: &lists, generations: &none, after: None, limit: 100 };
    let acme = report(&*catalog, time(MARCH), &query).await.unwrap();
    assert_eq!((acme.costs.len(), &acme.total.costs[0].operations), (31, &None));
}

async fn a_catalogue_from_before_gets_its_storage_periods(bed: Bed) {
    let catalog = bed.open().await;
    let began = time(JANUARY);
    for (id, day) in [("c", 0), ("b", 2), ("a", 4)] {
        received(&*catalog, id, "m", "acme", began).await;
        keep(&*catalog, id, &bytes("cd"), later(began, day * DAY), id != "c").await;
    }
    for id in ["alone", "gone"] {
        received(&*catalog, id, "m", "", began).await;
        store(&*catalog, id, 1_000_000, began).await;
    }
    for (id, day) in [("c", 6), ("gone", 8), ("b", 10)] {
        let at = later(began, day * DAY);
        catalog.delete(&key(&format!("{id}.mp4")), at, at, "by the test").await.unwrap();
    }
    let before = paid(&*catalog, JANUARY, FEBRUARY).await;
    assert_eq!(before.len(), 5);
    let migration = match bed.database {
        Database::Sqlite(_) => include_str!("../../../migrations/sqlite/0015_stays.sql"),
        Database::Postgres(_) => include_str!("../../../migrations/postgres/0015_stays.sql"),
    };
    let fill = &migration[migration.find("WITH members").unwrap()..];
    // The table has another name since.
    let fill = fill[..=fill.find(';').unwrap()].replace("INTO stays", "INTO storage_periods");
    bed.execute(&format!("DELETE FROM storage_periods; {fill}")).await;
    assert_eq!(paid(&*catalog, JANUARY, FEBRUARY).await, before);
}
