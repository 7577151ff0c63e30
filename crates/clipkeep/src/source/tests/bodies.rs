//! Bodies that stop, trickle, end short or go on.

use clipkeep_core::verdict::Framing;

use super::*;

fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// Reads a source to its end, in the given stall timeout.
async fn read(steps: Vec<Step>, stall_timeout: Duration) -> (Vec<u8>, Option<Why>) {
    let origin = Origin::doing(steps).await;
    let client = client(SourceSettings { stall_timeout, ..settings() });
    let (bytes, end) = drain(client.get(&origin.url("/clip.mp4"), None).await.unwrap()).await;
    (bytes, why(end))
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn case_19_a_body_cut_short_of_its_length_is_no_clean_end() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012345678";
    assert_eq!(read(vec![send(answer)], PATIENT).await, (b"012345678".to_vec(), Some(Why::Cut)));
}

#[tokio::test]
async fn case_19_a_chunked_body_without_its_last_chunk_is_cut() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, bytes, end) in [
        ("5\r\n01234\r\n0\r\n\r\n", "01234", None),
        ("5\r\n01234\r\n", "01234", Some(Why::Cut)),
        ("5\r\n01234\r\n0\r\n", "01234", Some(Why::Cut)),
        ("9\r\n01234", "01234", Some(Why::Cut)),
        ("5\r\n01234\r\nxyz", "01234", Some(Why::Cut)),
        ("FFFFFFFFFFFFFFFFF\r\n0", "", Some(Why::Cut)),
    ] {
        let read = read(vec![send(head), send(body)], PATIENT).await;
        assert_eq!(read, (bytes.as_bytes().to_vec(), end), "{body:?}");
    }
}

#[tokio::test]
async fn case_19_an_end_that_only_the_connection_shows_is_told() {
    let origin = Origin::sending("HTTP/1.1 200 OK\r\n\r\n01234").await;
    let response = get(&origin, None).await.unwrap();
    assert_eq!((response.framing, response.total), (Framing::Close, None));
    assert_eq!(drain(response).await, (b"01234".to_vec(), Ok(())));
}

#[tokio::test]
async fn case_23_a_clip_of_no_bytes_is_missing() {
    for head in ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "\r\n"] {
        let read = read(vec![send(format!("HTTP/1.1 200 OK\r\n{head}"))], PATIENT).await;
        assert_eq!(read, (Vec::new(), Some(Why::Empty)), "{head:?}");
    }
}

#[tokio::test]
async fn case_24_a_stall_before_the_end_is_told() {
    let steps = vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), send([b'x'; 99]), Step::Hang];
    let (bytes, end) = read(steps, Duration::from_millis(200)).await;
    assert_eq!((bytes.len(), end), (99, Some(Why::Stalled)));
}

#[tokio::test]
async fn case_24_a_trickle_is_a_stall() {
    // Without the rule the body would arrive whole, after two seconds.
    let drip = Step::Drip(vec![b'x'; 100], Duration::from_millis(20));
    let steps = vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), drip];
    let (bytes, end) = read(steps, Duration::from_millis(300)).await;
    assert_eq!(end, Some(Why::Stalled));
    assert!(bytes.len() < 100);
}

#[tokio::test]
async fn case_15_a_slow_reader_is_no_stall() {
    let stall_timeout = Duration::from_millis(100);
    let body = "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n";
    let origin = Origin::sending(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
    let client = client(SourceSettings { stall_timeout, ..settings() });
    let mut response = client.get(&origin.url("/clip.mp4"), None).await.unwrap();
    origin.hung_up().await;
    for expected in ["a", "b", "c"] {
        assert_eq!(response.body.next().await.unwrap().unwrap(), expected);
        tokio::time::sleep(stall_timeout * 2).await;
    }
    assert_eq!(response.body.next().await, Ok(None));
}

#[tokio::test]
async fn case_21_a_part_shorter_than_the_rest_ends_in_a_cut() {
    let origin =
        Origin::sending("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-6/9\r\nContent-Length: 3\r\n\r\n456")
            .await;
    let (bytes, end) = drain(get(&origin, Some(&resume(4, "\"a\""))).await.unwrap()).await;
    assert_eq!((bytes, why(end)), (b"456".to_vec(), Some(Why::Cut)));
}

#[tokio::test]
async fn case_28_bytes_past_the_promise_are_an_error() {
    let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-8/9\r\n";
    let flood = Step::Flood(b"5\r\nxxxxx\r\n".to_vec());
    for steps in [
        vec![send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")), flood],
        vec![send(format!("{head}\r\n")), Step::Flood(vec![b'x'; 65_536])],
    ] {
        let origin = Origin::doing(steps).await;
        let response = get(&origin, Some(&resume(4, "\"a\""))).await.unwrap();
        let (bytes, end) = drain(response).await;
        assert_eq!(why(end), Some(Why::WrongLength));
        assert!(bytes.len() <= 5);
        origin.hung_up().await;
    }
}

#[tokio::test]
async fn case_20_bytes_past_the_length_never_become_the_clips_nor_the_next_answers() {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin =
        Origin::doing(vec![send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood{extra}")), Step::Hang]).await;
    let client = client(settings());
    for _ in 0..3 {
        let response = client.get(&origin.url("/clip.mp4"), None).await.unwrap();
        assert_eq!(drain(response).await, (b"good".to_vec(), Ok(())));
    }
}

#[tokio::test]
async fn dropping_an_answer_closes_its_connection() {
    let origin = Origin::doing(vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Flood(vec![b'x'; 65_536])]).await;
    let mut response = get(&origin, None).await.unwrap();
    assert!(response.body.next().await.unwrap().is_some());
    drop(response);
    origin.hung_up().await;
}
