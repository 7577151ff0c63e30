//! One endpoint, against a receiver that misbehaves.

use std::time::Duration;

use clipkeep::{catalog::outbox::Replay, outbox::OutboxSettings};

use super::{Bed, assert_all_in_order, clips, quick};
use crate::support::{
    eventually::eventually,
    receiver::{Got, Receiver, Reply},
};

/// An hour of outage, in a second: waits grow beyond the test's patience, so
/// that it ends only because the endpoint is probed, and what waits is hastened
/// when it answers again.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_down_gets_every_event_in_order_per_clip() {
    for bed in [Bed::sqlite().await, Bed::postgres().await] {
        let hour = Duration::from_secs(3600);
        let settings = OutboxSettings { retry_base: hour, retry_max: hour, keep: 24 * hour, batch: 20, ..quick() };
        // Nobody listens there.
        let url = Receiver::start().await.url.clone();
        let port = url.split(['/', ':']).nth(4).unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let teller = bed.first_teller(&url, settings).await;
        bed.happen(&clips(12, 5)).await;
        let began = tokio::time::Instant::now();
        while !teller.metrics.render(false).contains("clipkeep_event_deliveries_total{outcome=\"failed\"}") {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "nothing is tried");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let receiver = Receiver::at(port).await;
        receiver.until("all told", |got| got.len() >= 60).await;
        assert_all_in_order(&receiver, 60);
        teller.stop().await;
        let counts = bed.catalog.count_deliveries().await.unwrap();
        assert!(counts.is_empty(), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_now_and_then_gets_every_event_in_order_per_clip() {
    let bed = Bed::sqlite().await;
    let receiver = Receiver::start().await;
    let mut number = 0_usize;
    receiver.answer(move |_| {
        number += 1;
        match number % 7 {
            0 => Reply::Status(500),
            3 if number < 40 => Reply::Hang,
            5 => Reply::Status(302),
            _ => Reply::Status(200),
        }
    });
    let teller = bed.first_teller(&receiver.url, OutboxSettings { batch: 7, ..quick() }).await;
    bed.happen(&clips(9, 8)).await;
    receiver.until("all taken", |got| got.iter().filter(|got| got.is_taken()).count() >= 72).await;
    assert_all_in_order(&receiver, 72);
    teller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_is_never_taken_blocks_no_other() {
    let bed = Bed::sqlite().await;
    let receiver = Receiver::start().await;
    receiver.answer(|got| match got.subject().as_str() {
        "poison.mp4" => Reply::Status(500),
        "hangs.mp4" => Reply::Hang,
        _ => Reply::Status(200),
    });
    let teller = bed.first_teller(&receiver.url, quick()).await;
    let poisoned = ["poison", "hangs", "poison"].map(str::to_owned);
    bed.happen(&poisoned).await;
    receiver.until("poison tried", |got| got.len() >= 2).await;
    bed.happen(&clips(50, 2)).await;
    let others = |got: &[Got]| got.iter().filter(|got| got.is_taken()).count();
    receiver.until("the others taken", |got| others(got) >= 100).await;
    assert_all_in_order(&receiver, 100);
    let tried = receiver.until("poison tried again", |got| of(got, "poison.mp4").len() >= 4).await;
    let ids: Vec<_> = of(&tried, "poison.mp4").iter().map(|got| got.header("webhook-id").to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the later one waits: {ids:?}");
    // Once it is taken, what queued behind it follows.
    receiver.answer(|_| Reply::Status(200));
    receiver.until("all taken", |got| others(got) >= 103).await;
    assert_all_in_order(&receiver, 103);
    teller.stop().await;
}

fn of<'a>(got: &'a [Got], subject: &str) -> Vec<&'a Got> {
    got.iter().filter(|got| got.subject() == subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_for_a_day_is_parked_and_told_again_on_demand() {
    let bed = Bed::sqlite().await;
    let receiver = Receiver::start().await;
    receiver.answer(|got| Reply::Status(if got.subject() == "c0.mp4" { 500 } else { 200 }));
    let day = Duration::from_secs(3);
    let teller = bed.first_teller(&receiver.url, OutboxSettings { keep: day, ..quick() }).await;
    bed.happen(&clips(2, 2)).await;
    let began = tokio::time::Instant::now();
    while bed.parked().await.len() < 2 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{:?}", bed.parked().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let parked = bed.parked().await;
    let tried = receiver.got();
    let tried = of(&tried, "c0.mp4");
    let (first, second) = (tried[0].header("webhook-id"), tried.last().unwrap().header("webhook-id"));
    assert_ne!(first, second, "what queued behind it has its turn, and its day");
    let first_tries: Vec<_> = tried.iter().filter(|got| got.header("webhook-id") == first).collect();
    assert!(first_tries.len() >= 3 && first_tries[first_tries.len() - 1].at - first_tries[0].at >= day);
    assert_eq!(parked[0].delivery.attempts as usize, first_tries.len());
    assert_eq!(parked[0].why.as_deref(), Some("it answered 500"));
    let metrics = teller.metrics.render(false);
    assert!(metrics.contains("clipkeep_event_deliveries_total{outcome=\"parked\"} 2"), "{metrics}");
    receiver.answer(|_| Reply::Status(200));
    let now = clipkeep_core::time::Clock::now(&clipkeep::clock::SystemClock);
    assert_eq!(bed.catalog.replay(&parked[0].endpoint, &Replay::Parked, now).await.unwrap(), 2);
    receiver.until("told again", |got| got.iter().filter(|got| got.is_taken()).count() >= 4).await;
    assert_all_in_order(&receiver, 4);
    teller.stop().await;
    assert_eq!(bed.parked().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_asked_once_and_one_that_asks_to_wait_is_waited_for() {
    let bed = Bed::sqlite().await;
    let receiver = Receiver::start().await;
    let mut asked = false;
    receiver.answer(move |got| match got.subject().as_str() {
        "gone.mp4" => Reply::Status(410),
        _ if !std::mem::replace(&mut asked, true) => Reply::With(429, "retry-after", "1".to_owned()),
        _ => Reply::Status(200),
    });
    let teller = bed.first_teller(&receiver.url, quick()).await;
    bed.happen(&["gone", "busy"].map(str::to_owned)).await;
    let got = receiver.until("busy taken", |got| got.iter().any(Got::is_taken)).await;
    let busy = of(&got, "busy.mp4");
    assert!(busy[1].at - busy[0].at >= Duration::from_secs(1), "Retry-After is honoured");
    assert_eq!(of(&got, "gone.mp4").len(), 1);
    assert_eq!(bed.parked().await[0].why.as_deref(), Some("it answered 410"));
    let stamps = busy.iter().map(|got| got.header("webhook-timestamp")).collect::<Vec<_>>();
    assert_ne!(stamps[0], stamps[1], "each attempt is signed anew");
    assert_ne!(busy[0].header("webhook-signature"), busy[1].header("webhook-signature"));
    teller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (bed, receiver, elsewhere) = (Bed::sqlite().await, Receiver::start().await, Receiver::start().await);
    let target = elsewhere.url.clone();
    receiver.answer(move |_| Reply::With(307, "location", target.clone()));
    let teller = bed.first_teller(&receiver.url, quick()).await;
    bed.happen(&clips(1, 1)).await;
    receiver.until("asked again", |got| got.len() >= 3).await;
    assert!(elsewhere.got().is_empty());
    teller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_tells_and_the_other_takes_over() {
    let bed = Bed::postgres().await;
    let receiver = Receiver::start().await;
    let first = bed.first_teller(&receiver.url, quick()).await;
    let second = bed.teller("second", &receiver.url, quick()).await;
    bed.happen(&clips(20, 2)).await;
    receiver.until("all told", |got| got.len() >= 40).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(receiver.got().len(), 40, "each was told once, by one of them");
    first.kill().await;
    bed.happen(&clips(20, 1)).await;
    receiver.until("the other tells", |got| got.len() >= 60).await;
    assert_all_in_order(&receiver, 60);
    assert_eq!(receiver.got().len(), 60, "what was written down is not told again");
    // Whoever stops gives the right back at once.
    let third = bed.teller("third", &receiver.url, quick()).await;
    second.stop().await;
    bed.happen(&clips(1, 1)).await;
    receiver.until("the third tells", |got| got.len() >= 61).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_a_position_tells_all_that_came_after() {
    let bed = Bed::sqlite().await;
    let receiver = Receiver::start().await;
    let teller = bed.first_teller(&receiver.url, quick()).await;
    let before = bed.catalog.last_event().await.unwrap();
    bed.happen(&clips(3, 1)).await;
    receiver.until("told", |got| got.len() >= 3).await;
    let name = receiver.url.parse::<clipkeep_core::endpoint::Endpoint>().unwrap().name().to_owned();
    let now = clipkeep_core::time::Clock::now(&clipkeep::clock::SystemClock);
    // It may not have been written down yet that all was told.
    eventually("what was told can be told again", || async {
        (bed.catalog.replay(&name, &Replay::After(before), now).await.unwrap() >= 3).then_some(())
    })
    .await;
    let got = receiver.until("told again", |got| got.len() >= 6).await;
    let ids: std::collections::BTreeSet<_> = got.iter().map(|got| got.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 3, "an event keeps its id");
    teller.stop().await;
}
