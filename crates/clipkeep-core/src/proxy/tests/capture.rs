use serde_json::json;

use crate::proxy::{Capture, Captured};

fn capture(body: &str) -> Captured {
    let mut capture = Capture::default();
    for chunk in body.as_bytes().chunks(7) {
        capture.push(chunk);
    }
    capture.finish()
}

#[test]
fn an_input_is_kept_with_its_prompt_and_seed() {
    let body = r#" {"seed" : -7 ,"nested":{"prompt":"not this","seed":1},"list":[{"prompt":"nor this"}],
        "prompt":"caf\u00e9 \"x\" \ud83d\ude00","n":1.5}"#;
    let captured = capture(body);
    assert_eq!(captured.prompt.as_deref(), Some("café \"x\" 😀"));
    assert_eq!((captured.seed, captured.len), (Some((-7_i64).into()), body.len() as u64));
    assert_eq!(captured.input, Some(serde_json::from_str(body).unwrap()));
}

#[test]
fn long_strings_are_left_out_of_the_input_and_found_in_it_if_they_are_the_prompt() {
    let (data, text, prompt) = ("A".repeat(50_000), "b".repeat(20_000), "p".repeat(30_000));
    let body = json!({"image_url": format!("data:image/png;base64,{data}"), "text": text, "prompt": prompt, "seed": 3});
    let captured = capture(&body.to_string());
    assert_eq!(captured.prompt, Some(prompt));
    let omitted = |n: usize| json!({"$omitted_bytes": n});
    assert_eq!(
        captured.input,
        Some(json!({"image_url": omitted(50_022), "text": omitted(20_000), "prompt": omitted(30_000), "seed": 3}))
    );
    let short = json!({"image_url": "data:text/plain,hi", "prompt": ""});
    assert_eq!(capture(&short.to_string()).input, Some(short));
}

#[test]
fn prompt_and_seed_are_found_behind_any_amount_of_input() {
    let mut capture = Capture::default();
    capture.push(br#"{"images":["#);
    for _ in 0..50_000 {
        capture.push(br#""https://app.example.com/image.png","#);
    }
    capture.push(br#"""],"mask":""#);
    for _ in 0..1_000 {
        capture.push(&[b'x'; 1_000]);
    }
    capture.push(br#"","prompt":"a red fox","seed":42}"#);
    let captured = capture.finish();
    assert_eq!((captured.prompt.as_deref(), captured.seed), (Some("a red fox"), Some(42_i64.into())));
    assert_eq!(captured.input, Some(json!({"$omitted_bytes": captured.len})));
}

#[test]
fn what_is_no_json_is_no_input() {
    for body in ["", "{", "<html>", r#"{"prompt":"x"#, "\u{0}"] {
        assert_eq!(capture(body).input, None, "{body}");
    }
    for body in [r#"["prompt","x"]"#, r#"{"prompt":5,"seed":"7"}"#, r#"{"prompt":{"a":"x"},"seed":[7]}"#, "null"] {
        let captured = capture(body);
        assert_eq!((captured.prompt, captured.seed), (None, None), "{body}");
        assert_eq!(captured.input, Some(serde_json::from_str(body).unwrap()));
    }
    let last = capture(r#"{"prompt":"a","prompt":"b","seed":1,"seed":99999999999999999999}"#);
    assert_eq!((last.prompt.as_deref(), last.seed), (Some("b"), None));
}
