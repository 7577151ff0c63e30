use super::*;
use crate::policy::Policy;

fn read(layers: Layers) -> Result<Config, Vec<String>> {
    Config::from_layers(layers).map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

fn file(text: &str) -> Result<Config, Vec<String>> {
    read(Layers::new().with_file("clipkeep.toml", text))
}

fn env(pairs: &[(&str, &str)]) -> Layers {
    Layers::new().with_env(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

fn flags(pairs: &[(&'static str, &str)]) -> Layers {
    Layers::new().with_flags(pairs.iter().map(|(name, text)| (*name, (*text).to_owned())))
}

#[test]
fn objects_are_shared_where_our_own_urls_lead_to_them() {
    let read = |flags: &[(&'static str, &str)]| {
        let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Config::from_layers(Layers::new().with_flags(flags))
    };
    let cdn = ("final_url_template", "https://cdn.example.com/{key}");
    let before_us = ("final_url_template", "https://cdn.example.com/v/{key}");
    let shares = |flags: &[_]| read(flags).unwrap().share_objects;
    assert!(shares(&[]) && shares(&[("public_url", "https://clips.example.com")]));
    assert!(!shares(&[("share_objects", "false")]) && shares(&[("share_objects", "true")]));
    assert!(!shares(&[cdn]) && !shares(&[before_us]) && shares(&[before_us, ("share_objects", "true")]));
    let refused = read(&[cdn, ("share_objects", "true")]).unwrap_err().to_string();
    assert!(refused.contains("share_objects (--share-objects)") && refused.contains("final_url_template"), "{refused}");
}

#[test]
fn nothing_given_is_the_documented_default() {
    let config = read(Layers::new()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(config.database, DatabaseUrl::Sqlite("./clipkeep-data/clipkeep.db".into()));
    assert_eq!(config.store, StoreUrl::Folder("./clipkeep-data/clips".into()));
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8787");
    let key = "a.mp4".parse().unwrap();
    assert_eq!(config.final_url_template.fill(&key), "http://127.0.0.1:8787/v/a.mp4");
    assert_eq!(config.policies, Policies::default());
    assert_eq!(config.max_clip_size, 20 << 30);
    assert!(config.source_lifetimes == SourceLifetimes::default() && config.admin_token.is_none() && !config.public);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
}

#[test]
fn a_flag_goes_over_the_environment_and_that_over_the_file() {
    let text = "data = '/from-file'\nlisten = '127.0.0.1:1'\nlease = '1m'";
    let layers = || {
        Layers::new().with_flags([("data", "/from-flag".to_owned())]).with_env(
            [("CLIPKEEP_DATA", "/from-env"), ("CLIPKEEP_LISTEN", "127.0.0.1:2")].map(|(n, t)| (n.into(), t.into())),
        )
    };
    let config = read(layers().with_file("f", text)).unwrap();
    assert_eq!(config.data, PathBuf::from("/from-flag"));
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.lease, Duration::from_secs(60));
    // What follows from a key follows from its winner.
    assert_eq!(config.database, DatabaseUrl::Sqlite("/from-flag/clipkeep.db".into()));
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:2");
}

/// Values under which `key`'s example contradicts no other key's.
fn base(key: &Key) -> Layers {
    let wide = [("link_max_ttl", "3650d"), ("retry_max", "7d")];
    flags(&wide.into_iter().filter(|(name, _)| *name != key.name).collect::<Vec<_>>())
}

#[test]
fn every_key_reads_its_example_from_each_layer_to_the_same_effect() {
    for key in KEYS {
        let toml = format!("{} = {}", key.name, error::toml_value(key, key.example));
        let by_file = read(base(key).with_file("f", &toml)).unwrap();
        let by_env = read(base(key).with_env([(key.env_name(), key.example.to_owned())])).unwrap();
        let by_flag = read(base(key).with_flags([(key.name, key.example.to_owned())])).unwrap();
        assert_eq!(format!("{by_file:?}"), format!("{by_env:?}"), "{}", key.name);
        assert_eq!(format!("{by_file:?}"), format!("{by_flag:?}"), "{}", key.name);
        let without = read(base(key)).unwrap();
        assert_ne!(format!("{by_file:?}"), format!("{without:?}"), "{} is read by nobody", key.name);
    }
}

#[test]
fn an_unknown_name_names_the_nearest_where_it_stands() {
    let errors = file("listen = '127.0.0.1:1'\n\ndatabse = 'x'\n[source]\nhosts = []").unwrap_err();
    assert_eq!(
        errors,
        [
            "databse (clipkeep.toml, line 3): there is no such key; did you mean database?",
            "source (clipkeep.toml, line 4): there is no such key; did you mean source_hosts?",
        ]
    );
    let errors = read(env(&[("CLIPKEEP_PUBLICURL", "x")])).unwrap_err();
    let expected =
        "CLIPKEEP_PUBLICURL (environment, CLIPKEEP_PUBLICURL): there is no such key; did you mean CLIPKEEP_PUBLIC_URL?";
    assert_eq!(errors, [expected]);
}

#[test]
fn names_that_are_there_for_other_reasons_are_passed_over() {
    let names =
        ["CLIPKEEP_CONFIG", "CLIPKEEP_LOG", "CLIPKEEP_PORT_8787_TCP", "CLIPKEEP_SERVICE_HOST", "PATH", "AWS_REGION"];
    assert!(read(env(&names.map(|name| (name, "x")))).is_ok());
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_place_and_example() {
    let layers = env(&[("CLIPKEEP_LEASE", "60"), ("CLIPKEEP_SWEEP_EVERY", "1h")])
        .with_file(
            "clipkeep.toml",
            "# keep\ncache_size = '10 bananas'\npublic_url = 'clips.example.com'\n[[policies]]\n",
        )
        .with_flags([("policy", "lazy".to_owned())]);
    let errors = read(layers).unwrap_err();
    for expected in [
        "lease (environment, CLIPKEEP_LEASE): needs a unit: ms, s, m, h, d; for example: CLIPKEEP_LEASE=20s",
        "cache_size (clipkeep.toml, line 2): has an unknown unit; use one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; \
         for example: cache_size = \"200GiB\"",
        "public_url (clipkeep.toml, line 3): must be a URL with its scheme; for example: \
         public_url = \"https://clips.example.com\"",
        "policies (clipkeep.toml, line 4): its entries must be strings; for example: \
         policies = [\"model=fal-ai/veo3*:deferred\", \"tenant=acme:on_demand\"]",
        "policy (--policy): must be one of: eager, deferred, on_demand; for example: --policy deferred",
    ] {
        assert!(errors.iter().any(|error| error == expected), "{expected}\nis not in {errors:#?}");
    }
    assert_eq!(errors.len(), 6, "{errors:#?}");
}

#[test]
fn a_broken_file_is_told_by_line_and_counts_for_nothing() {
    let errors = file("listen = '127.0.0.1:1'\nadmin_token = hunter2hunter2hunter2\n").unwrap_err();
    assert!(errors[0].starts_with("clipkeep.toml, line 2: "), "{errors:?}");
    assert!(!errors.join(" ").contains("hunter2"), "{errors:?}");
    let errors = file("lease = '1m'\nlease = '2m'").unwrap_err();
    assert!(errors[0].starts_with("clipkeep.toml, line 2: duplicate key"), "{errors:?}");
}

#[test]
fn secrets_are_in_no_error_and_no_debug() {
    let secrets = [
        ("CLIPKEEP_ADMIN_TOKEN", "hunter2-admin-token"),
        ("CLIPKEEP_LINK_KEYS", "k1:hunter2hunter2hunter2hunter2hunter2hunter2hu"),
        ("CLIPKEEP_FAL_KEY", "id:hunter2"),
        ("CLIPKEEP_EVENT_ENDPOINTS", "https://app.example.com/hunter2"),
        ("CLIPKEEP_DATABASE", "postgres://u:hunter2@db/keep"),
        ("CLIPKEEP_STORE", "s3://clips"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "hunter2"),
    ];
    let config = read(env(&secrets)).unwrap();
    assert!(config.fal_key.is_some() && config.s3.session_token.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
    let wrong = [
        ("CLIPKEEP_ADMIN_TOKEN", "hunter2"),
        ("CLIPKEEP_FAL_KEY", "hunter2 hunter2"),
        ("CLIPKEEP_DATABASE", "mysql://u:hunter2@db/keep"),
        ("CLIPKEEP_PUBLIC_URL", "https://u:hunter2@example.com"),
        ("CLIPKEEP_SOURCE_HOSTS", "https://u:hunter2@example.com"),
        ("CLIPKEEP_STORE", "s3://id:hunter2@bucket"),
        ("CLIPKEEP_EVENT_ENDPOINTS", "https://u:hunter2@app.example.com"),
        ("CLIPKEEP_EVENT_SECRET", "whsec_hunter2"),
        ("CLIPKEEP_LINK_KEYS", "k1:hunter2"),
        ("CLIPKEEP_INTERNAL_LINK_KEYS", "hunter2"),
    ];
    let errors = read(env(&wrong)).unwrap_err();
    assert_eq!(errors.len(), wrong.len());
    assert!(!errors.join(" ").contains("hunter2"), "{errors:?}");
}

#[test]
fn h42_link_keys_are_judged_with_all_other_keys() {
    let wrong = [
        ("CLIPKEEP_LINK_KEYS", "k1:AAECAwQFBgc="),
        ("CLIPKEEP_INTERNAL_LINK_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
        ("CLIPKEEP_LISTEN", "nowhere"),
    ];
    let errors = read(env(&wrong)).unwrap_err().join("\n");
    for told in ["CLIPKEEP_LISTEN", "link key number 1 must be at least", "link key number 1: "] {
        assert!(errors.contains(told), "{told}: {errors}");
    }
    let given = |text| read(env(&[("CLIPKEEP_LINK_KEYS", text)]));
    for bad in
        ["k1", "k1:", ":AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "k1:%%", "k 1:AAECAwQFBgcICQoLDA0ODxAREhMU"]
    {
        assert!(given(bad).is_err(), "{bad}");
    }
    assert!(given(" ").unwrap().link_keys.is_none(), "then they are made");
    let two = "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=, k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    assert!(given(two).unwrap().link_keys.is_some());
}

#[test]
fn lists_are_arrays_or_comma_separated() {
    let expected = ["*.fal.media", "localhost"];
    for text in ["source_hosts = ['*.fal.media', 'LOCALHOST']", "source_hosts = '*.fal.media , localhost,'"] {
        let hosts = file(text).unwrap().source_hosts;
        assert_eq!(hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>(), expected);
    }
    let config = file("policies = ['model=fal-ai/veo3*:deferred', 'tenant=acme:on_demand']").unwrap();
    assert_eq!(config.policies.resolve(None, Some("fal-ai/veo3/fast"), None), Policy::Deferred);
    let acme = "acme".parse().unwrap();
    assert_eq!(config.policies.resolve(None, Some("fal-ai/wan"), Some(&acme)), Policy::OnDemand);
}

#[test]
fn secrets_of_which_there_may_be_several_are_lists_too() {
    let (first, second) =
        ("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "luma=whsec_bHVtYSBzaWducyB3aXRoIHRoaXMgc2VjcmV0IQ==");
    for text in [format!("[\"{first}\", \"{second}\"]"), format!("\"{first}, {second}\"")] {
        let config = file(&format!("standard_webhook_secrets = {text}")).unwrap();
        assert_eq!(config.standard_webhook_secrets.len(), 2);
        assert_eq!(config.standard_webhook_secrets[1].provider.as_ref().unwrap().as_str(), "luma");
    }
    let refused = file("standard_webhook_secrets = [1]").err().unwrap();
    assert!(refused[0].contains("must be strings"), "{refused:?}");
}

#[test]
fn bare_numbers_and_booleans_are_read_as_written() {
    let config = file("fill_concurrency = 8\nmax_clip_size = 1_000\npublic = true\nfast_start = 'false'").unwrap();
    assert_eq!((config.fill_concurrency, config.max_clip_size), (8, 1000));
    assert!(config.public && !config.fast_start);
    for bad in ["fill_concurrency = 0", "fill_concurrency = 1.5", "public = 1", "lease = 60", "data = {}", "data = []"]
    {
        assert!(file(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_bucket_is_reached_by_the_usual_names() {
    let config = read(env(&[
        ("CLIPKEEP_STORE", "s3://clips/a"),
        ("AWS_ENDPOINT_URL", "http://minio:9000/"),
        ("AWS_ENDPOINT", "http://other:9000"),
        ("AWS_DEFAULT_REGION", "garage"),
        ("AWS_REGION", ""),
    ]))
    .unwrap();
    assert_eq!(config.s3.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!((config.s3.region.as_str(), config.s3.force_path_style), ("garage", true));
    assert!(config.s3.access_key_id.is_none());

    let half = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_ENDPOINT_URL", "minio:9000")];
    let on_folder = read(env(&half)).unwrap();
    assert!(on_folder.s3.access_key_id.is_none(), "they are not ours without a bucket");
    let errors = read(env(&[half[0], half[1], ("CLIPKEEP_STORE", "s3://clips")])).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (pairs, key) in [
        ([("link_ttl", "8d"), ("link_max_ttl", "7d")], "link_ttl (--link-ttl)"),
        ([("retry_base", "1m"), ("retry_max", "30s")], "retry_base (--retry-base)"),
        ([("link_window", "1500ms"), ("public", "true")], "link_window (--link-window)"),
    ] {
        let errors = read(flags(&pairs)).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with(key), "{errors:?}");
    }
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let warnings = |pairs: &[(&'static str, &str)]| read(flags(pairs)).unwrap().warnings();
    let open = ("listen", "0.0.0.0:8787");
    let named = ("public_url", "https://clips.example.com");
    assert_eq!(warnings(&[open]), [Warning::PublicUrlUnspecified]);
    assert_eq!(warnings(&[open, named]), []);
    assert_eq!(warnings(&[open, named, ("source_allow_private", "true")]), [Warning::PrivateSourcesOnPublicAddress]);
    assert_eq!(warnings(&[("source_allow_private", "true")]), []);
    assert_eq!(warnings(&[("public_url", "http://clips.example.com")]), [Warning::PublicUrlPlainHttp]);
    assert_eq!(warnings(&[("fal_jwks_url", "http://fal.example.com/jwks")]), [Warning::FalOverPlainHttp]);
    assert_eq!(warnings(&[("fal_jwks_url", "http://localhost:1/jwks")]), []);
    assert_eq!(warnings(&[("fal_rest_url", "http://fal.example.com")]), [Warning::FalOverPlainHttp]);
    assert_eq!(warnings(&[("proxy_networks", "10.0.0.0/8, 0.0.0.0/0")]), [Warning::ProxyOpenToAll]);
    assert_eq!(warnings(&[("fal_gateway_listen", "127.0.0.1:1")]), [Warning::GatewayWithoutKey]);
    assert_eq!(warnings(&[("database", "postgres://db/keep")]), [Warning::SecretsPerNode]);
    let example = Key::named("admin_token").unwrap().example;
    assert_eq!(warnings(&[("admin_token", example)]), [Warning::ExampleSecret]);
    let app = ("event_endpoints", "https://app.example.com, http://localhost:1");
    assert_eq!(warnings(&[app]), []);
    let (public, internal) =
        ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "i-1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let public = format!("k1:{public}");
    let nodes = [("database", "postgres://db/keep"), ("link_keys", &*public), ("admin_token", "sixteen-letters!")];
    assert_eq!(warnings(&nodes), [Warning::SecretsPerNode]);
    let key = ("receipt_key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(
        warnings(&[&nodes[..], &[app, key, ("internal_link_keys", internal)]].concat()),
        [Warning::EventSecretPerNode]
    );
    assert_eq!(warnings(&[("event_endpoints", "http://app.example.com/x")]), [Warning::EventsOverPlainHttp]);
    assert_eq!(warnings(&[("source_hosts", "")]), [Warning::NoSourceHosts]);
}

#[test]
fn choices_are_those_of_the_types() {
    let names = |name| match Key::named(name).unwrap().kind {
        Kind::Choice(names) => names.to_vec(),
        _ => vec![],
    };
    assert_eq!(names("policy"), Policy::ALL.iter().map(|p| p.as_str()).collect::<Vec<_>>());
    assert_eq!(names("prompts"), Prompts::ALL.iter().map(|p| p.as_str()).collect::<Vec<_>>());
    assert_eq!(names("log_format"), LogFormat::ALL.iter().map(|p| p.as_str()).collect::<Vec<_>>());
}
