use http::{StatusCode, header};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::delivery::{Outcome, header::attachment};

/// Values near the grammar of `Range`, and far from it.
fn range_value() -> impl Strategy<Value = String> {
    let number = prop_oneof![(0u64..400).prop_map(|n| n.to_string()), "[0-9]{0,21}"];
    let spec = (number.clone(), number).prop_map(|(first, last)| format!("{first}-{last}"));
    prop_oneof![
        4 => vec(spec, 0..20).prop_map(|specs| format!("bytes={}", specs.join(", "))),
        1 => "bytes=[0-9, \t-]{0,30}",
        1 => "[ -~]{0,40}",
    ]
}

/// Checks what must hold of a plan, and answers its status.
fn check(len: u64, lines: &[(HeaderName, &[u8])]) -> Result<StatusCode, TestCaseError> {
    let rep = clip(len);
    let headers: HeaderMap =
        lines.iter().filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_bytes(value).ok()?))).collect();
    let plan = plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep);
    let (status, outcome) = (plan.status(), plan.outcome().clone());
    let mut sent = HeaderMap::new();
    plan.write_headers(Caching::Public, &mut sent);

    let mut end = 0;
    let ranges = match plan.clone().into_body() {
        Body::Empty => vec![],
        Body::Clip(range) => vec![range],
        Body::Parts(segments) => {
            let clips = segments.into_iter().filter_map(|segment| match segment {
                Segment::Clip(range) => Some(range),
                Segment::Text(_) => None,
            });
            clips.collect()
        }
    };
    for range in &ranges {
        prop_assert!(end <= range.start && range.start <= range.end && range.end <= len, "{ranges:?}");
        prop_assert!(range.start < range.end || outcome == Outcome::Whole, "{ranges:?}");
        end = range.end;
    }
    prop_assert_eq!(matches!(outcome, Outcome::Parts(_)), ranges.len() > 1);
    let body = assemble(plan);
    if status != StatusCode::NOT_MODIFIED {
        prop_assert_eq!(sent[header::CONTENT_LENGTH].to_str().unwrap(), body.len().to_string());
    }
    Ok(status)
}

proptest! {
    #[test]
    fn any_range_is_planned_within_the_clip(len in 0u64..400, value in range_value()) {
        check(len, &[(header::RANGE, value.as_bytes())])?;
    }

    #[test]
    fn any_bytes_in_a_range_are_planned(len in 0u64..400, value in vec(any::<u8>(), 0..60)) {
        let prefixed = [b"bytes=", value.as_slice()].concat();
        check(len, &[(header::RANGE, &value)])?;
        check(len, &[(header::RANGE, &prefixed)])?;
    }

    #[test]
    fn any_conditions_are_judged(
        len in 0u64..40,
        range in range_value(),
        which in 0usize..5,
        value in prop_oneof![vec(any::<u8>(), 0..40), "(W/|\"|,| |\\*|a)*".prop_map(String::into_bytes)],
    ) {
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
        let name = [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE][which].clone();
        check(len, &[(header::RANGE, range.as_bytes()), (name, &value)])?;
    }

    #[test]
    fn a_well_formed_range_is_never_answered_with_other_bytes(len in 1u64..400, first in 0u64..400, more in 0u64..400) {
        let last = first + more;
        let expected = if first < len { format!("206 {first}-{}/{len}", last.min(len - 1)) } else { format!("416 */{len}") };
        prop_assert_eq!(range(len, &format!("bytes={first}-{last}")), expected);
    }

    #[test]
    fn any_download_name_makes_a_safe_header(name in ".{0,600}") {
        let value = attachment(&name, &"a.mp4".parse().unwrap());
        let text = value.to_str().unwrap();
        let plain = text.strip_prefix("attachment; filename=\"").and_then(|rest| rest.split_once('"'));
        let (plain, rest) = plain.expect("a quoted name");
        prop_assert!(!plain.is_empty() && plain.len() <= 200 && !plain.contains(['/', '\\', '%']), "{text}");
        prop_assert!(rest.is_empty() || rest.starts_with("; filename*=UTF-8''"), "{text}");
    }
}
