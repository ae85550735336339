//! `alm chat`: a question of a script, and a conversation at a real terminal.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::pty::{OpenptyResult, openpty};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    fake_model::{Answer, FakeModel, delta, finish, nobody},
    harness::{App, Ran, alm, until},
};

/// What a command does that reads these bytes.
fn piped(mut command: Command, input: &[u8]) -> Ran {
    if command.get_envs().all(|(name, _)| name != "ALM_KEY") {
        command.env_remove("ALM_KEY");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who fails before it reads has read enough.
    child.stdin.take().unwrap().write_all(input).unwrap_or_default();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The messages of the last request for a reply.
fn messages(model: &FakeModel) -> Vec<Value> {
    model.chats().pop().unwrap()["messages"].as_array().unwrap().clone()
}

fn last_question(model: &FakeModel) -> String {
    messages(model).pop().unwrap()["content"].as_str().unwrap().to_owned()
}

/// The name of the one key that `alm chat` makes is in no list afterwards.
fn no_key_is_left(app: &App, slug: &str) {
    let keys = app.alm(&["keys", "list", "--org", slug, "--json"]).json();
    assert!(keys.as_array().unwrap().iter().all(|key| key["name"] != "alm chat"), "{keys}");
}

#[test]
fn without_a_terminal_standard_input_is_one_prompt_and_standard_output_the_answer_alone() {
    let app = App::start(&[]);
    let model = FakeModel::deciding(|_, _| Answer::text("Red \u{1b}[31mand\u{9b}2J\ttab"));
    app.org_asking("acme", &model);
    let slug = app.slug("acme");
    let chat = |words: &[&str], input: &str| {
        let mut command = alm(&[&["chat", "--data-dir", app.folder().to_str().unwrap()], words].concat());
        command.env("NO_COLOR", "1");
        piped(command, input.as_bytes())
    };
    let said = chat(&["Summarise", "this:"], "a\nb\n");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "Red ·[31mand·2J\ttab\n", ""));
    assert_eq!(last_question(&model), "Summarise this:\n\na\nb");
    let again = chat(&["--continue", "--org", &slug, "more"], "");
    assert_eq!((again.code, messages(&model).len() > 2), (0, true), "{again:?}");
    let json = chat(&["--json", "x"], "");
    let chunks: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&chunks[0]["type"], &chunks.last().unwrap()["type"]), (&json!("start"), &json!("finish")));
    assert!(!json.stdout.contains('\u{9b}'));
    no_key_is_left(&app, &slug);
}

#[test]
fn what_goes_wrong_is_one_sentence_and_one() {
    let app = App::start(&[]);
    let folder = app.folder().to_str().unwrap().to_owned();
    let chat = |words: &[&str]| piped(alm(&[&["chat", "--data-dir", &folder], words].concat()), b"");
    assert!(chat(&["hi"]).fails(1).contains("there is no organization in"));
    app.org("acme");
    for (words, said) in [
        (&[][..], "there is nothing to ask"),
        (&["--continue", "hi"], "there is no session to go on with"),
        (&["--session", "none", "hi"], "session"),
        (&["--agent", "nobody", "hi"], "agent"),
        (&["--model", "no/such", "hi"], "no/such"),
        (&["--url", "http://127.0.0.1:9", "hi"], "--url needs a key"),
        (&["--org", "nobody", "hi"], "it has: "),
        (&["Show an error"], "broke off"),
    ] {
        let ran = chat(words);
        assert!(ran.code == 1 && ran.stderr.contains(said), "{words:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    app.org("globex");
    assert!(chat(&["hi"]).fails(1).contains("which organization? --org takes one of "));
    let elsewhere = piped(
        {
            let mut command = alm(&["chat", "hi", "--url", &nobody()]);
            command.env("ALM_KEY", "x");
            command
        },
        b"",
    );
    assert!(elsewhere.fails(1).contains("does not answer"));
}

#[test]
fn where_no_server_runs_it_is_its_own_and_where_no_database_is_it_makes_none() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join("data").to_str().unwrap().to_owned();
    let chat = || piped(alm(&["chat", "hi", "--data-dir", &folder]), b"");
    assert!(chat().fails(1).contains("there is no "));
    assert!(!place.path().join("data").exists());
    let password = place.path().join("password");
    std::fs::write(&password, "correct horse battery staple").unwrap();
    let create = ["org", "create", "acme", "--owner", "a@example.com", "--password-file", password.to_str().unwrap()];
    Ran::of(alm(&create).args(["--data-dir", &folder])).ok();
    assert!(chat().ok().starts_with("Hello!"));
    let keys = Ran::of(&mut alm(&["keys", "list", "--org", "acme", "--json", "--data-dir", &folder])).json();
    assert_eq!(keys, json!([]), "the key of the run went with it");
}

/// A command at a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<String>>,
    /// How much of the screen was looked at.
    seen: usize,
}

impl Terminal {
    fn start(folder: &str, words: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_alm");
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let terminal = || Stdio::from(slave.try_clone().unwrap());
        // `setsid` makes it the child's own terminal, whose keys may be signals, and becomes the child.
        let mut command = Command::new("setsid");
        command.args(["--ctty", program, "chat", "--data-dir", folder]).args(words);
        command.env("TERM", "xterm").env("NO_COLOR", "1").env_remove("ALM_KEY");
        let child = command.stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().unwrap();
        let keys = File::from(master);
        let mut out = keys.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 1_024];
            while let Ok(count) = out.read(&mut bytes) {
                if count == 0 {
                    return;
                }
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { child, keys, screen, seen: 0 }
    }

    /// Waits until that is shown, after what was shown before.
    #[track_caller]
    fn shows(&mut self, text: &str) -> &mut Self {
        let (screen, seen) = (self.screen.clone(), self.seen);
        self.seen = until(text, || {
            let screen = screen.lock().unwrap();
            screen[seen..].find(text).map(|at| seen + at + text.len())
        });
        self
    }

    fn types(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    fn exit_code(&mut self) -> Option<i32> {
        until("the chat to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the screen:\n{}", self.screen.lock().unwrap());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn ctrl_c_stops_the_reply_and_not_the_program_and_twice_at_the_prompt_leaves() {
    let app = App::start(&[]);
    let model = FakeModel::deciding(|at, _| match at {
        0 => Answer::empty().chunk(delta(json!({ "content": "Once upon" }))).silent(),
        _ => Answer::empty().chunk(delta(json!({ "content": "Again." }))).chunk(finish("stop")).done(),
    });
    app.org_asking("acme", &model);
    let slug = app.slug("acme");
    let mut terminal = Terminal::start(app.folder().to_str().unwrap(), &[]);
    terminal.shows("Ctrl-D leaves").shows("> ").types("tell\r").shows("Once upon").types("\u{3}").shows("stopped");
    terminal.shows("> ").types("\"\"\"one\r").shows("… ").types("two\"\"\"\r").shows("Again.").shows("up/free");
    assert_eq!(last_question(&model), "one\ntwo");
    terminal.shows("> ").types("/model no/such\r").shows("no such model: no/such");
    terminal.shows("> ").types("/what\r").shows("/help lists them");
    terminal.shows("> ").types("/sessions\r").shows("UPDATED").shows("tell");
    terminal.shows("> ").types("\u{3}").shows("once more").shows("> ").types("\u{3}");
    assert_eq!(terminal.exit_code(), Some(0));
    no_key_is_left(&app, &slug);
}

#[test]
fn a_call_that_waits_is_asked_about_and_only_yes_is_yes() {
    let app = App::start(&[]);
    app.org("acme");
    let slug = app.slug("acme");
    let tool = json!({ "name": "book_room", "description": "Books.", "inputSchema": { "type": "object" }, "method": "POST", "url": nobody() });
    let file = app.folder().join("tool.json");
    std::fs::write(&file, tool.to_string()).unwrap();
    app.alm(&["tools", "add", file.to_str().unwrap(), "--org", &slug]).ok();
    let folder = app.folder().to_str().unwrap().to_owned();
    let mut terminal = Terminal::start(&folder, &[]);
    terminal
        .shows("> ")
        .types("call book_room\r")
        .shows("→ book_room {}")
        .shows("Allow book_room {}? [y/N] ")
        .types("\r");
    terminal.shows("denied").shows("> ").types("call book_room\r").shows("[y/N] ").types("y\r").shows("failed: ");
    terminal.shows("> ").types("\u{4}");
    assert_eq!(terminal.exit_code(), Some(0));
    // Where nobody can be asked, it waits, and is joined later.
    let alone = piped(alm(&["chat", "--data-dir", &folder, "call book_room"]), b"");
    assert!(alone.code == 1 && alone.stderr.contains("a call waits for a person: book_room {}: "), "{alone:?}");
    let mut terminal = Terminal::start(&folder, &["--continue"]);
    terminal.shows("Allow book_room {}? [y/N] ").types("n\r").shows("denied").shows("> ").types("/exit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}
