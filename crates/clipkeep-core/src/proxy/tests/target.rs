use http::Method;

use crate::proxy::{Call, FalHost, Target, TargetError, with_webhook};

fn judge(method: Method, url: &str) -> Result<Call, TargetError> {
    Target::judge(&method, url).map(|target| target.call)
}

#[test]
fn what_fals_clients_call_passes() {
    let id = || "r-1".parse().unwrap();
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let model = |model: &str| model.to_owned();
    for (method, url, call) in [
        (&post, "https://queue.fal.run/fal-ai/veo3", Call::Submit { model: model("fal-ai/veo3") }),
        (
            &post,
            "https://queue.fal.run/fal-ai/flux-2/edit/?fal_webhook=x",
            Call::Submit { model: model("fal-ai/flux-2/edit") },
        ),
        (&post, "https://queue.falrun.com/workflows/a/b", Call::Submit { model: model("workflows/a/b") }),
        (&post, "https://fal.run/fal-ai/flux/dev", Call::Run { model: model("fal-ai/flux/dev") }),
        (&post, "https://fal.run/fal-ai/flux/dev/stream", Call::Run { model: model("fal-ai/flux/dev/stream") }),
        (&get, "https://queue.fal.run/fal-ai/veo3/requests/r-1", Call::Result(id())),
        (&get, "https://queue.fal.run/fal-ai/veo3/requests/r-1/response", Call::Result(id())),
        (&get, "https://queue.fal.run/fal-ai/flux/dev/requests/r-1", Call::Result(id())),
        (&get, "https://queue.fal.run/comfy/a/b/requests/r-1/status?logs=1", Call::Status(id())),
        (&get, "https://queue.fal.run/fal-ai/veo3/requests/r-1/status/stream?logs=0", Call::StatusStream(id())),
        (&put, "https://queue.fal.run/fal-ai/veo3/requests/r-1/cancel", Call::Cancel(id())),
        (&post, "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3", Call::Storage),
        (&post, "https://rest.alpha.fal.ai/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", Call::Storage),
        (&post, "https://rest.fal.ai/storage/upload/complete-multipart?storage_type=fal-cdn-v3", Call::Storage),
        (&post, "https://rest.fal.ai/tokens/", Call::Token),
    ] {
        assert_eq!(judge(method.clone(), url), Ok(call), "{url}");
    }
    let target = Target::judge(&Method::GET, "https://queue.fal.run/a/b/requests/r/status?logs=1").unwrap();
    assert_eq!((target.host, target.path_and_query().as_str()), (FalHost::Queue, "/a/b/requests/r/status?logs=1"));
}

#[test]
fn case_26_forged_hosts_are_none_of_fals() {
    for url in [
        "http://fal.run/fal-ai/veo3",
        "HTTPS://fal.run/fal-ai/veo3",
        "https://fal.run.evil.com/a/b",
        "https://evilfal.run/a/b",
        "https://x.fal.run/a/b",
        "https://api.fal.ai/v1/keys",
        "https://fal.run:443/a/b",
        "https://fal.run:8443/a/b",
        "https://fal.run./a/b",
        "https://FAL.run/a/b",
        "https://fal.run@evil.com/a/b",
        "https://evil.com@fal.run/a/b",
        "https://user:pw@fal.run/a/b",
        "https://evil.com\\@fal.run/a/b",
        "https://evil.com#@fal.run/a/b",
        "https://evil.com?@fal.run/a/b",
        "https:fal.run/a/b",
        "https:/fal.run/a/b",
        "https:///fal.run/a/b",
        "https:\\\\fal.run/a/b",
        "https://fal%2Erun/a/b",
        "https://fal\u{3002}run/a/b",
        "https://f\u{251}l.run/a/b",
        "https://xn--fl-eia.run/a/b",
        "https://fal.\trun/a/b",
        " https://fal.run/a/b",
        "https://127.0.0.1/a/b",
        "https://[::1]/a/b",
        "//fal.run/a/b",
        "fal.run/a/b",
        "",
    ] {
        assert_eq!(judge(Method::POST, url), Err(TargetError::NotFal), "{url}");
    }
}

#[test]
fn other_calls_of_fals_hosts_do_not_pass() {
    for url in [
        "https://fal.run",
        "https://fal.run/",
        "https://fal.run/veo3",
        "https://fal.run/workflows/a",
        "https://fal.run\\a\\b",
        "https://fal.run/a/../../b/c",
        "https://fal.run/a/%2e%2e/b",
        "https://fal.run/a//b",
        "https://fal.run/a/b#x",
        "https://fal.run/a/b?x#y",
        "https://fal.run/a/b?x y",
        "https://fal.run/a/b\n",
        "https://queue.fal.run/a/b/requests",
        "https://queue.fal.run/a/b/requests/r/else",
        "https://queue.fal.run/a/b/requests/.r",
        "https://rest.fal.ai/storage/upload/initiate/../../keys",
        "https://rest.fal.ai/keys",
        "https://rest.fal.ai/storage/auth/token",
    ] {
        assert_eq!(judge(Method::POST, url), Err(TargetError::NotAllowed), "{url}");
    }
    let long = format!("https://fal.run/a/b?{}", "x".repeat(20_000));
    assert_eq!(judge(Method::POST, &long), Err(TargetError::NotAllowed));
    for (method, url) in [
        (Method::GET, "https://fal.run/a/b"),
        (Method::DELETE, "https://queue.fal.run/a/b"),
        (Method::POST, "https://queue.fal.run/a/b/requests/r"),
        (Method::GET, "https://queue.fal.run/a/b/requests/r/cancel"),
        (Method::GET, "https://rest.fal.ai/tokens/"),
    ] {
        assert_eq!(judge(method, url), Err(TargetError::Method), "{url}");
    }
}

#[test]
fn a_webhook_is_added_where_none_is_named() {
    let ours = "https://clips.example.com/hooks/fal?model=a%2Fb";
    let added = "fal_webhook=https%3A%2F%2Fclips.example.com%2Fhooks%2Ffal%3Fmodel%3Da%252Fb";
    assert_eq!(with_webhook(None, ours), added);
    assert_eq!(with_webhook(Some("fal_max_queue_length=3"), ours), format!("fal_max_queue_length=3&{added}"));
    for kept in ["fal_webhook=https://app.example.com", "a=b&fal_webhook=x", "fal%5Fwebhook=x", "fal_webhook="] {
        assert_eq!(with_webhook(Some(kept), ours), kept);
    }
}
