//! Redirects, each judged afresh.

use clipkeep_core::address::judge_url;
use http::{HeaderMap, header::LOCATION};

use super::*;
use crate::source::client::next_hop;

const CLIP: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nclip";

fn redirect(location: &str) -> Vec<Step> {
    let head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\nConnection: close\r\n";
    vec![Step::Send(format!("{head}{location}\r\n\r\n").into_bytes())]
}

/// Redirects from 0 to 1 and so on by relative locations, to a clip at `last`.
async fn chain(last: u32) -> Origin {
    Origin::deciding(move |head| {
        let hop: u32 = head.split(['/', ' ']).find_map(|word| word.parse().ok()).unwrap();
        if hop == last { vec![Step::Send(CLIP.into())] } else { redirect(&format!("Location: {}", hop + 1)) }
    })
    .await
}

#[tokio::test]
async fn case_25_five_redirects_are_followed_and_a_sixth_is_not() {
    let origin = chain(5).await;
    let response = client(settings()).get(&origin.url("/hop/0"), None).await.unwrap();
    assert_eq!(drain(response).await, (b"clip".to_vec(), Ok(())));

    let origin = chain(11).await;
    let error = client(settings()).get(&origin.url("/hop/0"), None).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Missing(Why::BadRedirect));
    assert_eq!(origin.asked().len(), 6);
}

#[tokio::test]
async fn case_25_a_loop_ends() {
    let origin = Origin::deciding(|_| redirect("Location: /same")).await;
    assert_eq!(why(get(&origin, None).await), Some(Why::BadRedirect));
    assert_eq!(origin.asked().len(), 6);
}

#[tokio::test]
async fn case_25_a_hop_keeps_the_range_and_carries_no_credentials() {
    let target =
        Origin::sending("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-8/9\r\nContent-Length: 5\r\n\r\n45678")
            .await;
    let location = format!("Location: http://clip.test:{}/there#fragment", target.port);
    let origin = Origin::deciding(move |_| redirect(&location)).await;
    let client = client_with_names(settings(), |_| vec![([127, 0, 0, 1], 0).into()]);
    let response = client.get(&origin.url("/clip.mp4"), Some(&resume(4, "\"a\""))).await.unwrap();
    assert_eq!(drain(response).await, (b"45678".to_vec(), Ok(())));
    let asked = target.asked().remove(0);
    assert!(asked.starts_with("get /there http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nrange: bytes=4-\r\n") && asked.contains("\r\nif-range: \"a\"\r\n"), "{asked}");
    for name in ["authorization", "cookie", "referer", "proxy-authorization"] {
        assert!(!asked.contains(&format!("\r\n{name}:")), "{asked}");
    }
}

#[tokio::test]
async fn case_25_redirects_to_nowhere_or_to_the_forbidden_end_there() {
    for (location, expected) in [
        ("X: no location", Why::BadRedirect),
        ("Location: http://[", Why::BadRedirect),
        ("Location: http://", Why::BadRedirect),
        ("Location: file:///etc/passwd", Why::ForbiddenAddress),
        ("Location: ftp://127.0.0.1/x", Why::ForbiddenAddress),
        ("Location: //evil.example/x", Why::ForbiddenAddress),
        ("Location: http://169.254.169.254/latest/meta-data", Why::ForbiddenAddress),
        ("Location: http://0xA9FEA9FE/latest/meta-data", Why::ForbiddenAddress),
        ("Location: http://192.168.0.1/x", Why::ForbiddenAddress),
        ("Location: http://user:pw@127.0.0.1/x", Why::ForbiddenAddress),
    ] {
        let origin = Origin::deciding(|_| redirect(location)).await;
        let error = get(&origin, None).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Missing(expected), "{location}");
        assert_eq!(origin.asked().len(), 1, "{location}");
    }
}

#[test]
fn case_25_no_redirect_leads_from_https_to_http_or_to_a_private_address() {
    let rules = SourceRules { allow_http: false, allow_private: false, ..settings().rules };
    let from = judge_url(&rules, "https://clip.test/files/a.mp4").unwrap();
    let hop = |location: &str| {
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        next_hop(&rules, &from, &headers).map(|url| url.expose().to_string())
    };
    assert_eq!(hop("../b.mp4").unwrap(), "https://clip.test/b.mp4");
    assert_eq!(hop("//cdn.test/b.mp4").unwrap(), "https://cdn.test/b.mp4");
    for location in ["http://clip.test/a.mp4", "https://10.0.0.1/a.mp4", "https://clip.test:8443/a.mp4"] {
        assert_eq!(why(hop(location)), Some(Why::ForbiddenAddress), "{location}");
    }
}

#[tokio::test]
async fn case_28_a_redirect_with_an_endless_body_is_left_behind() {
    let origin = Origin::deciding(|head| {
        if head.starts_with("GET /clip.mp4") {
            let head = "HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n";
            return vec![Step::Send(head.into()), Step::Flood(vec![b'x'; 65_536])];
        }
        vec![Step::Send(CLIP.into())]
    })
    .await;
    assert_eq!(drain(get(&origin, None).await.unwrap()).await.0, b"clip");
    origin.hung_up().await;
}
