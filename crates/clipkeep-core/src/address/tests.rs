use super::*;

fn rules(hosts: &[&str]) -> SourceRules {
    SourceRules { hosts: hosts.iter().map(|h| h.parse().unwrap()).collect(), ..SourceRules::default() }
}

fn judge(ip: &str, allow_private: bool) -> Result<(), Forbidden> {
    judge_ip(ip.parse().unwrap(), allow_private)
}

#[test]
fn case_26_addresses_that_are_not_public_are_refused() {
    for ip in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::10.0.0.1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ] {
        assert_eq!(judge(ip, false), Err(Forbidden::Address), "{ip}");
    }
}

#[test]
fn case_26_public_addresses_are_allowed() {
    for ip in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "2001:4860:4860::8888",
        "3ffe::1",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(judge(ip, false), Ok(()), "{ip}");
    }
}

#[test]
fn case_26_private_networks_open_on_request_but_metadata_never_does() {
    for ip in [
        "10.0.0.1",
        "127.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "1.1.1.1",
    ] {
        assert_eq!(judge(ip, true), Ok(()), "{ip}");
    }
    for ip in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00::5efe:10.0.0.1",
        "2002:a00:1::1",
        "203.0.113.1",
    ] {
        assert_eq!(judge(ip, true), Err(Forbidden::Address), "{ip}");
    }
}

#[test]
fn case_26_every_spelling_of_an_address_is_that_address() {
    // The list allows the addresses, so only the judge of addresses refuses.
    let rules = rules(&["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:a00:1]", "8.8.8.8"]);
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "10.1",
        "0xA9FEA9FE",
        "2852039166",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:a00:1]",
    ] {
        assert_eq!(judge_url(&rules, &format!("https://{host}/x.mp4")).err(), Some(Forbidden::Address), "{host}");
    }
    assert!(judge_url(&rules, "https://0x08080808/x.mp4").is_ok());
}

#[test]
fn case_26_urls_that_dress_up_are_refused() {
    let rules = rules(&["*.fal.media", "xn--bcher-kva.example"]);
    for (url, why) in [
        ("http://v3.fal.media/x", Forbidden::Scheme),
        ("file:///etc/passwd", Forbidden::Scheme),
        ("ftp://v3.fal.media/x", Forbidden::Scheme),
        ("gopher://v3.fal.media:70/x", Forbidden::Scheme),
        ("data:video/mp4;base64,AAAA", Forbidden::Scheme),
        ("//v3.fal.media/x", Forbidden::NotUrl),
        ("/x.mp4", Forbidden::NotUrl),
        ("https://", Forbidden::NotUrl),
        ("https://[fe80::1%25eth0]/x", Forbidden::NotUrl),
        ("https://[fe80::%eth0]/x", Forbidden::NotUrl),
        ("https://user@v3.fal.media/x", Forbidden::UserInfo),
        ("https://user:pw@v3.fal.media/x", Forbidden::UserInfo),
        ("https://:pw@v3.fal.media/x", Forbidden::UserInfo),
        ("https://v3.fal.media@evil.example/x", Forbidden::UserInfo),
        ("https://evil.example\\@v3.fal.media/x", Forbidden::Host),
        ("https://evil.example#@v3.fal.media/x", Forbidden::Host),
        ("https://v3.fal.media./x", Forbidden::Host),
        ("https://fal.media/x", Forbidden::Host),
        ("https://.fal.media/x", Forbidden::Host),
        ("https://evilfal.media/x", Forbidden::Host),
        ("https://v3.fal.media.evil.example/x", Forbidden::Host),
        ("https://127.0.0.1/x", Forbidden::Host),
        ("https://localhost/x", Forbidden::Host),
        ("https://v3.fal.media:22/x", Forbidden::Port),
        ("https://v3.fal.media:80/x", Forbidden::Port),
    ] {
        assert_eq!(judge_url(&rules, url).err(), Some(why), "{url}");
    }
}

#[test]
fn allowed_hosts_pass_in_normal_form() {
    let rules = rules(&["*.fal.media", "BÜCHER.example"]);
    for (url, sent) in [
        ("https://v3.fal.media/files/a.mp4?x=1#t=3", "https://v3.fal.media/files/a.mp4?x=1"),
        ("HTTPS://V3.FAL.MEDIA:443/a", "https://v3.fal.media/a"),
        ("https://a.b.fal.media/a", "https://a.b.fal.media/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
    ] {
        assert_eq!(judge_url(&rules, url).unwrap().expose().as_str(), sent, "{url}");
    }
}

#[test]
fn private_networks_may_use_http_and_any_port() {
    let rules = SourceRules { allow_private: true, allow_http: true, ..rules(&["127.0.0.1"]) };
    assert!(judge_url(&rules, "http://127.0.0.1:8080/x").is_ok());
    assert_eq!(judge_url(&rules, "http://127.0.0.2:8080/x").err(), Some(Forbidden::Host));
}

#[test]
fn no_hosts_means_nowhere() {
    assert_eq!(judge_url(&SourceRules::default(), "https://v3.fal.media/x").err(), Some(Forbidden::Host));
}

#[test]
fn nothing_prints_the_url() {
    let judged = judge_url(&rules(&["*.fal.media"]), "https://v3.fal.media/secret.mp4").unwrap();
    assert_eq!(format!("{judged:?}"), "[source]");
}
