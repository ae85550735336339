//! A machine in a folder, and what the tests ask of it.
//!
//! Rule: the script sees only the tools linked into `Place::tools`, which is therefore also the list of what it needs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

pub const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
pub const FAKE_ALM: &str = "#!/bin/sh\necho 'alm 9.9.9'\n";
const NOBODY: u32 = 65534;
const TOOLS: &str = "cat chmod cp curl cut dirname head id mkdir mktemp mv od rm sed sh sha256sum tr uname";

/// A machine in a folder: its own home, its own root, its own tools.
pub struct Place {
    folder: TempDir,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Who {
    Root,
    Somebody,
}

impl Place {
    pub fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["home", "root", "tools"] {
            fs::create_dir(place.path(name)).unwrap();
        }
        if we_are_root() {
            chown(place.path("home"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        for tool in TOOLS.split(' ') {
            symlink(which(tool).unwrap_or_else(|| panic!("{tool} is not here")), place.path("tools").join(tool))
                .unwrap();
        }
        place.executable("alm", FAKE_ALM);
        fs::copy(Path::new(REPOSITORY).join("install.sh"), place.path("install.sh")).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another process writes the file: one that this process had open for writing could not be run while another test forks.
    pub fn executable(&self, name: &str, text: &str) -> PathBuf {
        let source = self.path("executable.source");
        fs::write(&source, text).unwrap();
        let done = Command::new("install").args(["-D", "-m", "755"]).arg(source).arg(self.path(name)).status().unwrap();
        assert!(done.success());
        self.path(name)
    }

    pub fn replace_tool(&self, name: &str, text: &str) {
        fs::remove_file(self.path("tools").join(name)).unwrap();
        self.executable(&format!("tools/{name}"), text);
    }

    /// A shell that knows only this place; root's files go under `root`, anybody else's under their home.
    pub fn shell(&self, who: Who) -> Command {
        let sh = self.path("tools/sh");
        let mut command = match (who, we_are_root()) {
            (Who::Root, false) => {
                let mut command = Command::new(which("unshare").unwrap());
                command.arg("-r").arg(&sh);
                command
            }
            _ => Command::new(&sh),
        };
        command
            .env_clear()
            .env("PATH", self.path("tools"))
            .env("HOME", self.path("home"))
            .current_dir(self.folder.path());
        match who {
            Who::Root => drop(command.env("DESTDIR", self.path("root"))),
            Who::Somebody if we_are_root() => drop(command.uid(NOBODY).gid(NOBODY)),
            Who::Somebody => {}
        }
        command
    }

    pub fn install(&self, who: Who, arguments: &[&str]) -> Output {
        self.shell(who).arg("install.sh").args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    pub fn succeeds(&self, who: Who, arguments: &[&str]) -> String {
        let output = self.install(who, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Fails with one line that says `why`, and leaves nothing half-done behind.
    pub fn fails(&self, who: Who, arguments: &[&str], why: &str) {
        let output = self.install(who, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert!(errors.contains(why), "{errors:?} does not say {why:?}");
        for bin in [self.path("home/.local/bin"), self.path("root/usr/local/bin")] {
            assert!(!names_in(&bin).iter().any(|name| name.starts_with(".alm")), "a staged file was left in {bin:?}");
        }
    }

    pub fn user_binary(&self) -> PathBuf {
        self.path("home/.local/bin/alm")
    }

    /// Where systemd is installed, its own checker reads the unit inside our root; it need not run for that.
    pub fn systemd_understands(&self, unit: &str) {
        let Some(checker) = which("systemd-analyze") else { return };
        let known = self.path("root/usr/lib/systemd");
        fs::create_dir_all(&known).unwrap();
        assert!(Command::new("cp").args(["-a", "/lib/systemd/system"]).arg(known).status().unwrap().success());
        let mut root = std::ffi::OsString::from("--root=");
        root.push(self.path("root"));
        let output = Command::new(checker).arg("verify").arg(root).arg(unit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains(unit), "{said}");
    }
}

pub fn we_are_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub fn which(tool: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(tool)).find(|path| path.is_file())
}

pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn checksum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// A release folder on loopback, for at most this many requests.
pub fn serve_release(files: Vec<(&'static str, Vec<u8>)>) -> String {
    const REQUESTS_MAX: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(REQUESTS_MAX) {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let line = String::from_utf8_lossy(&request[..read]);
            let wanted = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
            let found = files.iter().find(|(name, _)| *name == wanted);
            let (status, body) = found.map_or(("404 Not Found", &[][..]), |(_, body)| ("200 OK", body));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    address
}

pub fn release_name() -> &'static str {
    if cfg!(target_arch = "aarch64") { "alm-linux-aarch64" } else { "alm-linux-x86_64" }
}
