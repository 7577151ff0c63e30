//! Names of keys, right and wrong, and what is in the environment for other reasons.

use super::key::{KEYS, Key, is_reserved_env};

#[test]
fn the_nearest_name_is_the_one_meant() {
    for (typo, meant) in [
        ("databse", "database"),
        ("stroe", "store"),
        ("source-hosts", "source_hosts"),
        ("Public_Url", "public_url"),
        ("defered_after", "deferred_after"),
        ("cachesize", "cache_size"),
        ("falkey", "fal_key"),
    ] {
        assert_eq!(Key::nearest(typo).name, meant, "{typo}");
    }
}

#[test]
fn names_are_unique_and_none_is_reserved() {
    for (at, key) in KEYS.iter().enumerate() {
        assert!(!is_reserved_env(&key.env_name(), ""), "{}", key.name);
        assert!(KEYS[..at].iter().all(|other| other.name != key.name), "{}", key.name);
    }
    assert!(!is_reserved_env("CLIPKEEP_SERVICE", ""));
}

#[test]
fn h35_what_kubernetes_writes_of_services_is_passed_over() {
    for service in ["", "POSTGRESQL_", "2_", "WEB_API_", "PORT_SERVICE_"] {
        for (end, value) in [
            ("SERVICE_HOST", "10.96.0.12"),
            ("SERVICE_HOST", "fd00::12"),
            ("SERVICE_PORT", "5432"),
            ("SERVICE_PORT_TCP_POSTGRESQL", "5432"),
            ("PORT", "tcp://10.96.0.12:5432"),
            ("PORT", "udp://10.96.0.12:53"),
            ("PORT_5432_TCP", "tcp://10.96.0.12:5432"),
            ("PORT_5432_TCP_PROTO", "tcp"),
            ("PORT_5432_TCP_PORT", "5432"),
            ("PORT_5432_TCP_ADDR", "10.96.0.12"),
            ("PORT_53_UDP_ADDR", "fd00::12"),
            ("PORT_9_SCTP", "sctp://[fd00::12]:9"),
        ] {
            assert!(is_reserved_env(&format!("CLIPKEEP_{service}{end}"), value), "{service}{end}={value}");
        }
    }
    for (name, value) in [
        ("PORT", "8787"),
        ("LISTEN_PORT", "8787"),
        ("SERVICE_PORTS", "5432"),
        ("PORT_X_TCP", "tcp://10.0.0.1:1"),
        ("PORT_5432_HTTP_ADDR", "10.0.0.1"),
        ("ADMIN_TOKN", "tcp://10.0.0.1:1"),
        ("DATABASE_URL", "postgres://db"),
    ] {
        assert!(!is_reserved_env(&format!("CLIPKEEP_{name}"), value), "{name}={value}");
    }
}
