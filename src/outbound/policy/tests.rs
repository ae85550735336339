//! What the guard permits: by address, by name, by row.

use super::{
    super::networks::tests::{NOT_PUBLIC, PUBLIC},
    *,
};

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 80)
}

fn allowed(entries: &[&str]) -> Allowed {
    Allowed::parse(&entries.iter().map(|entry| entry.to_string()).collect::<Vec<_>>(), "tool_allow").unwrap()
}

fn tools(entries: &[&str], own: Option<&str>) -> Guard {
    Guard::Tools { allowed: allowed(entries), own: own.map(|uri| target(&uri.parse().unwrap())) }
}

fn may(guard: &Guard, uri: &str, address: &str) -> bool {
    match guard.permitted(&uri.parse().unwrap(), &[at(address)]) {
        Ok(permitted) => permitted == [at(address)],
        Err(refused) => {
            assert!(refused.get_ref().is_some_and(|why| why.is::<ForbiddenAddress>()), "{refused}");
            false
        }
    }
}

#[test]
fn link_local_and_metadata_addresses_are_no_providers_however_they_are_written() {
    let all = Guard::Providers { only: None };
    for forbidden in [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "fe80::1",
        "febf::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:a9fe:1::1",
    ] {
        assert!(!may(&all, "http://a.example", forbidden), "{forbidden}");
    }
    let fine =
        ["127.0.0.1", "10.0.0.1", "192.168.1.2", "100.100.100.201", "8.8.8.8", "::1", "fd00:ec2::253", "2001:db8::1"];
    let uri = "http://a.example".parse().unwrap();
    assert_eq!(all.permitted(&uri, &fine.map(at)).unwrap(), fine.map(at));
    assert_eq!(all.permitted(&uri, &[at("169.254.1.1"), at("10.0.0.1")]).unwrap(), [at("10.0.0.1")]);
    assert_eq!(all.permitted(&uri, &[]).unwrap(), []);
}

#[test]
fn owners_providers_reach_what_is_named_and_never_metadata() {
    let named = Guard::Providers { only: Some(allowed(&["models.example", "10.0.0.0/8:80", "169.254.169.254"])) };
    for (uri, address, is_permitted) in [
        ("http://models.example", "127.0.0.1", true),
        ("http://models.example", "8.8.8.8", true),
        ("http://a.example", "10.1.2.3", true),
        ("http://a.example", "8.8.8.8", false),
        ("http://a.example", "127.0.0.1", false),
        ("http://169.254.169.254", "169.254.169.254", false),
        ("http://models.example", "169.254.0.9", false),
    ] {
        assert_eq!(may(&named, uri, address), is_permitted, "{uri} at {address}");
    }
    assert!(named.permits_by_name(&"https://models.example".parse().unwrap()).is_ok());
    assert!(named.permits_by_name(&"https://a.example".parse().unwrap()).is_err());
    assert!(named.permits_by_name(&"http://10.0.0.1".parse().unwrap()).is_ok());
    assert!(named.permits_by_name(&"https://10.0.0.1".parse().unwrap()).is_err());
}

#[test]
fn tools_reach_public_addresses_alone() {
    let guard = tools(&[], None);
    for closed in NOT_PUBLIC {
        assert!(!may(&guard, "http://a.example", closed), "{closed}");
    }
    for public in PUBLIC {
        assert!(may(&guard, "http://a.example", public), "{public}");
    }
    let mixed = [at("10.0.0.1"), at("8.8.8.8"), at("::1")];
    assert_eq!(guard.permitted(&"http://a.example".parse().unwrap(), &mixed).unwrap(), [at("8.8.8.8")]);
    assert!(!may(&guard, "http://metadata.google.internal.", "8.8.8.8"));
}

#[test]
fn an_operators_row_reaches_its_own_host_and_port_and_never_metadata() {
    let guard = tools(&[], Some("http://Tools.Example:80/x"));
    for (uri, address, is_permitted) in [
        ("http://tools.example/y", "127.0.0.1", true),
        ("http://tools.example./y", "10.0.0.1", true),
        ("http://tools.example:81", "127.0.0.1", false),
        ("https://tools.example", "127.0.0.1", false),
        ("http://127.0.0.1", "127.0.0.1", false),
        ("http://tools.example", "169.254.169.254", false),
        ("http://tools.example", "64:ff9b::a9fe:a9fe", false),
        ("http://other.example", "8.8.8.8", true),
    ] {
        assert_eq!(may(&guard, uri, address), is_permitted, "{uri} at {address}");
    }
    for metadata in ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "[fd00:ec2::254]"] {
        let own = tools(&[], Some(&format!("http://{metadata}/")));
        assert!(!may(&own, &format!("http://{metadata}/"), metadata.trim_matches(['[', ']'])), "{metadata}");
    }
}

#[test]
fn what_is_named_is_open_to_tools() {
    let guard = tools(&["10.0.0.0/8", "tools.example:80"], None);
    assert!(may(&guard, "http://a.example", "10.0.0.1"));
    assert!(may(&guard, "http://tools.example", "192.168.0.1"));
    assert!(!may(&guard, "http://a.example", "192.168.0.1"));
    assert!(!may(&guard, "http://tools.example", "169.254.169.254"));
    assert!(may(&tools(&["169.254.169.254"], None), "http://a.example", "169.254.169.254"));
    assert!(may(&tools(&["metadata.google.internal"], None), "http://metadata.google.internal", "169.254.169.254"));
}

#[test]
fn through_a_proxy_names_and_written_addresses_are_tested() {
    let guard = tools(&["intern.example", "10.0.0.7"], None);
    for (uri, is_permitted) in [
        ("https://api.example.com", true),
        ("http://8.8.8.8", true),
        ("http://intern.example", true),
        ("http://10.0.0.7", true),
        ("http://10.0.0.8", false),
        ("http://[::1]", false),
        ("http://[64:ff9b::a00:1]", false),
        ("http://localhost", false),
        ("http://a.localhost.", false),
        ("http://2130706433", false),
        ("http://0x7f000001", false),
        ("http://0177.0.0.1", false),
        ("http://127.1", false),
        ("http://metadata.google.internal", false),
        ("http://METADATA.google.internal.", false),
    ] {
        assert_eq!(guard.permits_by_name(&uri.parse().unwrap()).is_ok(), is_permitted, "{uri}");
    }
    assert!(tools(&[], Some("http://localhost:1")).permits_by_name(&"http://localhost:1".parse().unwrap()).is_ok());
}

#[test]
fn a_refusal_names_the_host_and_where_it_leads() {
    let of = |host: &str, address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        ForbiddenAddress { host: host.into(), address }.to_string()
    };
    assert_eq!(of("10.0.0.7", Some("10.0.0.7")), "10.0.0.7 is on a private network");
    assert_eq!(of("a.example", Some("127.0.0.1")), "a.example (127.0.0.1) is on a private network");
    assert_eq!(of("localhost", None), "localhost is on a private network");
    assert_eq!(of("metadata.google.internal", None), "metadata.google.internal is the cloud's own");
    assert_eq!(of("::1", Some("::1")), "::1 is on a private network");
    let advice = |host: &str, address: Option<&str>| {
        let address = address.map(|address| address.parse().unwrap());
        ForbiddenAddress { host: host.into(), address }.advice("alm mcp add")
    };
    let added = "10.0.0.7 is on a private network. On the machine, add it with \"alm mcp add\" or start with --tool-allow 10.0.0.7.";
    assert_eq!(advice("10.0.0.7", Some("10.0.0.7")), added);
    let cloud =
        "a.example (169.254.169.254) is the cloud's own. On the machine, start with --tool-allow 169.254.169.254.";
    assert_eq!(advice("a.example", Some("169.254.169.254")), cloud);
}

#[test]
fn only_we_frame_a_request() {
    for name in
        FRAMING.into_iter().chain(["Content-Length", "TRANSFER-ENCODING", "Proxy-Authorization", "proxy-", " host "])
    {
        assert!(frames_request(name), "{name}");
    }
    for name in ["authorization", "content-type", "x-host", "cookie", "proxy", "", "accept"] {
        assert!(!frames_request(name), "{name}");
    }
}
