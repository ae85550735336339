//! What the command line says of itself: completions, pages, settings, version.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::harness::{Ran, alm};

fn said(arguments: &[&str]) -> String {
    Ran::of(&mut alm(arguments)).ok().to_owned()
}

/// The words of a help text that begin so.
fn words(help: &str, begin: &str) -> Vec<String> {
    let first =
        help.lines().filter_map(|line| line.trim_start().split(|c: char| !(c.is_alphanumeric() || c == '-')).next());
    first.filter(|word| word.starts_with(begin) && word.len() > begin.len()).map(str::to_owned).collect()
}

#[test]
fn every_command_and_flag_has_its_page_and_its_completion() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("man");
    said(&["man", place.to_str().unwrap()]);
    let help = said(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let commands: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve") && commands.contains(&"completions") && !commands.contains(&"__child"));
    for command in commands.iter().filter(|command| **command != "help") {
        let page = fs::read_to_string(place.join(format!("alm-{command}.1")))
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        for flag in words(&said(&[command, "--help"]), "--") {
            assert!(page.contains(&flag.replace('-', "\\-")), "{command} {flag}");
        }
    }
    assert!(!place.join("alm-__child.1").exists());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Ran::of(&mut alm(&["man", file.to_str().unwrap()])).fails(1).contains("cannot write to"));

    let script = said(&["completions", "bash"]);
    assert!(script.contains("--exit-with-stdin") && !script.contains("__child"));
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    for shell in ["zsh", "fish"] {
        assert!(said(&["completions", shell]).contains("exit-with-stdin"), "{shell}");
    }
    Ran::of(&mut alm(&["completions", "ksh"])).fails(2);
}

#[test]
fn each_setting_says_where_it_comes_from() {
    let mut show = alm(&["config", "show", "--json"]);
    show.env("ALM_LISTEN", " 8080\n").env("ALM_DRAIN", "5s").env("ALM_TOOL_PROXY", "http://ada:secret@proxy:3128");
    let shown = Ran::of(&mut show).json();
    let of = |flag: &str| shown.as_array().unwrap().iter().find(|setting| setting["flag"] == flag).unwrap();
    for (flag, value, from) in [
        ("--listen", json!("8080"), "ALM_LISTEN"),
        ("--drain", json!("5s"), "ALM_DRAIN"),
        ("--tool-proxy", json!("http://…@proxy:3128"), "ALM_TOOL_PROXY"),
        ("--chat-rate", json!("60"), "default"),
        ("--org", Value::Null, "default"),
    ] {
        assert_eq!((&of(flag)["value"], &of(flag)["from"]), (&value, &json!(from)), "{flag}");
    }
    let mut wrong = alm(&["config", "show"]);
    let wrong = Ran::of(wrong.env("ALM_LISTEN", "nonsense:"));
    assert!(wrong.fails(1).contains("--listen") && wrong.stderr.lines().count() == 1, "{wrong:?}");
}

#[test]
fn a_binary_says_what_it_is() {
    let told: Value = Ran::of(&mut alm(&["version", "--json"])).json();
    assert_eq!((&told["version"], &told["schema"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(7)));
    assert!(told["sqlite"]["options"].as_array().unwrap().contains(&json!("DEFAULT_MEMSTATUS=0")));
    assert!(said(&["version"]).starts_with(&format!("alm {}", env!("CARGO_PKG_VERSION"))));
}
