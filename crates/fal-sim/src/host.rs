//! The media host, on bare sockets: its faults reach down into HTTP's framing,
//! where an honest HTTP library would not go.

use std::{
    fmt::Write as _,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    faults::{Fault, Source},
    media::Media,
    server::{File, Sim},
};

const LAST_MODIFIED: &str = "Mon, 23 Nov 2026 08:00:00 GMT";
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn serve(sim: Sim, listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let sim = sim.clone();
        // A client that breaks off ends its connection, nothing else.
        tokio::spawn(async move { while let Ok(true) = exchange(&sim, &mut stream).await {} });
    }
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// One request and its answer; whether the connection goes on.
async fn exchange(sim: &Sim, stream: &mut TcpStream) -> io::Result<bool> {
    let Some(request) = read_request(stream).await? else { return Ok(false) };
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let Some(file) = sim.file(path) else {
        sim.log().add(&request.method, &request.path, request.headers, 404);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found").await?;
        return Ok(true);
    };
    let is_owner = query == format!("identity={}", file.signature);
    let source = file.source.lock().clone();
    let refusal = match admit(&file, &source) {
        _ if source.acl.is_some() && !is_owner => source.acl,
        Ok(admitted) => {
            let number = file.asked.fetch_add(1, Ordering::Relaxed);
            let mut fault = file.faults.lock().of_request(usize::try_from(number).unwrap_or(usize::MAX)).clone();
            validators(&mut fault, &source, number);
            let done = answer(sim, stream, request, &file, &fault).await;
            drop(admitted);
            return done;
        }
        Err(refusal) => Some(refusal),
    };
    let status = refusal.unwrap_or(403);
    sim.log().add(&request.method, &request.path, request.headers, status);
    if status == 0 {
        return Ok(false);
    }
    stream.write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
    Ok(true)
}

/// One of the answers that may run at once.
struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether one more answer is allowed; what is said if not.
fn admit(file: &File, source: &Source) -> Result<Admitted, u16> {
    let refusal = source.refusal.unwrap_or(403);
    let running = file.running.fetch_add(1, Ordering::SeqCst);
    let admitted = Admitted(Arc::clone(&file.running));
    if source.connections.is_some_and(|most| running >= most) {
        return Err(refusal);
    }
    let given = file.answered.fetch_add(1, Ordering::SeqCst);
    if source.uses.is_some_and(|most| given >= most) { Err(refusal) } else { Ok(admitted) }
}

/// What the answer of this number says of its version.
fn validators(fault: &mut Fault, source: &Source, number: u64) {
    let in_turn = |all: &[String]| all.get(usize::try_from(number).ok()? % all.len().max(1)).cloned();
    if source.etag_per_answer {
        fault.etag = Some(format!("\"answer-{number}\""));
    }
    fault.etag = in_turn(&source.etags).or(fault.etag.take());
    fault.last_modified = in_turn(&source.dates).or(fault.last_modified.take());
}

async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = Vec::with_capacity(1024);
    let mut byte = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        // Clients of ours send no body and wait for the answer, so whatever
        // came belongs to one head.
        let read = stream.read(&mut byte).await?;
        if read == 0 || head.len() > 64 * 1024 {
            return Ok(None);
        }
        head.extend_from_slice(&byte[..read]);
    }
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Some(Request { method, path, headers }))
}

/// The answer's head and which bytes follow.
struct Planned {
    status: u16,
    head: String,
    range: Range<u64>,
}

async fn answer(sim: &Sim, stream: &mut TcpStream, request: Request, file: &File, fault: &Fault) -> io::Result<bool> {
    let media = match &fault.body {
        Some(body) => Media::new("text/html", body.clone().into()),
        None => file.media.clone(),
    };
    let planned = plan(&request, file, &media, fault);
    let is_head = request.method == "HEAD";
    let sent = sim.log().add(&request.method, &request.path, request.headers, planned.status);
    tokio::time::sleep(fault.delay()).await;
    for _ in 0..fault.continues {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    stream.write_all(planned.head.as_bytes()).await?;
    if is_head {
        return Ok(true);
    }
    send(stream, &media, planned.range, (file, fault), &sent).await?;
    Ok(!fault.close_delimited && fault.content_length.is_none() && fault.extra == 0)
}

fn plan(request: &Request, file: &File, media: &Media, fault: &Fault) -> Planned {
    let len = media.len();
    let etag = fault.etag.clone().unwrap_or_else(|| file.etag.clone());
    if let Some(location) = &fault.redirect {
        return bare(fault.status.unwrap_or(302), &format!("Location: {location}\r\n"), fault);
    }
    if let Some(status) = fault.status {
        return bare(status, "", fault);
    }
    if let Some(status) = fault.range_status.filter(|_| request.header("range").is_some()) {
        return bare(status, "", fault);
    }
    let wanted = request.header("range").filter(|_| !fault.no_ranges && range_stands(request, &etag, fault));
    let (status, range) = match wanted.and_then(|text| parse_range(text, len)) {
        None => (200, 0..len),
        Some(Some(range)) => (206, range),
        Some(None) => return bare(416, &format!("Content-Range: bytes */{len}\r\n"), fault),
    };
    let range = range.start + fault.range_shift.min(range.end - range.start)..range.end;
    let mut head = format!("HTTP/1.1 {status} {}\r\n", if status == 206 { "Partial Content" } else { "OK" });
    let content_type = fault.content_type.as_deref().unwrap_or(media.content_type);
    let _ = write!(head, "Content-Type: {content_type}\r\n");
    if !etag.is_empty() {
        let _ = write!(head, "ETag: {etag}\r\n");
    }
    if !fault.no_last_modified {
        let _ = write!(head, "Last-Modified: {}\r\n", last_modified(fault));
    }
    match fault.accept_ranges.as_deref() {
        Some("") => {}
        Some(said) => _ = write!(head, "Accept-Ranges: {said}\r\n"),
        None if !fault.no_ranges => head.push_str("Accept-Ranges: bytes\r\n"),
        None => {}
    }
    match &fault.content_range {
        Some(text) if !text.is_empty() => _ = write!(head, "Content-Range: {text}\r\n"),
        None if status == 206 => _ = write!(head, "Content-Range: bytes {}-{}/{len}\r\n", range.start, range.end - 1),
        _ => {}
    }
    if let Some(coding) = &fault.content_encoding {
        let _ = write!(head, "Content-Encoding: {coding}\r\n");
    }
    write_framing(&mut head, &range, fault);
    write_extra_headers(&mut head, fault);
    head.push_str("\r\n");
    Planned { status, head, range }
}

fn write_framing(head: &mut String, range: &Range<u64>, fault: &Fault) {
    if fault.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if fault.close_delimited {
        head.push_str("Connection: close\r\n");
    } else {
        let length = fault.content_length.clone().unwrap_or_else(|| (range.end - range.start).to_string());
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
}

fn write_extra_headers(head: &mut String, fault: &Fault) {
    for (name, value) in &fault.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
}

fn bare(status: u16, line: &str, fault: &Fault) -> Planned {
    let mut head = format!("HTTP/1.1 {status} Answer\r\n{line}Content-Length: 0\r\n");
    if let Some(after) = &fault.retry_after {
        let _ = write!(head, "Retry-After: {after}\r\n");
    }
    write_extra_headers(&mut head, fault);
    head.push_str("\r\n");
    Planned { status, head, range: 0..0 }
}

/// RFC 9110, 13.1.5: a range counts unless `If-Range` names another version.
fn range_stands(request: &Request, etag: &str, fault: &Fault) -> bool {
    match request.header("if-range") {
        None => true,
        Some(_) if fault.ignore_if_range => true,
        Some(tag) if tag.starts_with('"') => tag == etag,
        Some(date) => date == last_modified(fault) && !fault.no_last_modified,
    }
}

fn last_modified(fault: &Fault) -> &str {
    fault.last_modified.as_deref().unwrap_or(LAST_MODIFIED)
}

/// One byte range; `Some(None)` if it cannot be satisfied.
fn parse_range(text: &str, len: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some((suffix > 0 && len > 0).then(|| len.saturating_sub(suffix)..len));
    }
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { len } else { last.parse::<u64>().ok()?.saturating_add(1).min(len) };
    Some((first < len && first < end).then_some(first..end))
}

/// What keeps an answer from going on at this offset.
async fn stop(file: &File, fault: &Fault, at: u64) -> io::Result<()> {
    if fault.hold_at == Some(at) {
        let _ = file.is_free.subscribe().wait_for(|is_free| *is_free).await;
    }
    if fault.stall_at == Some(at) {
        tokio::time::sleep(fault.stall_ms.map_or(FOR_EVER, Duration::from_millis)).await;
    }
    if fault.cut_at == Some(at) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

async fn send(
    stream: &mut TcpStream,
    media: &Media,
    range: Range<u64>,
    (file, fault): (&File, &Fault),
    sent: &Arc<AtomicU64>,
) -> io::Result<()> {
    let began = Instant::now();
    let (first, mut at) = (range.start, range.start);
    while at < range.end {
        let mut until = range.end;
        for stop in [fault.hold_at, fault.stall_at, fault.cut_at].into_iter().flatten().filter(|stop| *stop > at) {
            until = until.min(stop);
        }
        stop(file, fault, at).await?;
        let mut chunk = media.chunk(at..until);
        if let Some(rate) = fault.rate {
            chunk.truncate(usize::try_from((rate / 20).max(1)).unwrap_or(usize::MAX));
            let due = Duration::from_secs_f64((at - first) as f64 / rate as f64);
            tokio::time::sleep_until(began + due).await;
        }
        write_chunk(stream, &chunk, fault).await?;
        at += chunk.len() as u64;
        sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    stop(file, fault, at).await?;
    let mut extra = fault.extra;
    while extra > 0 {
        let some = [0x5a; 8192];
        let take = extra.min(some.len() as u64);
        write_chunk(stream, &some[..usize::try_from(take).unwrap_or(some.len())], fault).await?;
        sent.fetch_add(take, Ordering::Relaxed);
        extra -= take;
    }
    if fault.chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

async fn write_chunk(stream: &mut TcpStream, bytes: &[u8], fault: &Fault) -> io::Result<()> {
    if !fault.chunked {
        return stream.write_all(bytes).await;
    }
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
    stream.write_all(bytes).await?;
    stream.write_all(b"\r\n").await
}
