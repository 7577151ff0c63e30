//! How far each endpoint was told.

use std::time::Duration;

use clipkeep::catalog::{
    Catalog, NodeId,
    open::Database,
    outbox::{Delivery, DeliveryOutcome, DeliveryResult, EndpointLease, Replay},
};
use clipkeep_core::{
    event::{Event, EventType, Position},
    time::Timestamp,
};

use super::{Bed, HOUR, at, events::read, key, on_both};

on_both![
    a_new_endpoint_is_told_what_happens_from_now_on,
    one_node_at_a_time_tells_an_endpoint,
    what_was_not_taken_is_due_again_at_its_time,
    later_events_of_a_subject_wait_for_the_earlier_one,
    an_event_that_queued_behind_one_just_taken_is_due_at_once,
    what_was_parked_is_listed_and_replayed,
    what_waits_is_listed_with_its_next_try,
    a_position_beyond_all_that_can_happen_is_known_to_nobody,
    events_of_one_clip_are_replayed_in_order,
    a_replay_from_a_position_sets_the_endpoint_back,
    what_waits_is_hastened_when_the_endpoint_answers_again,
    events_are_listed_newest_or_after_a_position,
    h30_notices_between_nodes_are_never_replayed_nor_listed_to_apps,
];

const LEASE: Duration = Duration::from_secs(60);
const AT: &str = "hooks.example.com-0a1b2c3d";

/// Tells the world that clips were lost, one transaction each.
pub(super) async fn tell(bed: &Bed, clips: &[&str]) {
    for id in clips {
        bed.execute(&format!(
            "INSERT INTO events (at, type, provider, request_id, key, detail) \
             VALUES (1800000000000, 'clip.lost', 'fal', '{id}', '{id}.mp4', 'gone')"
        ))
        .await;
    }
}

fn node(name: &str) -> NodeId {
    name.to_owned()
}

async fn claim(catalog: &dyn Catalog, name: &str, now: Timestamp) -> Option<EndpointLease> {
    catalog.claim_endpoint(AT, &node(name), now, LEASE).await.unwrap()
}

fn results((position, event): &(Position, Event), outcome: DeliveryOutcome) -> DeliveryResult {
    DeliveryResult { position: *position, subject: event.subject().to_owned(), outcome }
}

fn waiting(next_at: Timestamp) -> DeliveryOutcome {
    DeliveryOutcome::Waiting { attempts: 1, first_at: at(0), next_at, why: "it answered 500".to_owned() }
}

fn parked() -> DeliveryOutcome {
    DeliveryOutcome::Parked { attempts: 9, first_at: at(0), why: "it answered 500".to_owned() }
}

async fn due(catalog: &dyn Catalog, now: Timestamp) -> Vec<Delivery> {
    catalog.due_deliveries(AT, now, 100).await.unwrap()
}

fn places(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

async fn a_new_endpoint_is_told_what_happens_from_now_on(bed: Bed) {
    let catalog = bed.open().await;
    let start = catalog.last_event().await.unwrap();
    tell(&bed, &["before"]).await;
    read(&*catalog, start, 1).await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["after"]).await;
    let events = read(&*catalog, lease.cursor, 1).await;
    assert_eq!(events[0].1.subject(), "after.mp4");
    assert_eq!(catalog.count_deliveries().await.unwrap(), []);
}

async fn one_node_at_a_time_tells_an_endpoint(bed: Bed) {
    let catalog = bed.open().await;
    let first = claim(&*catalog, "a", at(0)).await.unwrap();
    assert_eq!(claim(&*catalog, "b", at(59)).await, None);
    // Its answer was not heard, and it asks again.
    let first = {
        let again = claim(&*catalog, "a", at(59)).await.unwrap();
        assert!(again.fence > first.fence && again.cursor == first.cursor);
        again
    };
    assert!(catalog.renew_endpoint(&first, at(100)).await.unwrap());
    assert_eq!(claim(&*catalog, "b", at(99)).await, None);
    tell(&bed, &["r"]).await;
    let events = read(&*catalog, first.cursor, 1).await;
    assert!(catalog.ack(&first, Some(events[0].0), &[], at(99)).await.unwrap());
    let second = claim(&*catalog, "b", at(100)).await.unwrap();
    assert!(second.fence > first.fence);
    assert_eq!(second.cursor, events[0].0);
    // Whoever lost it can write nothing any more.
    let late = [results(&events[0], waiting(at(0)))];
    assert!(!catalog.ack(&first, Some(first.cursor), &late, at(101)).await.unwrap());
    assert!(!catalog.renew_endpoint(&first, at(9999)).await.unwrap());
    catalog.release_endpoint(&first).await.unwrap();
    assert_eq!(claim(&*catalog, "c", at(101)).await, None);
    assert_eq!(due(&*catalog, at(HOUR)).await, []);
    catalog.release_endpoint(&second).await.unwrap();
    let third = claim(&*catalog, "c", at(101)).await.unwrap();
    assert_eq!(third.cursor, events[0].0);
    let other = catalog.claim_endpoint("other", &node("d"), at(101), LEASE).await.unwrap();
    assert!(other.is_some(), "endpoints are told by whichever node");
}

async fn what_was_not_taken_is_due_again_at_its_time(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s"]).await;
    let events = read(&*catalog, lease.cursor, 2).await;
    let last = Some(events[1].0);
    let outcomes = [results(&events[0], waiting(at(10)))];
    for _ in 0..2 {
        assert!(catalog.ack(&lease, last, &outcomes, at(1)).await.unwrap(), "asked twice");
    }
    assert_eq!(due(&*catalog, at(9)).await, []);
    let found = due(&*catalog, at(10)).await;
    let expected = Delivery { position: events[0].0, event: events[0].1.clone(), attempts: 1, first_at: Some(at(0)) };
    assert_eq!(found, [expected]);
    assert_eq!(catalog.due_deliveries("other", at(HOUR), 100).await.unwrap(), []);
    assert!(catalog.ack(&lease, None, &[results(&events[0], DeliveryOutcome::Delivered)], at(11)).await.unwrap());
    assert_eq!(due(&*catalog, at(HOUR)).await, []);
    catalog.release_endpoint(&lease).await.unwrap();
    assert_eq!(claim(&*catalog, "b", at(12)).await.unwrap().cursor, events[1].0);
}

async fn later_events_of_a_subject_wait_for_the_earlier_one(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s", "r", "r"]).await;
    let events = read(&*catalog, lease.cursor, 4).await;
    let [first, _, second, third] = &events[..] else { unreachable!() };
    let outcomes = [
        results(first, waiting(at(10))),
        results(second, DeliveryOutcome::Queued),
        results(third, DeliveryOutcome::Queued),
    ];
    assert!(catalog.ack(&lease, Some(third.0), &outcomes, at(1)).await.unwrap());
    let asked = ["r.mp4", "s.mp4"].map(str::to_owned);
    assert_eq!(catalog.blocked_subjects(AT, &asked).await.unwrap(), ["r.mp4"]);
    assert_eq!(places(&due(&*catalog, at(HOUR)).await), [first.0]);
    catalog.ack(&lease, None, &[results(first, parked())], at(20)).await.unwrap();
    assert_eq!(places(&due(&*catalog, at(20)).await), [second.0], "it goes on without what was given up");
    catalog.ack(&lease, None, &[results(second, DeliveryOutcome::Delivered)], at(21)).await.unwrap();
    assert_eq!(places(&due(&*catalog, at(21)).await), [third.0]);
    catalog.ack(&lease, None, &[results(third, DeliveryOutcome::Delivered)], at(22)).await.unwrap();
    assert_eq!(catalog.blocked_subjects(AT, &asked).await.unwrap(), Vec::<String>::new());
}

/// The other lane was faster: nothing is left that would make it due later.
async fn an_event_that_queued_behind_one_just_taken_is_due_at_once(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "r"]).await;
    let events = read(&*catalog, lease.cursor, 2).await;
    catalog.ack(&lease, None, &[results(&events[0], waiting(at(10)))], at(1)).await.unwrap();
    catalog.ack(&lease, None, &[results(&events[0], DeliveryOutcome::Delivered)], at(2)).await.unwrap();
    catalog.ack(&lease, Some(events[1].0), &[results(&events[1], DeliveryOutcome::Queued)], at(3)).await.unwrap();
    let found = due(&*catalog, at(3)).await;
    assert_eq!(places(&found), [events[1].0]);
    assert_eq!((found[0].attempts, found[0].first_at), (0, None));
}

async fn what_was_parked_is_listed_and_replayed(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s"]).await;
    let events = read(&*catalog, lease.cursor, 2).await;
    let outcomes = [results(&events[0], parked()), results(&events[1], waiting(at(HOUR)))];
    catalog.ack(&lease, Some(events[1].0), &outcomes, at(1)).await.unwrap();
    let counts = catalog.count_deliveries().await.unwrap();
    assert_eq!((counts[0].endpoint.as_str(), counts[0].waiting, counts[0].parked), (AT, 1, 1));
    let listed = catalog.parked_deliveries(100).await.unwrap();
    assert_eq!((listed.len(), listed[0].endpoint.as_str()), (1, AT));
    assert_eq!((listed[0].delivery.position, listed[0].delivery.attempts), (events[0].0, 9));
    assert_eq!(listed[0].why.as_deref(), Some("it answered 500"));
    assert_eq!(catalog.replay("other", &Replay::Parked, at(2)).await.unwrap(), 0);
    assert_eq!(catalog.replay(AT, &Replay::Parked, at(2)).await.unwrap(), 1);
    let found = due(&*catalog, at(2)).await;
    assert_eq!(places(&found), [events[0].0]);
    assert_eq!((found[0].attempts, found[0].first_at), (0, None), "its day begins anew");
    assert_eq!(catalog.parked_deliveries(100).await.unwrap(), []);
}

async fn what_waits_is_listed_with_its_next_try(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "r", "s"]).await;
    let events = read(&*catalog, lease.cursor, 3).await;
    let [first, second, third] = &events[..] else { unreachable!() };
    let outcomes =
        [results(first, waiting(at(HOUR))), results(second, DeliveryOutcome::Queued), results(third, parked())];
    catalog.ack(&lease, Some(third.0), &outcomes, at(1)).await.unwrap();
    let listed = catalog.waiting_deliveries(100).await.unwrap();
    let rows: Vec<_> = listed
        .iter()
        .map(|one| (one.endpoint.as_str(), one.delivery.position, one.delivery.attempts, one.next_at))
        .collect();
    assert_eq!(rows, [(AT, first.0, 1, Some(at(HOUR))), (AT, second.0, 0, None)]);
    assert_eq!((listed[0].delivery.first_at, listed[0].why.as_deref()), (Some(at(0)), Some("it answered 500")));
    assert_eq!((listed[1].delivery.first_at, listed[1].why.as_deref()), (None, None));
    assert_eq!(catalog.waiting_deliveries(1).await.unwrap().len(), 1);
    assert_eq!(catalog.count_deliveries().await.unwrap()[0].oldest, Some(at(0)));
    catalog.ack(&lease, None, &[results(first, DeliveryOutcome::Delivered)], at(2)).await.unwrap();
    assert_eq!(catalog.count_deliveries().await.unwrap()[0].oldest, None, "what was parked does not wait");
}

async fn a_position_beyond_all_that_can_happen_is_known_to_nobody(bed: Bed) {
    let catalog = bed.open().await;
    let known = async |position| catalog.is_reached(position).await.unwrap();
    let start = catalog.last_event().await.unwrap();
    assert!(known(start).await && known(Position { tx: 0, id: 0 }).await);
    assert!(!known(Position { tx: start.tx + 1_000_000_000, id: 1 }).await);
    tell(&bed, &["r"]).await;
    let [(last, _)] = read(&*catalog, start, 1).await[..] else { unreachable!() };
    assert!(known(last).await);
    match &bed.database {
        Database::Sqlite(_) => assert!(!known(Position { id: last.id + 1, ..last }).await),
        Database::Postgres(url) => {
            // Other transactions are open, and what is handed out lies before them.
            let mut client = crate::support::postgres::connect(url.expose()).await;
            let open = client.transaction().await.unwrap();
            open.query_one("SELECT pg_current_xact_id()", &[]).await.unwrap();
            tell(&bed, &["s"]).await;
            assert!(known(catalog.last_event().await.unwrap()).await);
        }
    }
}

async fn events_of_one_clip_are_replayed_in_order(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s", "r"]).await;
    let events = read(&*catalog, lease.cursor, 3).await;
    catalog.ack(&lease, Some(events[2].0), &[results(&events[0], parked())], at(1)).await.unwrap();
    tell(&bed, &["r"]).await;
    let replay = Replay::Of(key("r.mp4"));
    assert_eq!(catalog.replay(AT, &replay, at(2)).await.unwrap(), 2, "what is still to be told comes anyway");
    for expected in [&events[0], &events[2]] {
        assert_eq!(places(&due(&*catalog, at(2)).await), [expected.0]);
        catalog.ack(&lease, None, &[results(expected, DeliveryOutcome::Delivered)], at(2)).await.unwrap();
    }
    assert_eq!(due(&*catalog, at(HOUR)).await, []);
}

async fn a_replay_from_a_position_sets_the_endpoint_back(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s", "t"]).await;
    let events = read(&*catalog, lease.cursor, 3).await;
    let outcomes = [results(&events[1], parked())];
    catalog.ack(&lease, Some(events[2].0), &outcomes, at(1)).await.unwrap();
    let replay = Replay::After(events[0].0);
    assert_eq!(catalog.replay(AT, &replay, at(2)).await.unwrap(), 2);
    assert!(!catalog.ack(&lease, Some(events[2].0), &[], at(3)).await.unwrap(), "its holder has to begin anew");
    let again = claim(&*catalog, "a", at(3)).await.unwrap();
    assert_eq!(again.cursor, events[0].0);
    assert_eq!(catalog.parked_deliveries(100).await.unwrap(), [], "it is told again anyway");
    assert_eq!(catalog.replay(AT, &Replay::After(events[2].0), at(4)).await.unwrap(), 0, "never forward");
    assert!(catalog.renew_endpoint(&again, at(99)).await.unwrap());
}

async fn what_waits_is_hastened_when_the_endpoint_answers_again(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    tell(&bed, &["r", "s", "t"]).await;
    let events = read(&*catalog, lease.cursor, 3).await;
    let outcomes =
        [results(&events[0], waiting(at(5))), results(&events[1], waiting(at(HOUR))), results(&events[2], parked())];
    catalog.ack(&lease, Some(events[2].0), &outcomes, at(1)).await.unwrap();
    catalog.retry_deliveries_now(AT, at(10)).await.unwrap();
    assert_eq!(places(&due(&*catalog, at(10)).await), [events[0].0, events[1].0]);
}

async fn events_are_listed_newest_or_after_a_position(bed: Bed) {
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    tell(&bed, &["r", "s", "t"]).await;
    bed.execute(
        "INSERT INTO events (at, type, provider, request_id, key) VALUES (1, 'clip.revised', 'fal', 'u', 'u.mp4'); \
         INSERT INTO events (at, type, provider, request_id, key) VALUES (1, 'clip.stored', 'fal', 'v', 'v.mp4')",
    )
    .await;
    let events = read(&*catalog, before, 5).await;
    let list = async |kind, after, limit| {
        let listed = catalog.list_events(kind, after, limit).await.unwrap();
        listed.into_iter().map(|(_, event)| event.request_id().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 3).await, ["s", "t", "v"]);
    assert_eq!(list(None, Some(events[0].0), 2).await, ["s", "t"]);
    assert_eq!(list(Some(EventType::ClipLost), None, 2).await, ["s", "t"]);
    assert_eq!(list(Some(EventType::ClipRevised), None, 2).await, ["u"]);
    assert_eq!(list(Some(EventType::ClipStored), Some(before), 9).await, ["v"]);
}

/// A dump that is restored elsewhere brings numbers that are still to come there.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_from_another_server_new_events_are_told() {
    let bed = Bed::postgres().await;
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    claim(&*catalog, "n", at(0)).await.unwrap();
    tell(&bed, &["a", "b"]).await;
    let old = read(&*catalog, before, 2).await;
    catalog.ack(&claim(&*catalog, "n", at(HOUR)).await.unwrap(), Some(old[0].0), &[], at(HOUR)).await.unwrap();
    bed.execute("UPDATE events SET tx = tx + 1000000000; UPDATE endpoints SET tx = tx + 1000000000").await;
    let catalog = bed.open().await;
    tell(&bed, &["c"]).await;
    let lease = claim(&*catalog, "n", at(2 * HOUR)).await.unwrap();
    let names: Vec<_> = read(&*catalog, lease.cursor, 2)
        .await
        .into_iter()
        .map(|(_, event)| event.request_id().unwrap().clone())
        .collect();
    assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
}

async fn h30_notices_between_nodes_are_never_replayed_nor_listed_to_apps(bed: Bed) {
    let catalog = bed.open().await;
    let lease = claim(&*catalog, "a", at(0)).await.unwrap();
    let start = lease.cursor;
    for kind in EventType::ALL {
        bed.execute(&format!(
            "INSERT INTO events (at, type, provider, request_id, key) VALUES (1, '{kind}', 'fal', 'r', 'r.mp4')"
        ))
        .await;
    }
    // Nodes hear of all.
    let events = read(&*catalog, start, EventType::ALL.len()).await;
    catalog.ack(&lease, events.last().map(|last| last.0), &[], at(1)).await.unwrap();
    let for_apps: Vec<EventType> = EventType::ALL.iter().copied().filter(|kind| kind.is_for_apps()).collect();
    let told = for_apps.len() as u64;
    let kinds = |events: &[(Position, Event)]| events.iter().map(|(_, event)| event.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&catalog.list_events(None, None, 100).await.unwrap()), for_apps);
    assert_eq!(kinds(&catalog.list_events(None, Some(start), 100).await.unwrap()), for_apps);
    assert_eq!(catalog.replay(AT, &Replay::Of(key("r.mp4")), at(2)).await.unwrap(), told);
    let mut replayed = Vec::new();
    while let [one] = &due(&*catalog, at(HOUR)).await[..] {
        replayed.push(one.event.kind);
        catalog
            .ack(&lease, None, &[results(&(one.position, one.event.clone()), DeliveryOutcome::Delivered)], at(3))
            .await
            .unwrap();
    }
    assert_eq!(replayed, for_apps);
    assert_eq!(catalog.replay(AT, &Replay::After(start), at(4)).await.unwrap(), told);
}
