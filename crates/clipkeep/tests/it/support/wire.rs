//! HTTP as it stands on the wire.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// An answer, read until the connection ended or its length was there.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length").map(|length| length.parse().unwrap())
    }
}

/// Where a node listens.
pub(crate) async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.unwrap()
}

/// The path and query of a URL of ours.
pub(crate) fn target(url: &str) -> &str {
    url.splitn(4, '/').nth(3).map_or("/", |path| &url[url.len() - path.len() - 1..])
}

/// Sends `request` and reads its answer; the connection may go on. `None` where
/// it ends before a head.
pub(crate) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Option<Answer> {
    // Who refuses a request may close before all of it was written.
    let _ = stream.write_all(request.as_bytes()).await;
    read(stream, request.starts_with("HEAD ")).await
}

/// Reads one answer.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), without_body: bool) -> Option<Answer> {
    let mut bytes = Vec::new();
    let at = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let mut answer = Answer { status, headers, body: bytes[at..].to_vec() };
    let is_empty = without_body || matches!(status, 204 | 304);
    let wanted = if is_empty { Some(0) } else { answer.length() };
    while wanted.is_none_or(|wanted| answer.body.len() < wanted) {
        if stream.read_buf(&mut answer.body).await.unwrap_or(0) == 0 {
            break;
        }
    }
    Some(answer)
}
