//! Names, and the addresses they turn out to have.

use std::sync::atomic::{AtomicUsize, Ordering};

use tower_service::Service;

use super::*;
use crate::source::resolver::{JudgingResolver, Unresolved};

const HERE: [u8; 4] = [127, 0, 0, 1];
const METADATA: [u8; 4] = [169, 254, 169, 254];
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nclip";

/// What the connector would get to see of `found`, on a node that allows
/// public addresses only.
async fn connectable(found: &[&str]) -> Result<Vec<String>, bool> {
    let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
    let look_up: LookUp = Arc::new(move |_| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    });
    let mut resolver = JudgingResolver { look_up, allow_private: false, timeout: Duration::from_secs(20) };
    match resolver.call("clip.test".parse().unwrap()).await {
        Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
        Err(error) => Err(error != Unresolved::Unknown),
    }
}

#[tokio::test]
async fn case_27_of_mixed_answers_only_the_public_ones_are_connected_to() {
    let mixed = ["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "::ffff:127.0.0.1", "fe80::1"];
    assert_eq!(connectable(&mixed).await, Ok(vec!["1.1.1.1".into(), "2606:4700::1111".into()]));
    assert_eq!(connectable(&["10.0.0.1", "::1"]).await, Err(true));
    assert_eq!(connectable(&[]).await, Err(false));
}

#[tokio::test]
async fn case_27_a_name_that_changes_its_mind_is_judged_again_on_reconnect() {
    let origin = Origin::sending(ANSWER).await;
    let looked_up = AtomicUsize::new(0);
    let client = client_with_names(settings(), move |_| match looked_up.fetch_add(1, Ordering::SeqCst) {
        0 => vec![SocketAddr::from((HERE, 0))],
        _ => vec![SocketAddr::from((METADATA, 0))],
    });
    let url = SourceUrl::new(format!("http://clip.test:{}/clip.mp4", origin.port));
    assert_eq!(drain(client.get(&url, None).await.unwrap()).await.0, b"clip");
    let error = client.get(&url, None).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Missing(Why::ForbiddenAddress));
    assert_eq!(why::<()>(Err(error)), Some(Why::ForbiddenAddress));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn case_27_a_redirect_to_a_name_with_a_forbidden_address_ends_there() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://meta.test/latest\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::sending(answer).await;
    let client = client_with_names(settings(), |name| {
        vec![SocketAddr::from((if name == "meta.test" { METADATA } else { HERE }, 0))]
    });
    let url = SourceUrl::new(format!("http://clip.test:{}/clip.mp4", origin.port));
    assert_eq!(why(client.get(&url, None).await), Some(Why::ForbiddenAddress));
}

#[tokio::test]
async fn case_27_private_addresses_are_refused_where_only_public_ones_are_allowed() {
    let rules = SourceRules { allow_private: false, ..settings().rules };
    let client = client_with_names(SourceSettings { rules, ..settings() }, |_| vec![SocketAddr::from((HERE, 0))]);
    for url in ["http://clip.test/clip.mp4", "https://clip.test/clip.mp4"] {
        assert_eq!(why(client.get(&SourceUrl::new(url), None).await), Some(Why::ForbiddenAddress), "{url}");
    }
}

#[tokio::test]
async fn case_26_a_forbidden_url_is_rejected_without_a_look_up() {
    let client = client_with_names(settings(), |name| panic!("{name} was looked up"));
    for url in ["http://169.254.169.254/x", "http://evil.example/x", "file:///etc/passwd", "clip.mp4", ""] {
        let error = client.get(&SourceUrl::new(url), None).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Rejected(Why::ForbiddenAddress), "{url:?}");
    }
}

#[tokio::test]
async fn a_name_without_an_answer_in_time_is_a_matter_of_dns() {
    let look_up: LookUp = Arc::new(|_| Box::pin(std::future::pending()));
    let mut resolver = JudgingResolver { look_up, allow_private: true, timeout: Duration::from_millis(50) };
    assert!(resolver.call("clip.test".parse().unwrap()).await.is_err());
    let client = client_with_names(settings(), |_| Vec::new());
    assert_eq!(why(client.get(&SourceUrl::new("http://clip.test/x"), None).await), Some(Why::Dns));
}
