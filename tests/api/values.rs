//! What surrounds a value on the command line and in the environment, and paths that nothing expanded.

use std::{fs, net::TcpListener, process::Command};

use serde_json::json;

use crate::support::harness::{App, Ran, alm};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The command with these variables, and nothing of a home folder.
fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = alm(arguments);
    command.env_remove("XDG_DATA_HOME").env_remove("HOME").envs(variables.iter().copied());
    command
}

#[test]
fn what_surrounds_a_variables_value_is_no_part_of_it_and_an_empty_one_is_absent() {
    let port = free_port();
    let listen = format!("\"localhost:{port}\"\r\n");
    let empty = [("ALM_METRICS_LISTEN", ""), ("ALM_ORG", " \n"), ("ALM_CA_FILE", "\"\""), ("ALM_ALLOW_HOST", "")];
    let odd = [
        ("ALM_DRAIN", "1s\r"),
        ("ALM_LOG_FORMAT", "\u{feff}json"),
        ("ALM_CORS_ORIGIN", " http://a.example "),
        ("RUST_LOG", ""),
    ];
    let demo = with(&["demo", "--once"], &[("ALM_LISTEN", &listen), ("ALM_DATA_DIR", "")]);
    assert!(Ran::of(&mut { demo }).ok().contains(&format!("listening on http://127.0.0.1:{port}")));
    // A flag still wins over its variable: the harness gives `--listen`.
    let app = App::start_with(&[], &[&empty[..], &odd, &[("ALM_LISTEN", &listen)]].concat());
    assert!(!app.url().ends_with(&port.to_string()));
    let health = with(&["health"], &[("ALM_URL", &format!(" {} \r\n", app.url()))]);
    assert!(Ran::of(&mut { health }).ok().contains("is ready"));
    // Without its scheme, as people say where a server is.
    let bare = app.url().trim_start_matches("http://").replace("127.0.0.1", "localhost");
    assert!(Ran::of(&mut with(&["health", "--url", &bare], &[])).ok().contains("is ready"));
    let folder = format!("'{}'\n", app.folder().display());
    let list = Ran::of(&mut with(&["org", "list"], &[("ALM_DATA_DIR", &folder), ("ALM_JSON", "1\r")]));
    assert_eq!(list.json(), json!([]));
    let required = with(&["models"], &[("ALM_DATA_DIR", &folder), ("ALM_ORG", "nobody\n")]);
    assert!(Ran::of(&mut { required }).fails(1).contains("organization"), "a variable stands in for a required flag");
}

#[test]
fn a_path_that_no_shell_has_expanded_makes_no_folder_of_that_name() {
    let place = tempfile::tempdir().unwrap();
    let run =
        |arguments: &[&str], variables: &[(&str, &str)]| Ran::of(with(arguments, variables).current_dir(place.path()));
    for path in ["~/alm", "~", "~ada/alm", "$HOME/alm", "${HOME}/alm"] {
        let said = run(&["org", "list", "--data-dir", path], &[]).fails(2).to_owned();
        assert!(said.contains("no shell has expanded"), "{said}");
        assert!(run(&["org", "list", &format!("--data-dir={path}")], &[]).fails(2).contains("--data-dir"));
        assert!(run(&["org", "list"], &[("ALM_DATA_DIR", path)]).fails(2).contains("no shell has expanded"));
        assert!(run(&["org", "list"], &[("XDG_DATA_HOME", path)]).fails(1).contains("XDG_DATA_HOME is"));
        assert!(run(&["org", "list"], &[("HOME", path)]).fails(1).contains("HOME is"));
        assert!(run(&["demo", "--once"], &[("TMPDIR", path)]).fails(1).contains("TMPDIR is"));
        for more in [
            &["serve", "--secret-key-file", path][..],
            &["serve", "--ca-file", path],
            &["backup", path],
            &["restore", path],
            &["import", path],
            &["export", "--org", "x", path],
            &["openapi", "--output", path],
            &["org", "create", "x", "--owner", "a@example.com", "--password-file", path],
        ] {
            assert!(run(more, &[("ALM_DATA_DIR", "data")]).fails(2).contains("no shell has expanded"), "{more:?}");
        }
    }
    for path in ["data\r", "data\n", "", "\r\n"] {
        run(&["org", "list", "--data-dir", path], &[]).fails(2);
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing was made");
    // Who means a folder of that name says so.
    fs::write(place.path().join("password"), "correct horse battery staple").unwrap();
    let create = ["org", "create", "acme", "--owner", "a@example.com", "--password-file", "password"];
    run(&[&create[..], &["--data-dir", "./~/alm"]].concat(), &[]).ok();
    assert!(place.path().join("~/alm/alm.db").exists());
}

#[test]
fn a_data_folder_is_what_its_name_says_and_anything_else_is_refused_in_words() {
    let place = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Ran::of(with(arguments, &[]).current_dir(place.path()));
    fs::write(place.path().join("password"), "correct horse battery staple").unwrap();
    let create = ["org", "create", "acme", "--owner", "a@example.com", "--password-file", "password"];
    // What SQLite or a shell would read otherwise.
    for name in ["file:data", ":memory:", "a?b#c%41", "spaces and 数据", "-data/", "deep/er"] {
        let folder = format!("--data-dir={name}");
        run(&[&create[..], &[&*folder]].concat()).ok();
        assert!(place.path().join(name).join("alm.db").exists(), "{name}");
        run(&["backup", "--force", &folder, &format!("./{}.db", name.len())]).ok();
        run(&["prune", "--older-than", "1day", "--vacuum", &folder]).ok();
        run(&["restore", "--force", &folder, &format!("./{}.db", name.len())]).ok();
    }
    for name in ["file:copy", ":memory:copy"] {
        run(&["backup", "--data-dir", "deep/er", name]).ok();
        run(&["restore", "--data-dir", "deep/restored", "--force", name]).ok();
    }
    fs::write(place.path().join("taken"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("dangling")).unwrap();
    for name in ["taken", "dangling"] {
        let ran = run(&[&create[..], &["--data-dir", name]].concat());
        assert!(ran.fails(1).contains("is there, and is no folder"));
    }
}

#[test]
fn an_address_that_is_none_of_this_machine_is_refused_in_words() {
    let serve = |listen: &str| Ran::of(&mut with(&["serve", "--listen", listen, "--data-dir", "/nowhere"], &[]));
    for (listen, words) in [
        ("127.0.0.1", "ADDRESS:PORT"),
        ("http://127.0.0.1:1", "ADDRESS:PORT"),
        ("3221225985:1", "no address of this machine"),
    ] {
        let said = serve(listen).fails(2).to_owned();
        assert!(said.contains(words) && said.contains("--listen"), "{said}");
    }
}
