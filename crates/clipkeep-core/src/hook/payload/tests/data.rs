//! Bytes that stand in the result.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::walk;

/// Samples without a header: nothing shows what they are.
fn samples() -> Vec<u8> {
    (0..3000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect()
}

/// A sound that shows itself.
fn wav() -> Vec<u8> {
    [b"RIFF\x50\x0c\0\0WAVEfmt \x10\0\0\0".to_vec(), samples()].concat()
}

/// The only clip of a result, and that all is understood.
fn only(payload: &Value) -> (String, u64) {
    let media = walk(&payload.to_string());
    let [clip] = media.clips.as_slice() else { panic!("{payload:.200} {media:?}") };
    assert_eq!((media.inlines.len(), &media.unread), (1, &None), "{payload:.200}");
    (format!("{} {}", clip.content_type, clip.slot), media.inlines[0].len())
}

fn why(payload: &Value) -> String {
    let media = walk(&payload.to_string());
    assert_eq!(media.clips, [], "{payload:.200}");
    media.unread.unwrap_or_else(|| panic!("{payload:.200} is forgotten"))
}

#[test]
fn d01_bytes_of_which_only_their_sender_says_what_they_are_are_kept() {
    let (bytes, len) = (BASE64.encode(&samples()), 3000);
    for (payload, expected) in [
        (
            json!({"candidates": [{"content": {"parts": [{"text": "here"}, {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": bytes}}]}}]}),
            "audio/l16 /candidates/0/content/parts/1/inlineData/data",
        ),
        (json!({"audio": {"data": bytes, "content_type": "audio/pcm"}}), "audio/pcm /audio/data"),
        (json!({"x": {"b64_json": bytes, "mime_type": "audio/L16"}}), "audio/l16 /x/b64_json"),
        (json!({"x": {"bytesBase64Encoded": bytes, "mediaType": "audio/pcm"}}), "audio/pcm /x/bytesBase64Encoded"),
        (json!({"x": {"base64": bytes, "format": "pcm16"}}), "audio/pcm /x/base64"),
        (json!({"x": {"data": bytes, "type": "audio/basic"}}), "audio/basic /x/data"),
        (json!({"audio_base64": bytes}), "audio/pcm /audio_base64"),
        (
            json!({"message": {"audio": {"id": "a", "data": bytes, "transcript": "hello"}}}),
            "audio/pcm /message/audio/data",
        ),
        (json!({"audioContent": bytes}), "audio/pcm /audioContent"),
        (json!({"audio": {"url": format!("data:audio/L16;base64,{bytes}")}}), "audio/l16 /audio"),
        (json!({"data": {"audio": HEXLOWER.encode(&samples())}}), "audio/pcm /data/audio"),
    ] {
        assert_eq!(only(&payload), (expected.to_owned(), len), "{payload:.120}");
    }
}

#[test]
fn d01_bytes_are_told_apart_from_words_names_and_signatures() {
    let long = BASE64.encode(&samples());
    for payload in [
        json!({"parts": [{"text": "a fox", "thoughtSignature": long}]}),
        json!({"token": long, "type": "audio"}),
        json!({"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "image_size": "square"}),
        json!({"content": "a text about data", "type": "text/markdown"}),
        json!({"embedding": (0..512).collect::<Vec<_>>(), "data": [1, 2, 3]}),
        json!({"image": {"width": 512, "height": 512}, "audio": {"sample_rate": 24000}}),
    ] {
        let media = walk(&payload.to_string());
        assert_eq!((media.clips.len(), &media.unread), (0, &None), "{payload:.120}");
    }
}

#[test]
fn d01_bytes_that_are_no_text_are_told() {
    let mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".repeat(3);
    for payload in [
        json!({"video": mp4}),
        json!({"video": {"type": "Buffer", "data": mp4}}),
        json!({"result": {"type": "Buffer", "data": mp4}}),
        json!({"audio": vec![0.25; 100]}),
    ] {
        assert!(why(&payload).ends_with("holds numbers in place of a file"), "{payload:.80}");
    }
    assert_eq!(only(&json!({"video": {"bytes": HEXLOWER.encode(&mp4)}})).1, mp4.len() as u64);
}

#[test]
fn d02_data_is_understood_however_it_stands_there() {
    let (plain, wav) = (BASE64.encode(&wav()), wav());
    let lines = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
    for text in [
        plain.clone(),
        plain.trim_end_matches('=').to_owned(),
        BASE64URL_NOPAD.encode(&wav),
        lines.join("\r\n"),
        format!("data:audio/wav;base64,{plain}#t=0.1"),
        format!("data:audio/wav,{plain}"),
        format!("data:;base64,{}", lines.join(" ")),
        plain.replace('+', " "),
    ] {
        for payload in [json!({"audio": {"url": text}}), json!({"audio": text}), json!({"x": {"y": [text]}})] {
            assert_eq!(only(&payload).1, wav.len() as u64, "{payload:.120}");
        }
    }
}

#[test]
fn d02_data_that_cannot_be_decoded_is_told_wherever_it_stands() {
    let mut odd = BASE64.encode(&wav().repeat(60));
    odd.insert(70_000, '*');
    for payload in [
        json!({"audio": {"url": odd}}),
        json!({"video": odd}),
        json!({"x": odd}),
        json!({"x": {"data": odd, "mimeType": "audio/L16"}}),
        json!({"video": {"url": format!("data:video/mp4;base64,{odd}")}}),
    ] {
        assert!(why(&payload).ends_with("holds data that cannot be decoded"), "{payload:.60} {}", why(&payload));
    }
    let unknown = BASE64.encode(&samples());
    assert!(why(&json!({"video_base64": unknown})).ends_with("holds data of no known media type"));
}
