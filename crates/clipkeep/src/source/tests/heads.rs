//! What is asked, and what is made of an answer's head.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"a\"\r\nLast-Modified: Mon, 03 Aug 2026 09:00:00 GMT\r\n\
                     Accept-Ranges: bytes\r\nContent-Type: video/mp4\r\n\r\n012345678";

#[tokio::test]
async fn a_whole_answer_is_read_with_its_version() {
    let origin = Origin::sending(WHOLE).await;
    let response = get(&origin, None).await.unwrap();
    assert_eq!((response.start, response.total, response.accepts_ranges), (0, Some(9), true));
    assert_eq!(response.content_type.as_deref(), Some("video/mp4"));
    assert_eq!(response.version.if_range(), Some("\"a\""));
    assert_eq!(response.version.len, Some(9));
    assert_eq!(drain(response).await, (b"012345678".to_vec(), Ok(())));
}

#[tokio::test]
async fn case_10_identity_is_asked_for_and_encoded_bytes_are_refused() {
    let origin = Origin::sending("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz").await;
    let error = get(&origin, None).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Rejected(Why::Encoded));
    let asked = origin.asked().remove(0);
    assert!(asked.contains("\r\naccept-encoding: identity\r\n"), "{asked}");
    assert!(asked.contains(concat!("\r\nuser-agent: clipkeep/", env!("CARGO_PKG_VERSION"), "\r\n")), "{asked}");
    assert!(!asked.contains("\r\nrange:"), "{asked}");
}

#[tokio::test]
async fn case_22_a_resume_asks_for_the_rest_of_the_same_version() {
    let origin = Origin::sending(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-8/9\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n45678",
    )
    .await;
    let response = get(&origin, Some(&resume(4, "\"a\""))).await.unwrap();
    assert_eq!((response.start, response.total), (4, Some(9)));
    assert_eq!(drain(response).await, (b"45678".to_vec(), Ok(())));
    let asked = origin.asked().remove(0);
    assert!(asked.contains("\r\nrange: bytes=4-\r\n") && asked.contains("\r\nif-range: \"a\"\r\n"), "{asked}");
}

#[tokio::test]
async fn a_piece_is_asked_for_to_the_byte() {
    let origin = Origin::sending(WHOLE).await;
    let piece = Piece { from: 0, to: Some(5), if_range: None };
    get(&origin, Some(&piece)).await.unwrap();
    assert!(origin.asked()[0].contains("range: bytes=0-4\r\n"), "{:?}", origin.asked());
}

#[tokio::test]
async fn case_21_a_200_to_a_resume_starts_at_nought_and_another_range_is_refused() {
    let origin = Origin::sending(WHOLE).await;
    assert_eq!(get(&origin, Some(&resume(4, "\"a\""))).await.unwrap().start, 0);
    let origin = Origin::sending("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-8/9\r\n\r\n012345678").await;
    assert_eq!(why(get(&origin, Some(&resume(4, "\"a\""))).await), Some(Why::WrongRange));
    let origin = Origin::sending("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(get(&origin, Some(&resume(4, "\"a\""))).await.unwrap_err().verdict(), Verdict::Changed);
}

#[tokio::test]
async fn case_23_retry_after_reaches_the_caller() {
    for (value, secs) in [("7", 7), ("Mon, 03 Aug 2026 10:00:30 GMT", 30), ("86400", 3600)] {
        let answer = format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let error = get(&Origin::sending(answer).await, None).await.unwrap_err();
        let after = Some(Duration::from_secs(secs));
        assert_eq!(error.verdict(), Verdict::Retry { after, why: Why::Http5xx }, "{value}");
        assert_eq!(error.to_string(), "the source answers 503");
    }
    let origin = Origin::sending("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(get(&origin, None).await.unwrap_err().verdict(), Verdict::Missing(Why::Http404));
}

#[tokio::test]
async fn case_20_lengths_that_lie_are_no_answer() {
    for lines in [
        "Content-Length: -9",
        "Content-Length: nine",
        "Content-Length: 9\r\nContent-Length: 8",
        "Transfer-Encoding: gzip, chunked",
    ] {
        let origin = Origin::sending(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n012345678")).await;
        assert_eq!(why(get(&origin, None).await), Some(Why::BadResponse), "{lines}");
    }
}

/// What browsers and curl read, too.
#[tokio::test]
async fn heads_that_are_odd_but_plain_are_read() {
    let many: String = (0..300).map(|n| format!("X-{n}: 1\r\n")).collect();
    for head in [
        "HTTP/1.1 203 Non-Authoritative Information\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 218 This is fine\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9, 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: video/mp4;\r\n charset=binary\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Note: a\r\n\tb\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 9\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 9\n\n",
        &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 9\r\n\r\n"),
    ] {
        let origin = Origin::sending(format!("{head}012345678")).await;
        let response = get(&origin, None).await.unwrap_or_else(|error| panic!("{error}: {head}"));
        assert_eq!(response.total, Some(9), "{head}");
        assert_eq!(drain(response).await, (b"012345678".to_vec(), Ok(())), "{head}");
    }
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n0\r\n\r\n";
    let response = get(&Origin::sending(both).await, None).await.unwrap();
    assert_eq!(response.total, None);
    assert_eq!(drain(response).await, (b"012345678".to_vec(), Ok(())));
}

#[tokio::test]
async fn case_28_heads_without_end_are_refused() {
    let line = |text: &str| Step::Send(text.as_bytes().to_vec());
    let many: String = (0..500).map(|n| format!("X-{n}: 1\r\n")).collect();
    for steps in [
        vec![line("HTTP/1.1 200 OK\r\nX: "), Step::Flood(vec![b'a'; 65_536])],
        vec![line("HTTP/1.1 200 OK\r\n"), Step::Flood(b"X: 1\r\n".repeat(100))],
        vec![line("HTTP/1.1 200 OK\r\n"), line(&many), line("Content-Length: 1\r\n\r\nx"), Step::Hang],
        vec![line("SSH-2.0-OpenSSH_9.9\r\n"), Step::Hang],
    ] {
        let origin = Origin::doing(steps).await;
        assert_eq!(why(get(&origin, None).await), Some(Why::BadResponse));
        origin.hung_up().await;
    }
}

fn interim(status: &str, hint: usize) -> String {
    format!("HTTP/1.1 {status}\r\nLink: <{}>\r\n\r\n", "x".repeat(hint))
}

/// At once, and not when patience ends: what the source could send until then
/// fits into the buffers on the way.
#[tokio::test]
async fn h16_a_flood_of_interim_answers_ends_by_its_bound() {
    for flood in [
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100),
        interim("103 Early Hints", 30_000).into_bytes(),
        interim("102 Processing", 300_000).into_bytes(),
        interim(&format!("199 {}", "because ".repeat(1000)), 10).into_bytes(),
        (interim("100 Continue", 1) + &interim("110 Whatever", 5000)).into_bytes(),
    ] {
        let origin = Origin::doing(vec![Step::Flood(flood)]).await;
        let error = get(&origin, None).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::retry(Why::BadResponse), "{error}");
        assert_eq!(error.to_string(), "the source sends too many interim answers (1xx) and no other");
        origin.hung_up().await;
        assert!(origin.flooded() < 32 << 20, "{} bytes were read", origin.flooded());
    }
}

#[tokio::test]
async fn h16_a_flood_behind_a_redirect_or_on_a_used_connection_is_one_too() {
    let origin = Origin::deciding(|head| {
        if head.starts_with("GET /clip.mp4") {
            return vec![Step::Send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".into())];
        }
        vec![Step::Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50))]
    })
    .await;
    assert_eq!(why(get(&origin, None).await), Some(Why::BadResponse));
    origin.hung_up().await;
}

/// What an honest source says before it answers costs nothing, and each request
/// has an allowance of its own.
#[tokio::test]
async fn h16_a_few_interim_answers_are_passed_over() {
    let hints = interim("103 Early Hints", 4000);
    for before in [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n".to_owned(),
        hints.clone(),
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(16),
        hints.repeat(15),
    ] {
        let origin = Origin::sending(format!("{before}{WHOLE}")).await;
        let client = client(settings());
        for _ in 0..3 {
            let response = client.get(&origin.url("/clip.mp4"), None).await.unwrap();
            assert_eq!(drain(response).await, (b"012345678".to_vec(), Ok(())));
        }
    }
    let origin = Origin::sending(format!("{}{WHOLE}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(17))).await;
    assert_eq!(why(get(&origin, None).await), Some(Why::BadResponse));
}

#[tokio::test]
async fn h16_interim_answers_and_then_silence_end_with_the_first_byte_timeout() {
    let origin = Origin::doing(vec![Step::Send(interim("103 Early Hints", 10).into()), Step::Hang]).await;
    let settings = SourceSettings { first_byte_timeout: Duration::from_millis(200), ..settings() };
    assert_eq!(why(client(settings).get(&origin.url("/x"), None).await), Some(Why::FirstByteTimeout));
    origin.hung_up().await;
}

#[tokio::test]
async fn case_24_silence_before_the_first_byte_has_its_own_timeout() {
    let origin = Origin::doing(vec![Step::Hang]).await;
    let settings = SourceSettings { first_byte_timeout: Duration::from_millis(100), ..settings() };
    assert_eq!(why(client(settings).get(&origin.url("/x"), None).await), Some(Why::FirstByteTimeout));
    origin.hung_up().await;
}

#[tokio::test]
async fn a_source_that_hangs_up_before_it_answers_is_cut() {
    assert_eq!(why(get(&Origin::sending("").await, None).await), Some(Why::Cut));
    assert_eq!(why(get(&Origin::sending("HTTP/1.1 200 OK\r\nX:").await, None).await), Some(Why::Cut));
}

#[tokio::test]
async fn a_source_nobody_listens_at_cannot_be_connected_to() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = SourceUrl::new(format!("http://127.0.0.1:{}/clip.mp4", listener.local_addr().unwrap().port()));
    drop(listener);
    assert_eq!(why(client(settings()).get(&url, None).await), Some(Why::Connect));
}

#[tokio::test]
async fn what_speaks_no_tls_gets_no_request() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = SourceUrl::new(format!("https://127.0.0.1:{}/clip.mp4", listener.local_addr().unwrap().port()));
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
        let mut hello = Vec::new();
        let _ = stream.read_to_end(&mut hello).await;
        hello
    });
    assert_eq!(why(client(settings()).get(&url, None).await), Some(Why::Tls));
    let hello = answer.await.unwrap();
    assert!(!hello.windows(8).any(|part| part == b"clip.mp4"));
}
