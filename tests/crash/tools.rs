//! Tools that count: what a call did is remembered on the other side, however often the server is killed.
//!
//! Rule: a call carries a word that no other has, so what was done twice shows. Some of the tools cost money, some ask first,
//! some may be made again; one is an MCP server that is a command, and that leaves a process of its own behind, for two minutes.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc::channel},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    file::File,
    operator::Operator,
    support::{
        counting::{Came, Counting, Says},
        harness::until,
    },
};

/// How long a call may take, by its tool.
const TIMEOUT_MS: u64 = 300;
/// How long the service takes at most to answer.
const ANSWER_MS_MAX: u64 = 25;
/// The variable that tells the processes of the MCP server from all others, and where it counts.
const COUNTS: &str = "CRASH_COUNTS";

/// A tool as it is declared.
struct Spec {
    name: &'static str,
    method: &'static str,
    approval: &'static str,
    idempotent: bool,
    /// US dollars and microcents.
    price: (&'static str, i64),
}

const HTTP: [Spec; 5] = [
    Spec { name: "pay", method: "POST", approval: "never", idempotent: false, price: ("0.0005", 500) },
    Spec { name: "book", method: "POST", approval: "ask", idempotent: false, price: ("0.0007", 700) },
    Spec { name: "note", method: "PUT", approval: "never", idempotent: true, price: ("0.0003", 300) },
    Spec { name: "order", method: "POST", approval: "ask", idempotent: true, price: ("0.0004", 400) },
    Spec { name: "look", method: "GET", approval: "never", idempotent: false, price: ("0", 0) },
];
/// Tools of the MCP server, as models know them.
const MCP: [Spec; 2] = [
    Spec { name: "box__put", method: "", approval: "never", idempotent: false, price: ("0.0002", 200) },
    Spec { name: "box__keep", method: "", approval: "ask", idempotent: false, price: ("0", 0) },
];

/// A server for a shell: a line of its file for each call, and a process beside it that nobody ends.
const SERVER: &str = r#"
sleep 120 </dev/null >/dev/null 2>&1 &
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
tool() { printf '{"name":"%s","description":"Keeps a word.","inputSchema":{"type":"object"}}' "$1"; }
while IFS= read -r line; do
    id=${line#*\"id\":}
    id=${id%%[,\}]*}
    case $line in
    *'"method":"initialize"'*)
        say '"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"box","version":"1"}}' ;;
    *'"method":"tools/list"'*) say "\"result\":{\"tools\":[$(tool put),$(tool keep)]}" ;;
    *'"method":"tools/call"'*)
        word=${line#*\"n\":\"}
        printf '%s\n' "${word%%\"*}" >>"$CRASH_COUNTS"
        say '"result":{"content":[{"type":"text","text":"kept"}]}' ;;
    *'"id":'*) say '"error":{"code":-32601,"message":"Method not found"}' ;;
    esac
done
"#;

/// What calls did, by their words: the keys that they came with, if any.
type Effects = BTreeMap<String, Vec<Option<String>>>;

/// The tools, and what they did.
pub struct Tools {
    service: Counting,
    effects: Arc<Mutex<Effects>>,
    counts: PathBuf,
}

/// A call as the file has it.
struct Row {
    id: String,
    tool: String,
    status: String,
    cost: i64,
    reason: String,
}

/// The names that a model may call.
pub fn names() -> impl Iterator<Item = &'static str> {
    HTTP.iter().chain(&MCP).map(|spec| spec.name)
}

impl Tools {
    /// A service that misbehaves now and then, as a seed has it.
    pub fn start(folder: &Path, seed: u64) -> Self {
        let effects = Arc::<Mutex<Effects>>::default();
        let known = effects.clone();
        let service = Counting::start(move |n, came| {
            let key = came.header("idempotency-key").map(str::to_owned);
            known.lock().unwrap().entry(word_of(came)).or_default().push(key);
            let mut rng = StdRng::seed_from_u64(seed ^ n as u64);
            match rng.random_range(0..16) {
                0 => Says::Silence,
                1 => Says::Cut,
                2 => Says::Response(500, "text/plain", "no".into()),
                _ => {
                    // A tool that takes its time: nothing ever comes on this channel.
                    let (_keep, never) = channel::<()>();
                    let _ = never.recv_timeout(Duration::from_millis(rng.random_range(0..=ANSWER_MS_MAX)));
                    Says::json("{\"ok\":true}")
                }
            }
        });
        Tools { service, effects, counts: folder.join("counts") }
    }

    /// Gives an organization all of them.
    pub fn declare(&self, operator: &Operator, org: &str, folder: &Path) {
        let file = folder.join("tool.json");
        for spec in &HTTP {
            let url = self.service.url(if spec.method == "GET" { "/look{?n}" } else { "/do" });
            let schema = json!({ "type": "object", "properties": { "n": { "type": "string" } }, "required": ["n"] });
            let tool = json!({
                "name": spec.name, "description": "Does it.", "inputSchema": schema, "method": spec.method, "url": url,
                "timeoutMs": TIMEOUT_MS, "approval": spec.approval, "idempotent": spec.idempotent, "pricePerCall": spec.price.0,
            });
            fs::write(&file, tool.to_string()).unwrap();
            operator.run(&["tools", "add", file.to_str().unwrap(), "--org", org]);
        }
        let counts = format!("{COUNTS}={}", self.counts.display());
        operator.run(&["mcp", "add", "box", "--org", org, "--yes", "-e", &counts, "--", "sh", "-c", SERVER]);
        for spec in &MCP {
            let set = ["tools", "set", spec.name, "--org", org, "--approval", spec.approval, "--price", spec.price.0];
            operator.run(&set);
        }
    }

    /// No call did anything twice unless it may, or without saying so; and each costs its price once it was made.
    pub fn check(&self, file: &File) {
        let effects = self.effects();
        let rows = rows(file);
        for (word, keys) in &effects {
            let row = rows.get(word).unwrap_or_else(|| panic!("{word} was done and is in no file"));
            let Row { id, tool, status, .. } = row;
            assert!(keys.len() == 1 || spec(tool).idempotent, "{tool} {word} was done {} times: {status}", keys.len());
            assert!(keys.iter().flatten().all(|key| key == id), "{tool} {word} came with other keys: {keys:?}");
            assert!(
                ["done", "failed", "unknown", "called"].contains(&&**status),
                "{tool} {word} was done, and is {status}"
            );
            assert!(!says_not_made(&row.reason), "{tool} {word} was done: {}", row.reason);
            assert_eq!(row.cost, spec(tool).price.1, "{tool} {word} {status}");
        }
        for (word, row) in &rows {
            let Row { tool, status, cost, reason, .. } = row;
            assert!(status != "done" || effects.contains_key(word), "{tool} {word} was never done");
            let is_free = says_not_made(reason) || ["waiting", "approved", "denied", "withdrawn"].contains(&&**status);
            assert!(!is_free || *cost == 0, "{tool} {word} costs {cost} and is {status}: {reason}");
        }
    }

    /// No process of the MCP servers is left of any server but this one.
    pub fn check_processes(&self, server: u32) {
        let mark = format!("{COUNTS}={}", self.counts.display());
        let strays = || {
            let marked = processes().into_iter().filter(|pid| environment(*pid).any(|variable| variable == mark));
            marked.filter(|pid| !descends(*pid, server)).collect::<Vec<_>>()
        };
        until("what a killed server had started to be gone", || strays().is_empty().then_some(()));
    }

    /// Calls that were made, and those of them that were made again.
    pub fn made(&self) -> (usize, usize) {
        let effects = self.effects();
        (effects.len(), effects.values().filter(|keys| keys.len() > 1).count())
    }

    fn effects(&self) -> Effects {
        let mut effects = self.effects.lock().unwrap().clone();
        for word in fs::read_to_string(&self.counts).unwrap_or_default().lines() {
            effects.entry(word.to_owned()).or_default().push(None);
        }
        effects
    }
}

fn word_of(came: &Came) -> String {
    match came.target.split_once("?n=") {
        Some((_, word)) => word.to_owned(),
        None => serde_json::from_str::<Value>(&came.body).unwrap()["n"].as_str().unwrap().to_owned(),
    }
}

fn spec(name: &str) -> &'static Spec {
    HTTP.iter().chain(&MCP).find(|spec| spec.name == name).unwrap()
}

fn says_not_made(reason: &str) -> bool {
    ["was not run", "before this call was made"].iter().any(|words| reason.contains(words))
}

fn rows(file: &File) -> HashMap<String, Row> {
    let sql = "SELECT input ->> 'n', id, tool, status, cost, coalesce(reason, '') FROM tool_call WHERE origin IN ('http', 'mcp')";
    let mut all = HashMap::new();
    file.each(sql, |row| {
        let row = (
            row.get(0)?,
            Row { id: row.get(1)?, tool: row.get(2)?, status: row.get(3)?, cost: row.get(4)?, reason: row.get(5)? },
        );
        assert!(all.insert(row.0, row.1).is_none(), "a word is a call's alone");
        Ok(())
    });
    all
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn environment(pid: u32) -> impl Iterator<Item = String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split('\0').map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn descends(mut pid: u32, from: u32) -> bool {
    while pid > 1 && pid != from {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        // The name of a process may hold anything, brackets too.
        pid = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    }
    pid == from
}
