//! Files that fal's access control keeps from everybody but their account.

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions, Source};

use crate::{matrix::Whole, support::app::TestApp};

use super::Stubborn;

const LEN: u64 = 1_000_000;
const KEY: &str = "key-id:key-secret";

fn kept(status: u16) -> Source {
    Source { acl: Some(status), ..Source::default() }
}

async fn stubborn(key: Option<&str>, source: Source, faults: Faults) -> Stubborn {
    let sim = Sim::start(SimOptions { key: Some(KEY.to_owned()), ..SimOptions::default() }).await.unwrap();
    let mut settings = vec![("fal_api_url", sim.platform_url()), ("not_found_attempts", "2".to_owned())];
    settings.extend(key.map(|key| ("fal_key", key.to_owned())));
    let t = TestApp::on(sim, std::sync::Arc::new(tempfile::tempdir().unwrap()), &settings, &[]).await;
    let media = Media::padded_slow_start(LEN, 1);
    let url = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
    t.sim.set_source(&url, source);
    t.hook("c", &url, "?policy=on_demand").await;
    Stubborn { t, media, url }
}

impl Stubborn {
    fn signatures(&self) -> usize {
        self.t.sim.calls().iter().filter(|call| call.path.ends_with("storage/files/sign")).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k18_a_file_of_the_accounts_own_is_read_by_a_url_that_fal_signs_for_it() {
    // Forbidden, hidden, and one that breaks off on the way.
    for (status, faults) in [
        (403, Faults::none()),
        (404, Faults::always(Fault::rate(800_000))),
        (401, Faults::first(1, Fault::cut_at(LEN / 2))),
    ] {
        let clip = stubborn(Some(KEY), kept(status), faults).await;
        assert_eq!(clip.viewed().await, Whole, "{status}");
        let stored = clip.stored(1.02).await;
        assert_eq!((stored.attempts, clip.signatures()), (1, 1), "{status}");
        // What was signed is kept nowhere, and the key went to the API alone.
        assert_eq!(stored.source_url.expose(), clip.url);
        for request in clip.t.sim.requests() {
            assert!(request.header("authorization").is_none(), "{request:?}");
        }
        for path in ["/api/v1/clips/c.mp4", "/api/v1/clips/c.mp4/history", "/api/v1/clips/c.mp4/receipt"] {
            let told = clip.t.api(path).await.to_string();
            assert!(!told.contains("identity=") && !told.contains("key-secret"), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k18_without_a_key_or_with_a_wrong_one_it_is_lost_as_before() {
    for key in [None, Some("another:key")] {
        let clip = stubborn(key, kept(403), Faults::none()).await;
        clip.fill();
        let lost = clip.t.until("c.mp4", ClipState::Lost).await;
        assert!(lost.last_error.unwrap().contains("403"));
        assert_eq!(clip.signatures() > 0, key.is_some());
    }
}

/// No redirect carries the key or the signature's request on, and a signed URL
/// may lead nowhere but where sources may.
#[tokio::test(flavor = "multi_thread")]
async fn k18_a_signed_url_is_judged_as_any_source_is() {
    let clip = stubborn(Some(KEY), kept(403), Faults::always(Fault::redirect("http://169.254.169.254/latest"))).await;
    clip.fill();
    clip.t.until("c.mp4", ClipState::Lost).await;
    // One that is fine already is not signed at all.
    let clip = stubborn(Some(KEY), Source::default(), Faults::none()).await;
    clip.fill();
    clip.stored(1.0).await;
    assert_eq!(clip.signatures(), 0);
}
