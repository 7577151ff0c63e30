//! Ranges and conditions as the test suites of nginx, Apache, Varnish and Go try
//! them, in one table against a stored clip.

use clipkeep_core::state::ClipState;
use fal_sim::Media;

use crate::support::{
    app::TestApp,
    wire::{Answer, connect, exchange, target},
};

/// One request and its answer. In both `$0` is the clip's length, `$1` one less,
/// `$9` nine more; `$E` its entity tag, `$W` the same but weak; `$M` its date,
/// `$B` and `$A` an hour before and after it. Answers: `200`, `206 first-last`,
/// `206 several first-last …`, `304`, `412`, `416`.
type Row = (&'static str, &'static str);

const RANGES: &[Row] = &[
    ("", "200"),
    ("Range: bytes=0-0", "206 0-0"),
    ("Range: bytes=0-", "206 0-$1"),
    ("Range: bytes=0-$1", "206 0-$1"),
    ("Range: bytes=0-$0", "206 0-$1"),
    ("Range: bytes=0-$9", "206 0-$1"),
    ("Range: bytes=0-18446744073709551615", "206 0-$1"),
    ("Range: bytes=0-99999999999999999999999", "206 0-$1"),
    ("Range: bytes=1-1", "206 1-1"),
    ("Range: bytes=2-8", "206 2-8"),
    ("Range: bytes=00-09", "206 0-9"),
    ("Range: bytes=0000000000000000000000000000-0000000000000000000000000001", "206 0-1"),
    ("Range: bytes=100-", "206 100-$1"),
    ("Range: bytes=$1-", "206 $1-$1"),
    ("Range: bytes=$1-$1", "206 $1-$1"),
    ("Range: bytes=$1-$9", "206 $1-$1"),
    ("Range: bytes=-1", "206 $1-$1"),
    ("Range: bytes=-$0", "206 0-$1"),
    ("Range: bytes=-$9", "206 0-$1"),
    ("Range: bytes=-99999999999999999999999", "206 0-$1"),
    ("Range: bytes=$0-", "416"),
    ("Range: bytes=$0-$0", "416"),
    ("Range: bytes=$9-", "416"),
    ("Range: bytes=99999999999999999999999-", "416"),
    ("Range: bytes=99999999999999999999998-99999999999999999999999", "416"),
    ("Range: bytes=-0", "416"),
    ("Range: bytes=$0-,-0", "416"),
    ("Range: BYTES=0-9", "206 0-9"),
    ("Range: Bytes=0-9", "206 0-9"),
    ("range: bytes=0-9", "206 0-9"),
    ("Range:bytes=0-9", "206 0-9"),
    ("Range:    bytes=0-9   ", "206 0-9"),
    ("Range: bytes=0-9 ", "206 0-9"),
    ("Range: bytes=0-9,", "206 0-9"),
    ("Range: bytes=,0-9", "206 0-9"),
    ("Range: bytes=,,0-9,,", "206 0-9"),
    ("Range: bytes=0-4 , 6-9", "206 several 0-4 6-9"),
    ("Range: bytes=0-4,\t6-9", "206 several 0-4 6-9"),
    // What breaks the grammar is ignored as a whole.
    ("Range: bytes", "200"),
    ("Range: bytes=", "200"),
    ("Range: bytes=,", "200"),
    ("Range: bytes= 0-9", "200"),
    ("Range: bytes =0-9", "200"),
    ("Range: bytes:0-9", "200"),
    ("Range: bytes 0-9", "200"),
    ("Range: bytes=-", "200"),
    ("Range: bytes=--1", "200"),
    ("Range: bytes=0--1", "200"),
    ("Range: bytes=5", "200"),
    ("Range: bytes=5-2", "200"),
    ("Range: bytes=1-0", "200"),
    ("Range: bytes=abc", "200"),
    ("Range: bytes=a-b", "200"),
    ("Range: bytes=0-b", "200"),
    ("Range: bytes=0x0-0x9", "200"),
    ("Range: bytes=+0-9", "200"),
    ("Range: bytes=0-+9", "200"),
    ("Range: bytes=0.0-9", "200"),
    ("Range: bytes=0 -9", "200"),
    ("Range: bytes=0- 9", "200"),
    ("Range: bytes=0-9;10-19", "200"),
    ("Range: bytes=0-9,x", "200"),
    ("Range: bytes=0-9,5-2", "200"),
    ("Range: bytes=0-9/100", "200"),
    ("Range: bytes=*", "200"),
    ("Range: bytes=0-*", "200"),
    ("Range: items=0-9", "200"),
    ("Range: seconds=1-2", "200"),
    ("Range: none", "200"),
    ("Range: 0-9", "200"),
    ("Range: bytes=0-9\r\nRange: bytes=20-29", "200"),
    // Several.
    ("Range: bytes=0-0,-1", "206 several 0-0 $1-$1"),
    ("Range: bytes=0-4,10-14", "206 several 0-4 10-14"),
    ("Range: bytes=10-14,0-4", "206 several 0-4 10-14"),
    ("Range: bytes=0-4,5-9", "206 several 0-4 5-9"),
    ("Range: bytes=0-4,4-9", "206 0-9"),
    ("Range: bytes=0-4,2-3", "206 0-4"),
    ("Range: bytes=0-4,0-4", "206 0-4"),
    ("Range: bytes=0-,0-", "206 0-$1"),
    ("Range: bytes=0-,-1", "206 0-$1"),
    ("Range: bytes=-1,0-", "206 0-$1"),
    ("Range: bytes=0-4,$9-", "206 0-4"),
    ("Range: bytes=$9-,0-4", "206 0-4"),
    ("Range: bytes=0-4,-0", "206 0-4"),
    ("Range: bytes=0-0,2-2,4-4,6-6", "206 several 0-0 2-2 4-4 6-6"),
    ("Range: bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32", "200"),
];

const CONDITIONS: &[Row] = &[
    ("If-None-Match: $E", "304"),
    ("If-None-Match: $W", "304"),
    ("If-None-Match: *", "304"),
    ("If-None-Match: \"x\"", "200"),
    ("If-None-Match: \"x\", $E", "304"),
    ("If-None-Match: $E, \"x\"", "304"),
    ("If-None-Match: \"x\",$W,\"y\"", "304"),
    ("If-None-Match: \"a,b\", $E", "304"),
    ("If-None-Match: \"x\"\r\nIf-None-Match: $E", "304"),
    ("If-None-Match: ", "200"),
    ("If-None-Match: x", "200"),
    ("If-None-Match: \"\"", "200"),
    ("If-None-Match: w/\"x\"", "200"),
    ("If-Match: $E", "200"),
    ("If-Match: *", "200"),
    ("If-Match: \"x\", $E", "200"),
    ("If-Match: \"x\"", "412"),
    ("If-Match: $W", "412"),
    ("If-Match: x", "412"),
    ("If-Match: \"x\"\r\nIf-Match: $E", "200"),
    ("If-Modified-Since: $M", "304"),
    ("If-Modified-Since: $A", "304"),
    ("If-Modified-Since: $B", "200"),
    ("If-Modified-Since: yesterday", "200"),
    ("If-Modified-Since: 0", "200"),
    ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "200"),
    ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "200"),
    ("If-Modified-Since: Sun Nov  6 08:49:37 1994", "200"),
    ("If-Unmodified-Since: $M", "200"),
    ("If-Unmodified-Since: $A", "200"),
    ("If-Unmodified-Since: $B", "412"),
    ("If-Unmodified-Since: yesterday", "200"),
    ("If-None-Match: \"x\"\r\nIf-Modified-Since: $A", "200"),
    ("If-None-Match: $E\r\nIf-Modified-Since: $B", "304"),
    ("If-Match: $E\r\nIf-Unmodified-Since: $B", "200"),
    ("If-Match: \"x\"\r\nIf-None-Match: $E", "412"),
    ("If-Match: $E\r\nIf-None-Match: $E", "304"),
    ("If-Unmodified-Since: $B\r\nIf-None-Match: $E", "412"),
    ("Range: bytes=0-9\r\nIf-None-Match: $E", "304"),
    ("Range: bytes=0-9\r\nIf-None-Match: \"x\"", "206 0-9"),
    ("Range: bytes=0-9\r\nIf-Match: \"x\"", "412"),
    ("Range: bytes=$9-\r\nIf-None-Match: $E", "304"),
    ("Range: bytes=$9-\r\nIf-Match: \"x\"", "412"),
    ("Range: bytes=0-9\r\nIf-Modified-Since: $M", "304"),
    ("Range: bytes=0-9\r\nIf-Unmodified-Since: $M", "206 0-9"),
    ("Range: bytes=0-9\r\nIf-Unmodified-Since: $B", "412"),
    ("Range: bytes=0-9\r\nIf-Range: $E", "206 0-9"),
    ("Range: bytes=0-9,20-29\r\nIf-Range: $E", "206 several 0-9 20-29"),
    ("Range: bytes=0-9\r\nIf-Range: $W", "200"),
    ("Range: bytes=0-9\r\nIf-Range: \"x\"", "200"),
    ("Range: bytes=0-9\r\nIf-Range: x", "200"),
    ("Range: bytes=0-9\r\nIf-Range: *", "200"),
    ("Range: bytes=0-9\r\nIf-Range: $E, \"x\"", "200"),
    ("Range: bytes=0-9\r\nIf-Range: $E\r\nIf-Range: $E", "200"),
    ("Range: bytes=0-9\r\nIf-Range: $B", "200"),
    ("Range: bytes=0-9\r\nIf-Range: $A", "200"),
    ("Range: bytes=$9-\r\nIf-Range: \"x\"", "200"),
    ("Range: bytes=$9-\r\nIf-Range: $E", "416"),
    ("If-Range: $E", "200"),
    ("If-Range: \"x\"", "200"),
    ("Accept-Encoding: gzip, br, zstd", "200"),
    ("Accept-Encoding: identity;q=0", "200"),
    ("Accept: text/html", "200"),
    ("Cache-Control: no-cache", "200"),
];

struct Words {
    len: usize,
    etag: String,
    modified: String,
}

impl Words {
    fn spell(&self, text: &str) -> String {
        let date = httpdate::parse_http_date(&self.modified).unwrap();
        let hour = std::time::Duration::from_secs(3600);
        text.replace("$0", &self.len.to_string())
            .replace("$1", &(self.len - 1).to_string())
            .replace("$9", &(self.len + 9).to_string())
            .replace("$E", &self.etag)
            .replace("$W", &format!("W/{}", self.etag))
            .replace("$M", &self.modified)
            .replace("$B", &httpdate::fmt_http_date(date - hour))
            .replace("$A", &httpdate::fmt_http_date(date + hour))
    }
}

/// What an answer is, in the table's words; checks that its body is what it says.
fn told(answer: &Answer, whole: &[u8]) -> String {
    let slice = |range: &str| {
        let (first, last) = range.split_once('-').unwrap();
        &whole[first.parse().unwrap()..=last.parse().unwrap()]
    };
    let kind = answer.header("content-type").unwrap_or_default();
    if let Some(boundary) = kind.strip_prefix("multipart/byteranges; boundary=") {
        let mut ranges = String::from("206 several");
        let mut body = Vec::new();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for line in text.lines().filter_map(|line| line.strip_prefix("Content-Range: bytes ")) {
            let range = line.split('/').next().unwrap();
            let lead = if body.is_empty() { "" } else { "\r\n" };
            body.extend_from_slice(
                format!("{lead}--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {line}\r\n\r\n")
                    .as_bytes(),
            );
            body.extend_from_slice(slice(range));
            ranges.push_str(&format!(" {range}"));
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(answer.body == body, "a part is not what it says");
        return ranges;
    }
    match (answer.status, answer.header("content-range")) {
        (206, Some(range)) => {
            let range = range.strip_prefix("bytes ").unwrap().strip_suffix(&format!("/{}", whole.len())).unwrap();
            assert!(answer.body == slice(range));
            format!("206 {range}")
        }
        (416, range) => {
            assert_eq!(range, Some(&*format!("bytes */{}", whole.len())));
            "416".to_owned()
        }
        (200, None) => {
            assert!(answer.body == whole);
            "200".to_owned()
        }
        (status, None) => {
            assert!(answer.body.is_empty());
            status.to_string()
        }
        (status, range) => panic!("{status} {range:?}"),
    }
}

/// The seconds of `Cache-Control: private, max-age=…, immutable`.
fn max_age(answer: &Answer) -> u64 {
    let text = answer.header("cache-control").unwrap();
    let seconds = text.strip_prefix("private, max-age=").and_then(|rest| rest.strip_suffix(", immutable"));
    seconds.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions_are_answered_as_others_suites_want_it() {
    assert!(RANGES.len() + CONDITIONS.len() >= 140);
    let t = TestApp::start().await;
    t.hook("c", &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let link = t.link("c.mp4");
    let (target, mut stream) = (target(&link), connect(&t.url).await);
    let ask = |method: &str, lines: &str| {
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        format!("{method} {target} HTTP/1.1\r\nHost: c\r\n{lines}\r\n")
    };
    let whole = exchange(&mut stream, &ask("GET", "")).await.unwrap();
    let header = |name: &str| whole.header(name).unwrap().to_owned();
    let words = Words { len: whole.body.len(), etag: header("etag"), modified: header("last-modified") };
    for (lines, expected) in RANGES.iter().chain(CONDITIONS) {
        let answer = exchange(&mut stream, &ask("GET", &words.spell(lines))).await.unwrap();
        assert_eq!(told(&answer, &whole.body), words.spell(expected), "{lines}");
        // HEAD knows no ranges; conditions hold alike.
        let head = exchange(&mut stream, &ask("HEAD", &words.spell(lines))).await.unwrap();
        let status = if matches!(answer.status, 206 | 416) { 200 } else { answer.status };
        assert_eq!(head.status, status, "HEAD {lines}");
        for name in ["etag", "last-modified", "accept-ranges"].iter().filter(|_| status == 200) {
            assert_eq!(head.header(name), whole.header(name), "HEAD {lines}: {name}");
        }
        if status == 200 {
            // It is kept for as long as the link lasts, which is a little less now.
            let (first, later) = (max_age(&whole), max_age(&head));
            assert!(later <= first && first - later < 180, "HEAD {lines}: {first}, {later}");
        }
    }
}
