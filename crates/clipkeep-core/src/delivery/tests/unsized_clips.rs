use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};

use super::*;

#[test]
fn h17_what_has_no_length_yet_goes_out_whole_and_is_kept_by_nobody() {
    let rep = Representation::of_unknown_length("video/mp4");
    let (tag, date) = (tag_text(), date(NOW.secs() - 5));
    for (lines, status) in [
        (vec![], 200),
        (vec![(RANGE, "bytes=0-4")], 200),
        (vec![(RANGE, "bytes=-4")], 200),
        (vec![(RANGE, "bytes=0-1,3-4")], 200),
        (vec![(RANGE, "bytes=99-")], 200),
        (vec![(RANGE, "bytes=0-4"), (IF_RANGE, &*tag)], 200),
        (vec![(RANGE, "bytes=0-4"), (IF_RANGE, &*date)], 200),
        (vec![(IF_NONE_MATCH, &*tag)], 200),
        (vec![(IF_NONE_MATCH, "*")], 304),
        (vec![(IF_MODIFIED_SINCE, &*date)], 200),
        (vec![(IF_MATCH, &*tag)], 412),
        (vec![(IF_MATCH, "*")], 200),
        (vec![(IF_UNMODIFIED_SINCE, &*date)], 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let headers = fields(&lines);
            let plan = plan(&RequestHead { method: &method, headers: &headers, now: NOW }, &rep);
            assert_eq!(plan.status().as_u16(), status, "{method} {lines:?}");
            let mut sent = HeaderMap::new();
            plan.write_headers(Caching::Public, &mut sent);
            assert!(!sent.contains_key(ETAG) && !sent.contains_key(LAST_MODIFIED), "{lines:?}: {sent:?}");
            if status == 200 {
                assert!(!sent.contains_key(CONTENT_LENGTH), "{lines:?}: {sent:?}");
                assert_eq!(sent[CACHE_CONTROL], "no-store");
                assert_eq!(sent[ACCEPT_RANGES], "none");
            }
        }
    }
}
