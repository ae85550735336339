//! Where what an owner declares may not go: this machine, its network, its cloud, in every spelling, for HTTP tools and MCP servers.
//!
//! Rule: a service listens on loopback while they are tried, and hears nothing.

use serde_json::json;

use crate::support::{
    client::Client,
    counting::{Counting, Says},
    harness::App,
    tools::new_tool,
};

/// Hosts that are refused once they are looked up, whatever they are written as.
const CLOSED: [&str; 60] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F.0.0.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0x0.0.1",
    "0",
    "0.0.0.0",
    "00000.0.0.0",
    "10.0.0.7",
    "10.1",
    "167772167",
    "0xa000007",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.168.257",
    "0300.0250.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "168.63.129.16",
    "192.0.0.170",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]",
    "[::ffff:10.0.0.7]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:808:808::80ff:fffe]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
];

/// Names that a resolver may know or not, and that lead to this machine if it does.
const DOTTED: [&str; 2] = ["127.0.0.1.", "LocalHost."];

/// What is no URL of a tool, whatever is behind it. `{}` stands for the place that listens.
const NO_URLS: [&str; 14] = [
    "http://owner@{}/",
    "http://owner:word@{}/",
    "http://api.example.com@{}/",
    "http://api.example.com:80@{}/",
    "http://{}/#@api.example.com/",
    "http://{}\\@api.example.com/",
    "http:\\\\{}/",
    "http://[::1/",
    "http://127.0.0.1:99999/",
    "http:///admin",
    "ftp://{}/",
    "file:///etc/passwd",
    "gopher://{}/_x",
    "{}",
];

/// What is said of a tool that an owner tries at that URL.
fn tool(owner: &Client, url: &str) -> String {
    owner.post("/tools", new_tool("near", url)).ok(201);
    let tried = owner.post("/tools/near/test", json!({ "input": {} })).ok(200);
    owner.delete("/tools/near").ok(200);
    assert_eq!(tried["ok"], false, "{url}: {tried}");
    tried["error"].as_str().unwrap().to_owned()
}

/// What is said of a server that an owner tests at that URL.
fn server(owner: &Client, url: &str) -> String {
    owner.post("/mcp/servers", json!({ "slug": "near", "url": url })).ok(201);
    let tested = owner.post("/mcp/servers/near/test", json!({})).ok(200);
    owner.delete("/mcp/servers/near").ok(200);
    assert_eq!(tested["ok"], false, "{url}: {tested}");
    tested["stages"].as_array().unwrap().last().unwrap()["error"].as_str().unwrap().to_owned()
}

#[test]
fn what_owners_declare_reaches_nothing_that_is_not_public_in_any_spelling() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::json("{}")));
    let (owner, place) = (app.browser("acme"), service.place());
    let port = place.rsplit_once(':').unwrap().1;
    for host in CLOSED {
        let url = format!("http://{host}:{port}/");
        for said in [tool(&owner, &url), server(&owner, &url)] {
            let is_guards = ["is on a private network", "is the cloud's own"];
            assert!(is_guards.iter().any(|words| said.contains(words)), "{url}: {said}");
        }
    }
    for host in DOTTED {
        let url = format!("http://{host}:{port}/");
        for said in [tool(&owner, &url), server(&owner, &url)] {
            let is_refused = ["is on a private network", "There is no host", "cannot be looked up"];
            assert!(is_refused.iter().any(|words| said.contains(words)), "{url}: {said}");
        }
    }
    assert_eq!(service.came().len(), 0);
}

#[test]
fn what_hides_its_host_is_no_url_of_a_tool_or_a_server() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::json("{}")));
    let (owner, place) = (app.browser("acme"), service.place());
    for url in NO_URLS.map(|url| url.replace("{}", &place)) {
        for refused in [
            owner.post("/tools", new_tool("near", &url)),
            owner.post("/mcp/servers", json!({ "slug": "near", "url": url })),
        ] {
            assert_eq!(refused.invalid(), ["url"], "{url}");
        }
    }
    assert_eq!(service.came().len(), 0);
}
