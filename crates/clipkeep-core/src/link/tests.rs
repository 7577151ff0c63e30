use proptest::prelude::*;

use super::*;

const SIGNING_PAGE: &str = include_str!("../../../../docs/signing.md");
const PATH: &str = "/v/019f6af7.mp4";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_800_003_600);

fn keys() -> LinkKeys {
    "new:AAECAwQFBgcICQoLDA0ODw==,old:8PHy8_T19vf4-fr7_P3-_w".parse().unwrap()
}

fn verify(query: &str) -> Result<VerifiedLink<'_>, LinkError> {
    keys().verify(PATH, Some(query), NOW)
}

struct Vector<'a> {
    path: &'a str,
    expires: Timestamp,
    key: String,
    download: Option<&'a str>,
    signature: &'a str,
}

fn vectors() -> Vec<Vector<'static>> {
    let rows = SIGNING_PAGE.lines().filter(|line| line.starts_with("| `/"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [path, expires, kid, key, download, signature] = cells[..] else { panic!("a vector has six cells: {row}") };
        Vector {
            path,
            expires: Timestamp::from_secs(expires.parse().unwrap()),
            key: format!("{kid}:{key}"),
            download: (!download.is_empty()).then_some(download),
            signature,
        }
    })
    .collect()
}

#[test]
fn the_signing_page_tells_the_truth() {
    let vectors = vectors();
    assert!(vectors.len() >= 4);
    assert!(vectors.iter().any(|v| v.download.is_some_and(|name| !name.is_ascii())));
    for Vector { path, expires, key, download, signature } in vectors {
        let keys: LinkKeys = key.parse().unwrap();
        let query = keys.sign(path, 0, expires, download);
        assert!(query.ends_with(&format!("&signature={signature}")), "{query}");
        let link = keys.verify(path, Some(&query), NOW).unwrap();
        assert_eq!((link.expires, link.download.as_deref()), (expires, download));
    }
}

#[test]
fn the_vectors_as_data_are_those_of_the_page() {
    let data: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../docs/signing-vectors.json")).unwrap();
    let of_page = vectors().into_iter().map(|Vector { path, expires, key, download, signature }| {
        let (kid, key) = key.split_once(':').unwrap();
        let download = download.unwrap_or_default();
        serde_json::json!({"path": path, "expires": expires.secs(), "kid": kid, "key": key, "download": download,
            "signature": signature})
    });
    assert_eq!(data, of_page.collect::<Vec<_>>());
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let old: LinkKeys = "old:8PHy8_T19vf4-fr7_P3-_w".parse().unwrap();
    assert!(verify(&old.sign(PATH, 0, LATER, None)).is_ok());
    assert!(keys().sign(PATH, 0, LATER, None).contains("kid=new"));
    let query = keys().sign(PATH, 0, LATER, None);
    assert_eq!(old.verify(PATH, Some(&query), NOW), Err(LinkError::UnknownKey));
}

#[test]
fn case_43_nothing_signed_can_be_changed() {
    let query = keys().sign(PATH, 0, LATER, Some("a b.mp4"));
    assert_eq!(verify(&query).unwrap().download.as_deref(), Some("a b.mp4"));
    let signature = query.rsplit_once('=').unwrap().1.to_owned();
    let thumb = hmac::sign(&keys().signing.hmac, format!("clipkeep-thumb\n{PATH}\n1800003600\nnew\n").as_bytes());
    let of_another_kind = BASE64URL_NOPAD.encode(thumb.as_ref());
    let table = [
        (query.replace("1800003600", "1800003601"), LinkError::BadSignature),
        (query.replace("kid=new", "kid=old"), LinkError::BadSignature),
        (query.replace("kid=new", "kid=none"), LinkError::UnknownKey),
        (query.replace("kid=new", "kid=NEW"), LinkError::UnknownKey),
        (query.replace("a%20b", "a%20c"), LinkError::BadSignature),
        (query.replace("a%20b", "a%2520b"), LinkError::BadSignature),
        (query.replace("&download=a%20b.mp4", ""), LinkError::BadSignature),
        (query.replace('&', ";"), LinkError::Missing),
        (format!("expires=1800003600&kid=new&signature={of_another_kind}"), LinkError::BadSignature),
        (format!("expires=1800003600&kid=new&signature={}", "A".repeat(43)), LinkError::BadSignature),
        ("expires=1800003600&kid=new&signature=".to_owned(), LinkError::Malformed),
        ("expires=1800003600&kid=new&signature=none".to_owned(), LinkError::Malformed),
        (query.replace(&signature, &format!("{signature}=")), LinkError::Malformed),
        (query.replace("signature", "Signature"), LinkError::Missing),
    ];
    for (tampered, expected) in table {
        assert_eq!(verify(&tampered), Err(expected), "{tampered}");
    }
}

#[test]
fn case_43_a_path_is_taken_as_it_came() {
    let query = keys().sign(PATH, 0, LATER, None);
    for other in [
        "/v/019f6af7.mp5",
        "/v/019F6AF7.mp4",
        "/v/019f6af7%2emp4",
        "/v//019f6af7.mp4",
        "/v/./019f6af7.mp4",
        "/v/%2e%2e/v/019f6af7.mp4",
        "/i/019f6af7.mp4",
        "/v/019f6af7.mp4/",
        "",
    ] {
        assert_eq!(keys().verify(other, Some(&query), NOW), Err(LinkError::BadSignature), "{other}");
    }
}

#[test]
fn case_43_known_parameters_stand_there_once_and_strictly() {
    let query = keys().sign(PATH, 0, LATER, None);
    for doubled in ["expires=1800003600", "kid=new", "signature=x", "download=&download="] {
        assert_eq!(verify(&format!("{query}&{doubled}")), Err(LinkError::Malformed), "{doubled}");
    }
    for spelling in ["+1800003600", "01800003600", "1800003600.0", "%31800003600", "", "-1", "99999999999999999999"] {
        let changed = query.replace("1800003600", spelling);
        assert_eq!(verify(&changed), Err(LinkError::Malformed), "{spelling}");
    }
    for name in ["%", "%4", "%zz", "%ff", "é"] {
        assert_eq!(verify(&format!("{query}&download={name}")), Err(LinkError::Malformed), "{name}");
    }
    let endless = format!("{query}&x={}", "x".repeat(16 * 1024));
    assert_eq!(verify(&endless), Err(LinkError::Malformed));
}

#[test]
fn case_43_foreign_parameters_and_order_change_nothing() {
    let query = keys().sign(PATH, 0, LATER, Some("ü.mp4"));
    let reversed: Vec<_> = query.split('&').rev().collect();
    for same in [format!("{query}&utm_source=x&Expires=1&%6Bid=old&="), format!("a=%zz&&{query}&"), reversed.join("&")]
    {
        assert_eq!(verify(&same).unwrap().download.as_deref(), Some("ü.mp4"), "{same}");
    }
    let plain = keys().sign(PATH, 0, LATER, None);
    assert_eq!(verify(&format!("{plain}&download=")).unwrap().download, None);
}

#[test]
fn an_absent_parameter_is_missing() {
    assert_eq!(keys().verify(PATH, None, NOW), Err(LinkError::Missing));
    for query in ["", "expires=1800003600&kid=new", "kid=new&signature=x", "expires=1&signature=x", "a=b"] {
        assert_eq!(verify(query), Err(LinkError::Missing), "{query}");
    }
}

#[test]
fn case_41_a_link_is_over_from_the_second_it_names() {
    let query = keys().sign(PATH, 0, LATER, None);
    let at = |millis| keys().verify(PATH, Some(&query), Timestamp::from_millis(millis)).map(|link| link.expires);
    assert_eq!(at(1_800_003_599_999), Ok(LATER));
    assert_eq!(at(1_800_003_600_000), Err(LinkError::Expired));
    assert_eq!(at(1_800_003_600_001), Err(LinkError::Expired));
    // The clock went back an hour: the link lives again, as its text says.
    assert_eq!(at(1_800_000_000_000), Ok(LATER));
}

#[test]
fn only_a_genuine_link_is_told_that_it_has_expired() {
    let query = keys().sign(PATH, 0, Timestamp::from_secs(1), None);
    assert_eq!(verify(&query), Err(LinkError::Expired));
    assert_eq!(verify(&query.replace("expires=1&", "expires=2&")), Err(LinkError::BadSignature));
}

#[test]
fn a_space_may_be_written_as_forms_do() {
    let query = keys().sign(PATH, 0, LATER, Some("a b+c.mp4"));
    assert!(query.contains("download=a%20b%2Bc.mp4"), "{query}");
    assert_eq!(verify(&query.replace("%20", "+")).unwrap().download.as_deref(), Some("a b+c.mp4"));
}

#[test]
fn expiry_is_rounded_up_to_the_window() {
    let hour = Duration::from_secs(3600);
    let check = |now_millis, ttl_secs, window, expected| {
        let expires = expires_at(Timestamp::from_millis(now_millis), Duration::from_secs(ttl_secs), window);
        assert_eq!(expires, Timestamp::from_secs(expected));
    };
    check(7_200_000, 3600, hour, 10_800);
    check(7_200_001, 3600, hour, 14_400);
    check(7_201_000, 600, hour, 10_800);
    check(7_200_500, 0, Duration::ZERO, 7201);
    let end_of_time = expires_at(NOW, Duration::MAX, Duration::MAX);
    assert!(end_of_time > NOW);
}

#[test]
fn keys_are_read_in_every_base64() {
    for text in [
        "a:-__--__--__--__--__--__-",
        "a:+//++//++//++//++//++//+",
        "a:AAECAwQFBgcICQoLDA0ODw==",
        "a:AAECAwQFBgcICQoLDA0ODw",
        " a:AAECAwQFBgcICQoLDA0ODw , b:AAECAwQFBgcICQoLDA0ODw== ",
    ] {
        assert!(text.parse::<LinkKeys>().is_ok(), "{text}");
    }
}

#[test]
fn wrong_keys_are_refused_without_being_repeated() {
    let refused = |text: &str| text.parse::<LinkKeys>().unwrap_err();
    assert_eq!(refused(" "), LinkKeysError::Empty);
    assert_eq!(refused("AAECAwQFBgcICQoLDA0ODw"), LinkKeysError::Shape { number: 1 });
    assert_eq!(refused("a:AAECAwQFBgcICQoLDA0ODw,"), LinkKeysError::Shape { number: 2 });
    assert!(matches!(refused(":AAECAwQFBgcICQoLDA0ODw"), LinkKeysError::Kid { number: 1, .. }));
    assert_eq!(refused("a:not base64!"), LinkKeysError::Encoding { number: 1 });
    assert_eq!(refused("a:AAECAwQFBgcICQoLDA0O"), LinkKeysError::TooShort { number: 1 });
    let twice = refused("a:AAECAwQFBgcICQoLDA0ODw,a:8PHy8_T19vf4-fr7_P3-_w");
    assert_eq!(twice.to_string(), "the key id a stands twice among the link keys");
}

#[test]
fn debug_shows_the_ids_alone() {
    assert_eq!(format!("{:?}", keys()), r#"["new", "old"]"#);
}

proptest! {
    #[test]
    fn any_query_is_judged_without_panic(query in ".*") {
        prop_assert!(verify(&query).is_err());
    }

    #[test]
    fn any_near_miss_is_judged_without_panic(
        expires in "[0-9+%-]{0,22}", kid in "(new|old|.{0,3})", download in "[a%+0-9é]{0,8}", signature in "[A-Za-z0-9_=-]{0,44}"
    ) {
        let query = format!("expires={expires}&kid={kid}&download={download}&signature={signature}");
        prop_assert!(verify(&query).is_err());
    }

    #[test]
    fn any_download_name_survives_the_query(name in "\\PC{1,40}") {
        let query = keys().sign(PATH, 0, LATER, Some(&name));
        let link = verify(&query).unwrap();
        prop_assert_eq!(link.download.as_deref(), Some(name.as_str()));
    }
}

const INTERNAL: &str = "/i/019f6af7.mp4";

/// Internal keys; the first is the very key that public links are signed with.
fn internal() -> LinkKeys {
    LinkKeys::parse("i-new:AAECAwQFBgcICQoLDA0ODw,i-old:8PHy8_T19vf4-fr7_P3-_w", Audience::Internal).unwrap()
}

#[test]
fn case_43_a_link_of_one_audience_is_never_one_of_the_other() {
    let (public, private) = (keys().sign(PATH, 0, LATER, None), internal().sign(INTERNAL, 0, LATER, None));
    assert!(keys().verify(PATH, Some(&public), NOW).is_ok());
    assert!(internal().verify(INTERNAL, Some(&private), NOW).is_ok());
    let kids =
        |query: &str| [query.to_owned(), query.replace("kid=new", "kid=i-new"), query.replace("kid=i-new", "kid=new")];
    for path in [PATH, INTERNAL] {
        for query in kids(&public) {
            assert!(internal().verify(path, Some(&query), NOW).is_err(), "{path} {query}");
        }
        for query in kids(&private) {
            assert!(keys().verify(path, Some(&query), NOW).is_err(), "{path} {query}");
        }
    }
    // Signed for the other's path, by who has one audience's keys alone.
    let crossed = keys().sign(INTERNAL, 0, LATER, None).replace("kid=new", "kid=i-new");
    assert_eq!(internal().verify(INTERNAL, Some(&crossed), NOW), Err(LinkError::BadSignature));
    // Even a key that were called the same would sign under another domain.
    let domains = [Audience::Public, Audience::Internal].map(|audience| LinkKeys { audience, ..keys() });
    let crossed = domains[0].sign(INTERNAL, 0, LATER, None);
    assert_eq!(domains[1].verify(INTERNAL, Some(&crossed), NOW), Err(LinkError::BadSignature));
}

#[test]
fn internal_links_and_generations_are_signed_as_documented() {
    // By Python's hmac, from the words of docs/signing.md.
    for (query, signature) in [
        (internal().sign(INTERNAL, 2, LATER, Some("a b.mp4")), "dfccWJAC3Pyk7Ng77wpxoFBsELoMPZ5fOLOysy0IQiw"),
        (keys().sign(PATH, 2, LATER, None), "QBxyL7qyZ3ziVOq8oMWKGbVitstlkCfIp_uCPnMdUaU"),
    ] {
        assert!(query.ends_with(&format!("&signature={signature}")), "{query}");
    }
}

#[test]
fn key_ids_tell_the_audience() {
    let refused = LinkKeys::parse("new:AAECAwQFBgcICQoLDA0ODw", Audience::Internal).unwrap_err();
    assert!(matches!(refused, LinkKeysError::Audience { number: 1, .. }));
    let refused = "a:AAECAwQFBgcICQoLDA0ODw,i-a:AAECAwQFBgcICQoLDA0ODw".parse::<LinkKeys>().unwrap_err();
    assert!(matches!(refused, LinkKeysError::Audience { number: 2, .. }));
}

#[test]
fn a_generation_is_signed_along_with_the_key_id() {
    let query = keys().sign(PATH, 3, LATER, None);
    assert!(query.contains("&kid=new.3&"), "{query}");
    let link = verify(&query).unwrap();
    assert_eq!((link.kid, link.generation), ("new", 3));
    assert_eq!(verify(&keys().sign(PATH, 0, LATER, None)).unwrap().generation, 0);
    for (other, expected) in [
        ("new", LinkError::BadSignature),
        ("new.4", LinkError::BadSignature),
        ("old.3", LinkError::BadSignature),
        ("new.03", LinkError::Malformed),
        ("new.+3", LinkError::Malformed),
        ("new.0", LinkError::Malformed),
        ("new.", LinkError::Malformed),
        ("new.3.3", LinkError::Malformed),
        ("new.4294967296", LinkError::Malformed),
        (".3", LinkError::UnknownKey),
    ] {
        assert_eq!(verify(&query.replace("kid=new.3", &format!("kid={other}"))), Err(expected), "{other}");
    }
}

#[test]
fn what_is_revoked_is_refused_and_forgotten_after_its_time() {
    let (one, other) = (keys().sign(PATH, 0, LATER, None), keys().sign(PATH, 0, LATER, Some("x")));
    let (one, other) = (verify(&one).unwrap(), verify(&other).unwrap());
    let link = Revocation::Link { hash: one.hash(), expires: one.expires };
    let mut revoked = Revoked::default();
    assert!(revoked.is_empty() && !revoked.refuses(&one));
    revoked.add(link.clone());
    assert!(revoked.refuses(&one) && !revoked.refuses(&other));
    let key = Revocation::Key("old".parse().unwrap());
    revoked.add(key.clone());
    revoked.forget(link.ends().unwrap().minus(Duration::from_secs(1)));
    assert!(revoked.refuses(&one), "clocks may differ");
    revoked.forget(link.ends().unwrap());
    assert!(!revoked.refuses(&one) && revoked.has_key(&"old".parse().unwrap()));
    revoked.add(Revocation::Key("new".parse().unwrap()));
    assert!(revoked.refuses(&one) && revoked.refuses(&other));
    let later = keys().sign(PATH, 7, LATER, None);
    assert!(revoked.refuses(&verify(&later).unwrap()), "a key is its links of every generation");
    for written in [link, key] {
        assert_eq!(written.to_string().parse(), Ok(written));
    }
    for nonsense in ["", "link", "link x 1", "key", "key a b", "key .", "kid a"] {
        assert_eq!(nonsense.parse::<Revocation>(), Err(RevocationError), "{nonsense}");
    }
}

#[test]
fn what_is_signed_anew_is_not_what_was_revoked() {
    let now = Timestamp::from_secs(LATER.secs() - 1000);
    let mut revoked = Revoked::default();
    let anew = |revoked: &Revoked, now| keys().sign_anew(revoked, now, (PATH, 0), LATER, Some("x"));
    let read =
        |query: &str| keys().verify(PATH, Some(query), now).map(|link| (link.hash(), link.kid.to_owned())).unwrap();
    assert_eq!(anew(&revoked, now), Ok((keys().sign(PATH, 0, LATER, Some("x")), LATER)));
    for back in 0..3 {
        let (query, expires) = anew(&revoked, now).unwrap();
        assert_eq!(expires.secs(), LATER.secs() - back);
        assert_eq!(anew(&revoked, now), Ok((query.clone(), expires)), "it repeats");
        revoked.add(Revocation::Link { hash: read(&query).0, expires });
    }
    // A name of its own is another link.
    assert_eq!(keys().sign_anew(&revoked, now, (PATH, 0), LATER, None).unwrap().1, LATER);
    // None is over when it is made.
    let late = Timestamp::from_secs(LATER.secs() - 3);
    assert_eq!(anew(&revoked, late), Err(SignError::LinksRevoked));
    revoked.add(Revocation::Key("new".parse().unwrap()));
    assert_eq!(read(&anew(&revoked, now).unwrap().0).1, "old", "the next key signs");
    revoked.add(Revocation::Key("old".parse().unwrap()));
    assert_eq!(anew(&revoked, now), Err(SignError::KeysRevoked));
}
