//! What only a bucket does: parts, permits, and the troubles of a network.

use clipkeep::store::{Store, StoreError};
use clipkeep_core::time::Timestamp;
use fal_sim::Media;
use futures_util::{TryStreamExt, future::join_all};
use http::Method;
use object_store::{Attribute, ObjectStoreExt, aws::AmazonS3Builder, path::Path};

use super::{PART, Place, garage, key, open, spool, target, troubled_bucket, write};
use crate::support::bucket_proxy::{BucketProxy, Seen, Trouble};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";
const PRECONDITION: &str = "<Error><Code>PreconditionFailed</Code></Error>";

fn small() -> Media {
    Media::named("silent.mp4")
}

/// Two parts.
fn large() -> Media {
    Media::padded(PART + 1000, 1)
}

#[tokio::test]
async fn case_36_all_parts_but_the_last_are_of_one_size() {
    let (p, proxy, _) = troubled_bucket().await;
    let sizes: [(u64, &[u64]); 3] = [(2 * PART, &[PART, PART]), (2 * PART + 5, &[5, PART, PART]), (PART, &[])];
    for (len, expected) in sizes {
        let before = proxy.seen().len();
        assert!(p.keep(&format!("{len}.mp4"), &Media::padded(len, 1)).await.unwrap());
        let requests = proxy.seen().split_off(before);
        let mut sent: Vec<u64> = requests.iter().filter(|seen| seen.is_part()).map(|seen| seen.len).collect();
        sent.sort_unstable();
        assert_eq!(sent, expected, "{len}");
    }
}

#[tokio::test]
async fn case_44_an_object_carries_its_media_type_and_nothing_else() {
    let (p, _, place) = troubled_bucket().await;
    let client = AmazonS3Builder::new()
        .with_bucket_name(garage::BUCKET)
        .with_endpoint(&place.endpoint)
        .with_allow_http(true)
        .with_region("garage")
        .with_access_key_id(garage::ACCESS_KEY)
        .with_secret_access_key(garage::SECRET_KEY)
        .build()
        .unwrap();
    for (name, media) in [("small.mp4", small()), ("large.mp4", large())] {
        assert!(p.keep(name, &media).await.unwrap());
        let got = client.get(&Path::from(place.prefix.as_str()).join(name)).await.unwrap();
        let attributes: Vec<_> = got.attributes.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        assert_eq!(attributes, [(Attribute::ContentType, "video/mp4".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i07_eight_uploads_share_the_memory_of_three_parts() {
    let (p, proxy, _) = troubled_bucket().await;
    let media = Media::padded(2 * PART + 9, 2);
    let names: Vec<_> = (0..8).map(|n| format!("clip-{n}.mp4")).collect();
    let kept = join_all(names.iter().map(|name| p.keep(name, &media))).await;
    assert!(kept.into_iter().all(|kept| kept.unwrap()));
    assert!(proxy.peak() <= 3, "{}", proxy.peak());
}

#[tokio::test]
async fn h43_a_listing_that_never_ends_is_given_up() {
    let proxy = BucketProxy::start("http://127.0.0.1:1").await;
    let place = garage::Place { endpoint: String::new(), prefix: "p".to_owned() };
    let store = open(target(&place, place.aws_through(&proxy.endpoint))).await;
    for query in ["list-type", "uploads"] {
        // It is asked four times.
        for _ in 0..4 {
            proxy.trouble(Method::GET, query, Trouble::Endless);
        }
    }
    assert!(matches!(store.list().try_next().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.stale().try_next().await, Err(StoreError::Unavailable { .. })));
    // Each time some MiB, and what lies in the sockets; nowhere near what would hurt.
    assert!(proxy.is_calm() && proxy.poured() < 8 * (32 << 20), "{}", proxy.poured());
}

#[tokio::test]
async fn case_34_a_busy_bucket_is_asked_again() {
    let (p, proxy, _) = troubled_bucket().await;
    for (method, query) in [(Method::POST, "uploads"), (Method::PUT, "partNumber=2"), (Method::POST, "uploadId")] {
        proxy.trouble(method, query, Trouble::Answer(503, SLOW_DOWN));
    }
    proxy.trouble(Method::PUT, "partNumber=1", Trouble::Answer(429, SLOW_DOWN));
    assert!(p.keep("busy.mp4", &large()).await.unwrap());
    assert!(proxy.is_calm() && p.nothing_is_open().await);
}

#[tokio::test]
async fn case_34_a_200_with_an_error_in_its_body_is_no_success() {
    let (p, proxy, _) = troubled_bucket().await;
    proxy.trouble(Method::POST, "uploadId", Trouble::Answer(200, INTERNAL));
    assert!(p.keep("error-body.mp4", &large()).await.unwrap());
    assert!(proxy.is_calm());
}

#[tokio::test]
async fn case_34_an_unknown_error_in_the_body_fails_and_leaves_nothing() {
    let (p, proxy, _) = troubled_bucket().await;
    proxy.trouble(Method::POST, "uploadId", Trouble::Answer(200, "<Error><Code>InvalidPart</Code></Error>"));
    let kept = p.keep("invalid.mp4", &large()).await;
    assert!(matches!(kept, Err(StoreError::Unavailable { .. })), "{kept:?}");
    assert_eq!(p.store.head(&key("invalid.mp4")).await.unwrap(), None);
    assert!(p.nothing_is_open().await);
}

#[tokio::test]
async fn case_34_a_completion_whose_answer_was_lost_is_a_success() {
    let (p, proxy, _) = troubled_bucket().await;
    // The second try meets NoSuchUpload, in the bucket's own words.
    proxy.trouble(Method::POST, "uploadId", Trouble::Lost(500, INTERNAL));
    assert!(p.keep("lost-answer.mp4", &large()).await.unwrap());
    let completed = |seen: &&Seen| seen.method == Method::POST && seen.query.contains("uploadId");
    assert_eq!(proxy.seen().iter().filter(completed).count(), 2);
}

#[tokio::test]
async fn case_34_a_small_put_that_meets_its_own_success_is_a_success() {
    let (p, proxy, _) = troubled_bucket().await;
    proxy.trouble(Method::PUT, "", Trouble::Lost(500, INTERNAL));
    proxy.trouble(Method::PUT, "", Trouble::Answer(412, PRECONDITION));
    assert!(p.keep("own.mp4", &small()).await.unwrap());
    assert!(proxy.is_calm());
}

#[tokio::test]
async fn case_38_a_put_that_loses_the_race_leaves_the_winner() {
    let (p, proxy, _) = troubled_bucket().await;
    let (winner, loser) = (small(), Media::padded(1 << 20, 7));
    p.keep("race.mp4", &winner).await.unwrap();
    // The look before the act sees nothing yet; the put is refused.
    proxy.trouble(Method::HEAD, "", Trouble::Answer(404, ""));
    proxy.trouble(Method::PUT, "", Trouble::Answer(412, PRECONDITION));
    let lost = p.keep("race.mp4", &loser).await;
    assert!(matches!(lost, Err(StoreError::Exists { .. })), "{lost:?}");
    assert_eq!(p.store.hash(&key("race.mp4")).await.unwrap().sha256, winner.sha256());
}

#[tokio::test]
async fn a_bucket_without_conditional_puts_is_asked_plainly_from_then_on() {
    let (p, proxy, _) = troubled_bucket().await;
    for _ in 0..9 {
        proxy.trouble(Method::PUT, "", Trouble::Answer(501, "<Error><Code>NotImplemented</Code></Error>"));
    }
    assert!(p.keep("plain.mp4", &small()).await.unwrap());
    let before = proxy.seen().len();
    assert!(p.keep("plain-too.mp4", &small()).await.unwrap());
    let puts = proxy.seen()[before..].iter().filter(|seen| seen.method == Method::PUT).count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn a_part_that_fails_ends_the_upload_while_the_clip_still_grows() {
    let (p, proxy, place) = troubled_bucket().await;
    proxy.trouble(Method::PUT, "partNumber=1", Trouble::Answer(400, "<Error><Code>BadDigest</Code></Error>"));
    let (mut writer, file) = spool(p.dir.path(), "bad").await;
    write(&mut writer, &large(), 0..PART + 1000).await;
    writer.flush().await.unwrap();
    let failed = p.store.stage(&key("bad.mp4"), "video/mp4", &file).await.map(drop).unwrap_err();
    let words = format!("uploading a part of {}/bad.mp4 failed: 400 Bad Request, BadDigest", place.prefix);
    assert_eq!(failed.to_string(), words);
    assert!(p.nothing_is_open().await);
}

#[tokio::test]
async fn case_38_a_gateway_that_ignores_ranges_is_an_error() {
    let (p, proxy, _) = troubled_bucket().await;
    p.keep("ranged.mp4", &small()).await.unwrap();
    proxy.trouble(Method::GET, "", Trouble::NoRanges);
    assert!(p.store.read(&key("ranged.mp4"), 10..20).await.is_err());
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_clean_end() {
    let (p, proxy, _) = troubled_bucket().await;
    p.keep("short.mp4", &small()).await.unwrap();
    proxy.trouble(Method::GET, "", Trouble::Short);
    let read = p.store.read(&key("short.mp4"), 0..1000).await.unwrap().try_collect::<Vec<_>>().await;
    assert!(matches!(read, Err(StoreError::Damaged { expected: 1000, found: 500, .. })), "{read:?}");
}

#[tokio::test]
async fn case_35_the_listing_of_open_uploads_is_read_to_its_end() {
    const FIRST: &str = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
        <NextKeyMarker>a.mp4</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker><Upload><Key>a.mp4</Key>\
        <UploadId>u1</UploadId><Initiated>2026-01-31T12:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    const SECOND: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>b&amp;c.mp4</Key>\
        <UploadId>u2</UploadId><Initiated>2026-01-31T12:00:01.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    let (p, proxy, _) = troubled_bucket().await;
    proxy.trouble(Method::GET, "uploads", Trouble::Answer(503, SLOW_DOWN));
    proxy.trouble(Method::GET, "uploads", Trouble::Answer(200, FIRST));
    proxy.trouble(Method::GET, "key-marker=a.mp4&upload-id-marker=u1", Trouble::Answer(200, SECOND));
    let open = p.store.list_stale().await.unwrap();
    assert!(proxy.is_calm());
    assert_eq!(open.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["a.mp4", "b&c.mp4"]);
    assert_eq!(open[1].initiated, "2026-01-31T12:00:01Z".parse::<Timestamp>().unwrap());
}

#[tokio::test]
async fn case_38_wrong_credentials_are_told_without_being_shown() {
    let (_, proxy, place): (Place, BucketProxy, _) = troubled_bucket().await;
    let wrong = garage::SECRET_KEY.replace('0', "1");
    let mut aws = place.aws_through(&proxy.endpoint);
    aws[1].1.clone_from(&wrong);
    let store = open(target(&place, aws)).await;
    let failure = store.probe().await.unwrap_err();
    assert_eq!(failure.to_string(), "the store cannot write an object");
    assert!(matches!(failure.source, StoreError::Denied { .. }), "{failure:?}");
    let words = format!("{failure:?} {}", failure.source);
    assert!(!words.contains(&wrong) && !words.contains(garage::ACCESS_KEY), "{words}");
    assert!(matches!(store.list_stale().await, Err(StoreError::Denied { .. })));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_a_missing_object() {
    let (_, _, place) = troubled_bucket().await;
    let clipkeep::store::StoreTarget::S3 { prefix, settings, .. } = target(&place, place.aws()) else { unreachable!() };
    let elsewhere = clipkeep::store::StoreTarget::S3 { bucket: "nowhere".to_owned(), prefix, settings };
    let store: Store = open(elsewhere).await;
    let failure = store.probe().await.unwrap_err();
    assert!(matches!(failure.source, StoreError::NoBucket { .. }), "{}", failure.source);
    assert!(failure.source.to_string().contains("(404 Not Found, NoSuchBucket)"), "{}", failure.source);
    assert!(matches!(store.marker().await, Err(StoreError::NoBucket { .. })));
}
