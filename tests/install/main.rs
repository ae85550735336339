//! `install.sh`, run by the shell into temporary folders: as root and as somebody else, from a file, a checkout and a release.
//!
//! Rule: nothing outside the temporary folder is written and nothing but loopback is spoken to.
//! Deliberately absent: the real build (`tests/static/run` makes it) and a live systemd: a stand-in for `systemctl` notes what it is asked.

mod place;

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use place::{FAKE_ALM, Place, REPOSITORY, Who, checksum, names_in, release_name, serve_release, which};

#[test]
fn a_user_gets_it_in_their_home_and_is_told_what_to_type() {
    let place = Place::new();
    let said = place.succeeds(Who::Somebody, &["--from", "alm"]);
    assert_eq!(fs::metadata(place.user_binary()).unwrap().mode() & 0o777, 0o755);
    assert!(said.contains("alm 9.9.9 is in "), "{said}");
    assert!(said.contains("is not on your PATH. Next: export PATH="), "{said}");
    assert!(said.contains("Next: alm demo"), "{said}");
    assert!(said.contains("checked against: nothing, since there was no checksum"), "{said}");
}

#[test]
fn root_gets_it_in_usr_local() {
    let place = Place::new();
    place.succeeds(Who::Root, &["--from", "alm"]);
    assert_eq!(fs::read_to_string(place.path("root/usr/local/bin/alm")).unwrap(), FAKE_ALM);
    assert_eq!(names_in(&place.path("home")), Vec::<String>::new());
}

#[test]
fn a_prefix_of_ones_own_is_kept_to() {
    let place = Place::new();
    place.succeeds(Who::Somebody, &["--from", "alm", "--prefix", "home/tools of mine"]);
    assert!(place.path("home/tools of mine/bin/alm").is_file());
    assert_eq!(names_in(&place.path("home")), ["tools of mine"]);
}

#[test]
fn twice_changes_nothing() {
    let place = Place::new();
    place.succeeds(Who::Somebody, &["--from", "alm"]);
    let first = fs::metadata(place.user_binary()).unwrap().ino();
    let said = place.succeeds(Who::Somebody, &["--from", "alm"]);
    assert!(said.contains("already"), "{said}");
    assert_eq!(fs::metadata(place.user_binary()).unwrap().ino(), first);
    assert_eq!(names_in(&place.path("home/.local/bin")), ["alm"]);
}

#[test]
fn a_running_binary_is_replaced_and_runs_on() {
    let place = Place::new();
    place.succeeds(Who::Root, &["--from", "alm"]);
    let installed = place.path("root/usr/local/bin/alm");
    // A real program: the kernel refuses to write to one that runs, but not to a script.
    assert!(Command::new("cp").arg(which("sleep").unwrap()).arg(&installed).status().unwrap().success());
    let mut running = Command::new(&installed).arg("600").spawn().unwrap();
    place.succeeds(Who::Root, &["--from", "alm"]);
    assert_eq!(running.try_wait().unwrap(), None);
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(fs::read_to_string(installed).unwrap(), FAKE_ALM);
}

#[test]
fn a_checksum_that_matches_is_named_and_one_that_does_not_installs_nothing() {
    let place = Place::new();
    let right = checksum(&place.path("alm"));
    fs::write(place.path("alm.sha256"), format!("{}  alm\n", right.to_uppercase())).unwrap();
    let said = place.succeeds(Who::Somebody, &["--from", "alm", "--sha256", &right]);
    assert!(said.contains("checked against: --sha256"), "{said}");

    place.executable("newer", "#!/bin/sh\necho 'alm 10.0.0'\n");
    place.fails(Who::Somebody, &["--from", "newer", "--sha256", &right], "the checksum does not match");
    place.fails(Who::Somebody, &["--from", "newer", "--sha256", "abc"], "64 hexadecimal digits");
    fs::write(place.path("newer.sha256"), format!("{right}  newer\n")).unwrap();
    place.fails(Who::Somebody, &["--from", "newer"], "newer.sha256 says");
    assert_eq!(fs::read_to_string(place.user_binary()).unwrap(), FAKE_ALM);
}

#[test]
fn a_cut_download_does_nothing() {
    let place = Place::new();
    let script = fs::read(place.path("install.sh")).unwrap();
    let run = |length: usize| {
        let mut command = place.shell(Who::Somebody);
        command.args(["-s", "--", "--from", "alm"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // A shell that gives up early closes its end; what counts is what it did.
        let _ = child.stdin.take().unwrap().write_all(&script[..length]);
        child.wait_with_output().unwrap().stdout
    };
    // The last newline is not missed by anyone.
    let whole = script.len() - 1;
    let cuts = (1..32).map(|part| script.len() * part / 32).chain(whole - 40..whole);
    for length in cuts {
        assert_eq!(run(length), b"", "cut at {length} of {}", script.len());
        assert_eq!(names_in(&place.path("home")), Vec::<String>::new(), "cut at {length} of {}", script.len());
    }
    assert!(run(script.len()).starts_with(b"alm 9.9.9 is in"));
}

#[test]
fn a_binary_for_another_machine_is_named_as_such() {
    let place = Place::new();
    let (theirs, machine) = if cfg!(target_arch = "aarch64") { ("x86_64", 0x3e) } else { ("aarch64", 0xb7) };
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(18, 0);
    header.extend([machine, 0]);
    fs::write(place.path("foreign"), header).unwrap();
    place.fails(Who::Somebody, &["--from", "foreign"], &format!("built for {theirs}"));
}

#[test]
fn what_is_not_alm_is_refused() {
    let place = Place::new();
    place.executable("other", "#!/bin/sh\necho 'other 1.0'\n");
    place.fails(Who::Somebody, &["--from", "other"], "not alm");
    place.executable("broken", "#!/bin/sh\nexit 3\n");
    place.fails(Who::Somebody, &["--from", "broken"], "does not run on this machine");
    place.fails(Who::Somebody, &["--from", "absent"], "cannot read absent");
}

#[test]
fn a_machine_that_alm_is_not_built_for_is_named() {
    let place = Place::new();
    place.replace_tool("uname", "#!/bin/sh\n[ \"$1\" = -s ] && echo Linux || echo riscv64\n");
    place.fails(Who::Somebody, &["--from", "alm"], "this machine is riscv64");
    place.replace_tool("uname", "#!/bin/sh\necho Darwin\n");
    place.fails(Who::Somebody, &["--from", "alm"], "this is Darwin");
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("closed")).unwrap();
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    place.fails(Who::Somebody, &["--from", "alm", "--prefix", "closed"], "cannot write to");
    fs::write(place.path("root/file"), "").unwrap();
    place.fails(Who::Root, &["--from", "alm", "--prefix", "/file"], "cannot write to");
}

#[test]
fn a_wrong_argument_is_named() {
    let place = Place::new();
    place.fails(Who::Somebody, &["--form", "alm"], "unknown option --form");
    place.fails(Who::Somebody, &["--from"], "--from needs a value");
    place.fails(Who::Somebody, &["--prefix", "", "--from", "alm"], "--prefix needs a value");
    for prefix in ["~/tools", "$HOME/tools", "${HOME}/tools", "/opt/~/x"] {
        place.fails(Who::Somebody, &["--prefix", prefix, "--from", "alm"], "no shell has expanded");
    }
}

#[test]
fn a_checkout_is_built() {
    let place = Place::new();
    place.executable("scripts/build-static", &format!("#!/bin/sh\necho '{}'\n", place.path("alm").display()));
    let said = place.succeeds(Who::Somebody, &[]);
    assert!(said.contains("checked against: built here"), "{said}");
    assert!(place.user_binary().is_file());
}

#[test]
fn a_checkout_without_cargo_or_cc_says_which_is_missing() {
    let place = Place::new();
    place.executable(
        "scripts/build-static",
        &fs::read_to_string(Path::new(REPOSITORY).join("scripts/build-static")).unwrap(),
    );
    place.fails(Who::Somebody, &[], "cargo was not found");
    place.executable("tools/cargo", "#!/bin/sh\nexit 1\n");
    place.fails(Who::Somebody, &[], "cc was not found");
    place.executable("tools/cc", "#!/bin/sh\nexit 1\n");
    place.fails(Who::Somebody, &[], "cc cannot link statically");
}

#[test]
fn with_nothing_to_install_from_it_says_so() {
    let place = Place::new();
    place.fails(Who::Somebody, &[], "no release address is built in");
}

#[test]
fn a_release_is_installed_when_its_sums_match() {
    let place = Place::new();
    let sums = format!("{}  other\n{}  {}\n", "0".repeat(64), checksum(&place.path("alm")), release_name());
    let address = serve_release(vec![("SHA256SUMS", sums.clone().into()), (release_name(), FAKE_ALM.into())]);
    let said = place.succeeds(Who::Somebody, &["--url", &address]);
    assert!(said.contains(&format!("checked against: {address}/SHA256SUMS")), "{said}");
    assert!(place.user_binary().is_file());

    let forged =
        serve_release(vec![("SHA256SUMS", sums.into()), (release_name(), b"#!/bin/sh\necho 'alm 6.6.6'\n".into())]);
    place.fails(Who::Somebody, &["--url", &forged], "the checksum does not match");
    assert_eq!(fs::read_to_string(place.user_binary()).unwrap(), FAKE_ALM);
}

#[test]
fn a_release_that_cannot_be_trusted_is_not_fetched() {
    let place = Place::new();
    let bare = serve_release(vec![(release_name(), FAKE_ALM.into())]);
    place.fails(Who::Somebody, &["--url", &bare], "without it the binary cannot be trusted");
    let foreign = serve_release(vec![("SHA256SUMS", format!("{}  alm-linux-vax\n", "0".repeat(64)).into())]);
    place.fails(Who::Somebody, &["--url", &foreign], "has no binary for this machine");
    place.fails(Who::Somebody, &["--url", "http://releases.example"], "must begin with https://");
    let output = place.install(Who::Somebody, &["--url", "https://me:hunter2@releases.example"]);
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}

#[test]
fn uninstalling_keeps_the_data_and_says_where_it_is() {
    let place = Place::new();
    for (who, data) in [(Who::Root, "root/var/lib/alm"), (Who::Somebody, "home/.local/share/alm")] {
        place.succeeds(who, &["--from", "alm", "--systemd"]);
        fs::create_dir_all(place.path(data)).unwrap();
        fs::write(place.path(data).join("alm.db"), "rows").unwrap();
        let said = place.succeeds(who, &["--uninstall"]);
        assert!(said.contains(&format!("The data is kept in {}", place.path(data).display())), "{said}");
        assert_eq!(fs::read_to_string(place.path(data).join("alm.db")).unwrap(), "rows");
        let again = place.succeeds(who, &["--uninstall"]);
        assert!(again.contains("There is no alm in"), "{again}");
    }
    assert!(!place.user_binary().exists() && !place.path("root/usr/local/bin/alm").exists());
    assert!(!place.path("root/etc/systemd/system/alm.service").exists());
    assert!(!place.path("home/.config/systemd/user/alm.service").exists());
}

#[test]
fn a_system_service_is_shut_in() {
    let place = Place::new();
    let said = place.succeeds(Who::Root, &["--from", "alm", "--systemd", "--no-start"]);
    assert!(said.contains("Next: systemctl enable --now alm"), "{said}");
    assert!(!said.contains("org create"), "{said}");
    let unit = fs::read_to_string(place.path("root/etc/systemd/system/alm.service")).unwrap();
    for line in [
        "ExecStart=/usr/local/bin/alm serve --data-dir /var/lib/alm",
        "Environment=ALM_LISTEN=127.0.0.1:2560",
        "User=alm",
        "StateDirectory=alm",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "SystemCallFilter=@system-service",
        "MemoryDenyWriteExecute=yes",
        "LimitCORE=0",
        "MemoryMax=75%",
        "Environment=MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072",
        "Restart=always",
        "RestartSec=3",
        "TimeoutStopSec=45",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.lines().any(|have| have == line), "{line} is not in\n{unit}");
    }
    place.systemd_understands("alm.service");
}

#[test]
fn a_user_service_asks_for_nothing_that_needs_root() {
    let place = Place::new();
    place.succeeds(Who::Somebody, &["--from", "alm", "--systemd"]);
    let unit = fs::read_to_string(place.path("home/.config/systemd/user/alm.service")).unwrap();
    let home = place.path("home");
    let start = format!("ExecStart={0}/.local/bin/alm serve --data-dir {0}/.local/share/alm", home.display());
    assert!(unit.lines().any(|have| have == start), "{unit}");
    assert!(unit.contains("WantedBy=default.target"));
    for needs_root in ["User=", "DynamicUser=", "ProtectSystem=", "PrivateTmp=", "CapabilityBoundingSet="] {
        assert!(!unit.contains(needs_root), "{needs_root}");
    }
}

#[test]
fn who_has_a_service_is_told_how_it_gets_its_first_organization() {
    let place = Place::new();
    let said = place.succeeds(Who::Somebody, &["--from", "alm", "--systemd", "--no-start"]);
    let (alm, data) = (place.user_binary(), place.path("home/.local/share/alm"));
    let create = "org create acme --owner you@example.com --password-file -";
    let command = format!("\n  {} {create} --data-dir {}\n", alm.display(), data.display());
    assert!(said.contains(&command), "{said}");
    assert!(said.trim_end().ends_with("bin:$PATH\""), "what is needed first is read last: {said}");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("alm.db"), "").unwrap();
    let again = place.succeeds(Who::Somebody, &["--from", "alm", "--systemd", "--no-start"]);
    assert!(!again.contains("org create"), "{again}");
}

#[test]
fn a_live_systemd_restarts_the_service_only_for_something_new() {
    let place = Place::new();
    let calls = place.path("home/calls");
    place.executable("tools/systemctl", &format!("#!/bin/sh\necho \"$*\" >>'{}'\n", calls.display()));
    let called = || {
        let lines = fs::read_to_string(&calls).unwrap();
        fs::remove_file(&calls).unwrap();
        lines.lines().filter(|line| !line.contains("show-environment")).map(str::to_owned).collect::<Vec<_>>()
    };
    place.succeeds(Who::Somebody, &["--from", "alm", "--systemd"]);
    assert_eq!(called(), ["--user daemon-reload", "--user enable --quiet alm", "--user restart alm"]);
    place.succeeds(Who::Somebody, &["--from", "alm", "--systemd"]);
    assert_eq!(called(), ["--user daemon-reload", "--user enable --quiet alm", "--user start alm"]);
    place.succeeds(Who::Somebody, &["--from", "alm", "--systemd", "--no-start"]);
    assert!(!calls.exists());
    place.succeeds(Who::Somebody, &["--uninstall"]);
    assert_eq!(called(), ["--user disable --now --quiet alm", "--user daemon-reload"]);
}

#[test]
fn a_service_is_not_written_where_systemd_could_not_start_it() {
    let place = Place::new();
    place.fails(Who::Root, &["--from", "alm", "--systemd", "--prefix", "/home/me"], "in a home folder");
    place.fails(Who::Root, &["--from", "alm", "--systemd", "--prefix", "/opt/a b"], "without spaces");
}

#[test]
fn the_installer_has_the_version_of_what_it_installs() {
    let place = Place::new();
    let said = place.succeeds(Who::Somebody, &["--version"]);
    assert_eq!(said.trim_end(), concat!("install.sh ", env!("CARGO_PKG_VERSION")));
    assert!(place.succeeds(Who::Somebody, &["--help"]).contains("--uninstall"));
}
