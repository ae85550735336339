//! The processes under measurement: starts them, sets them up, reads what they cost from `/proc`, ends them.
//!
//! Rule: whatever is started here is ended here, also when a measurement fails; `run` bounds the time of the whole.
//! Linux only, as `/proc` is.

use std::{
    error::Error,
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a server may take to answer its first request.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one command of the CLI may take, in the words of `timeout`.
const COMMAND_TIMEOUT: &str = "30s";
/// Ticks of `/proc/PID/stat` in a second, the same on every Linux.
const TICKS_PER_S: u64 = 100;

/// What a fallible step of a measurement returns.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The upstream itself, with nothing between: what the driver alone costs.
    Direct,
    /// nginx passing bytes through.
    Nginx,
    /// The release build of `alm`.
    Alm,
}

/// A server that answers, ended on drop.
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// Where it answers.
    pub address: SocketAddr,
    /// From its start to its first 200.
    pub start_up: Duration,
    child: Option<Child>,
}

/// What a server needs to be started: folders, addresses, a key.
pub struct Fixture {
    folder: TempDir,
    upstream: SocketAddr,
    alm: PathBuf,
    /// The API key, once `alm` is set up.
    pub key: String,
}

impl Fixture {
    /// A folder for everything, beside the build and so on its disk.
    pub fn new(upstream: SocketAddr, alm: PathBuf) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("load-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Fixture { folder, upstream, alm, key: String::new() })
    }

    /// Makes an organization, a key and a provider whose models are `models`.
    pub fn set_up_alm(&mut self, models: &[String]) -> Result<()> {
        let password = self.folder.path().join("password");
        fs::write(&password, "a password for a load test\n")?;
        let owner = ["--owner", "a@example.com", "--password-file", text(&password)];
        self.alm(&[&["org", "create", "acme"], &owner[..]].concat())?;
        self.key = self.alm(&["keys", "create", "--org", "acme", "--name", "load"])?.trim().to_owned();
        if self.key.is_empty() {
            return Err("alm keys create printed no key".into());
        }
        let base_url = format!("http://{}/v1", self.upstream);
        let mut add = vec!["providers", "add", "--org", "acme", "--slug", "up", "--base-url", &base_url];
        add.extend(models.iter().flat_map(|model| ["--model", model]));
        self.alm(&add)?;
        Ok(())
    }

    /// Runs one command of the CLI on the data folder. What it printed.
    fn alm(&self, arguments: &[&str]) -> Result<String> {
        let data = self.folder.path().join("data");
        let mut command = Command::new("timeout");
        command.arg(COMMAND_TIMEOUT).arg(&self.alm).args(arguments).arg("--data-dir").arg(data);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("alm {}: {}: {}", arguments.join(" "), output.status, said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts a server on what was set up, and waits for its first 200.
    pub fn start(&self, kind: Kind) -> Result<Server> {
        match kind {
            Kind::Direct => Ok(Server { kind, address: self.upstream, start_up: Duration::ZERO, child: None }),
            Kind::Nginx => self.start_nginx(),
            Kind::Alm => self.start_alm(&self.folder.path().join("data")),
        }
    }

    /// Starts a server that finds nothing.
    pub fn start_empty(&self, kind: Kind) -> Result<Server> {
        let empty = self.folder.path().join("empty");
        fs::remove_dir_all(&empty).ok();
        if kind == Kind::Alm { self.start_alm(&empty) } else { self.start(kind) }
    }

    fn start_alm(&self, data: &Path) -> Result<Server> {
        let log = self.folder.path().join("alm.log");
        let mut command = Command::new(&self.alm);
        command.args(["serve", "--listen", "127.0.0.1:0", "--chat-rate", "1000000", "--data-dir"]).arg(data);
        for name in ["OLLAMA_HOST", "OPENAI_BASE_URL", "OPENAI_API_KEY"] {
            command.env_remove(name);
        }
        let address = || fs::read_to_string(&log).ok().and_then(|said| address_in(&said));
        Server::start(Kind::Alm, &mut command, &log, "/healthz", address)
    }

    fn start_nginx(&self) -> Result<Server> {
        let folder = self.folder.path().join("nginx");
        fs::create_dir_all(&folder)?;
        // nginx cannot say which port it was given, so one that was free a moment ago has to do.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = folder.join("nginx.conf");
        let text_of = include_str!("nginx.conf");
        let filled = text_of.replace("LISTEN", &address.to_string()).replace("UPSTREAM", &self.upstream.to_string());
        fs::write(&config, filled)?;
        let mut command = Command::new("nginx");
        command.args(["-p", text(&folder), "-c", text(&config), "-e", "stderr"]);
        Server::start(Kind::Nginx, &mut command, &folder.join("nginx.log"), "/v1/bytes/2", || Some(address))
    }
}

impl Server {
    fn start(
        kind: Kind,
        command: &mut Command,
        log: &Path,
        path: &str,
        address: impl Fn() -> Option<SocketAddr>,
    ) -> Result<Self> {
        let output = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{kind:?} does not start: {error}"))?;
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Server { kind, address: unknown, start_up: Duration::ZERO, child: Some(child) };
        while started.elapsed() < START_TIMEOUT && !server.has_ended() {
            if let Some(address) = address()
                && answers(address, path)
            {
                (server.address, server.start_up) = (address, started.elapsed());
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let said = fs::read_to_string(log).unwrap_or_default();
        Err(format!("{kind:?} does not answer: {}", said.trim()).into())
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// The CPU time of all its processes so far.
    pub fn cpu(&self) -> Duration {
        self.processes().iter().map(|&process| cpu_of(&process.to_string())).sum()
    }

    /// The most memory its processes have held, together, in MB.
    pub fn rss_peak_mb(&self) -> f64 {
        self.memory_mb("VmHWM:")
    }

    /// The memory its processes hold, together, in MB.
    pub fn rss_mb(&self) -> f64 {
        self.memory_mb("VmRSS:")
    }

    fn memory_mb(&self, field: &str) -> f64 {
        let of = |process: u32| -> Option<f64> {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        self.processes().into_iter().filter_map(of).sum::<f64>() / 1024.0
    }

    fn processes(&self) -> Vec<u32> {
        let Some(child) = &self.child else { return Vec::new() };
        let main = child.id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|id| id.parse().ok()).chain([main]).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = self.processes();
        signal("TERM", &processes[processes.len().saturating_sub(1)..]);
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT && !self.has_ended() {
            thread::sleep(Duration::from_millis(5));
        }
        if !self.has_ended() {
            signal("KILL", &processes);
        }
        if let Some(child) = &mut self.child {
            child.wait().ok();
        }
    }
}

/// The CPU time of this process so far: upstream and load together.
pub fn own_cpu() -> Duration {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the command's name, which may hold spaces; behind it come the third and on.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_S)
}

fn signal(name: &str, processes: &[u32]) {
    if processes.is_empty() {
        return;
    }
    let ids = processes.iter().map(u32::to_string);
    Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status().ok();
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> io::Result<bool> {
        let mut socket = TcpStream::connect_timeout(&address, START_TIMEOUT)?;
        socket.set_read_timeout(Some(START_TIMEOUT))?;
        write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        socket.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

fn address_in(said: &str) -> Option<SocketAddr> {
    let rest = said.split_once("http://127.0.0.1:")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    Some((Ipv4Addr::LOCALHOST, rest[..digits].parse().ok()?).into())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the build folder's path is text")
}
