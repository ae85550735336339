//! What the program is told.
//!
//! Rule: a flag that is set here is nobody else's, and none of those that reach out, run something or open another door.

use std::path::PathBuf;

/// Positions read at once: between two such batches a cancel is seen, and other answers go on.
const BATCH: &str = "256";
/// The same with a GPU, which reads a batch in no time.
const GPU_BATCH: [&str; 2] = ["2048", "512"];
/// The shortest run of tokens that is found again in the cache after something before it was dropped.
const CACHE_REUSE: &str = "64";
/// Seconds between the comments that it sends while it reads a prompt.
const PING_SECONDS: &str = "10";
/// How the long form of a flag is told from the short.
const LONG: &str = "--";

/// Flags that are ours, or that nobody may give: other ways in and out, tools, several models, downloads, a key, a sleep that we do
/// not know of.
const OURS: &[&str] = &[
    "-m",
    "--model",
    "-a",
    "--alias",
    "--host",
    "--port",
    "--reuse-port",
    "--path",
    "--api-prefix",
    "--jinja",
    "--no-jinja",
    "--offline",
    "--ui",
    "--no-ui",
    "--webui",
    "--no-webui",
    "--slots",
    "--no-slots",
    "-np",
    "--parallel",
    "-c",
    "--ctx-size",
    "-t",
    "--threads",
    "-tb",
    "--threads-batch",
    "-b",
    "--batch-size",
    "-ub",
    "--ubatch-size",
    "--cache-reuse",
    "-cram",
    "--cache-ram",
    "--sse-ping-interval",
    "--reasoning-format",
    "--chat-template",
    "--chat-template-file",
    "--api-key",
    "--api-key-file",
    "--ssl-key-file",
    "--ssl-cert-file",
    "--embedding",
    "--embeddings",
    "--rerank",
    "--reranking",
    "--sleep-idle-seconds",
    "-mu",
    "--model-url",
    "-dr",
    "--docker-repo",
    "-hf",
    "-hfr",
    "--hf-repo",
    "-hff",
    "--hf-file",
    "-hft",
    "--hf-token",
    "-hfd",
    "-hfrd",
    "--hf-repo-draft",
    "--spec-draft-hf",
    "-mmu",
    "--mmproj-url",
    "--tools",
    "--tools-runtime",
    "-ag",
    "--agent",
    "--ui-mcp-proxy",
    "--webui-mcp-proxy",
    "--media-path",
    "--log-file",
    "--log-disable",
    "--log-prompts-dir",
    "--slot-save-path",
    "--props",
    "--version",
    "-h",
    "--help",
    "--usage",
    "-cl",
    "--cache-list",
    "--completion-bash",
    "--list-devices",
];
/// How the names of such flags begin.
const OURS_BEGIN: &[&str] = &["--mcp-", "--models-", "--cors-"];
/// How the names of flags end that take a model from the network.
const OURS_END: &str = "-default";

/// What a process is started with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub name: String,
    pub file: PathBuf,
    pub socket: PathBuf,
    pub template: Option<PathBuf>,
    /// Tokens of one conversation.
    pub context: u32,
    pub slots: u32,
    pub threads: u32,
    /// Memory for earlier conversations.
    pub cache_mib: u64,
    pub gpu: bool,
    pub more: Vec<String>,
}

impl Plan {
    /// The words after the program's name.
    pub(super) fn arguments(&self) -> Vec<String> {
        let text = |path: &PathBuf| path.display().to_string();
        let (socket, file, template) = (text(&self.socket), text(&self.file), self.template.as_ref().map(text));
        let (slots, threads) = (self.slots.to_string(), self.threads.to_string());
        let context = self.context.saturating_mul(self.slots).to_string();
        let cache = self.cache_mib.to_string();
        let batch = if self.gpu { GPU_BATCH } else { [BATCH; 2] };
        let mut words = vec!["--host", &socket, "-m", &file, "--alias", &self.name];
        words.extend(["--jinja", "--offline", "--no-ui", "--no-slots", "-np", &slots, "-c", &context]);
        words.extend(["-t", &threads, "-tb", &threads, "-b", batch[0], "-ub", batch[1], "--cache-reuse", CACHE_REUSE]);
        words.extend(["--cache-ram", &cache, "--sse-ping-interval", PING_SECONDS, "--reasoning-format", "auto"]);
        words.extend(template.iter().flat_map(|template| ["--chat-template-file", template]));
        words.extend(self.more.iter().map(String::as_str));
        words.into_iter().map(str::to_owned).collect()
    }
}

/// The flag that a word is, if it is one of ours.
pub(super) fn of_ours(word: &str) -> Option<&str> {
    let flag = word.split('=').next().unwrap_or_default();
    // The program takes an underscore in a long flag for a dash.
    let name = if flag.starts_with(LONG) { flag.replace('_', "-") } else { flag.to_owned() };
    let is = OURS.contains(&&*name)
        || OURS_BEGIN.iter().any(|beginning| name.starts_with(beginning))
        || (name.starts_with(LONG) && name.ends_with(OURS_END) && name != "--spec-default");
    is.then_some(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            name: "tiny".into(),
            file: "/m/tiny.gguf".into(),
            socket: "/d/run/tiny.sock".into(),
            template: None,
            context: 4096,
            slots: 2,
            threads: 3,
            cache_mib: 512,
            gpu: false,
            more: Vec::new(),
        }
    }

    #[test]
    fn the_program_is_told_what_the_contract_says() {
        let told = plan().arguments().join(" ");
        assert_eq!(
            told,
            "--host /d/run/tiny.sock -m /m/tiny.gguf --alias tiny --jinja --offline --no-ui --no-slots -np 2 -c 8192 -t 3 -tb 3 \
             -b 256 -ub 256 --cache-reuse 64 --cache-ram 512 --sse-ping-interval 10 --reasoning-format auto"
        );
        let more = vec!["-ngl".into(), "99".into()];
        let told = Plan { gpu: true, template: Some("/t x".into()), more, ..plan() }.arguments();
        let has = |words: &[&str]| told.windows(words.len()).any(|window| window == words);
        assert!(has(&["-b", "2048", "-ub", "512"]) && has(&["--chat-template-file", "/t x"]));
        assert!(told.ends_with(&["-ngl".into(), "99".into()]), "what is given besides comes last");
    }

    #[test]
    fn every_flag_that_is_set_is_ours_and_so_is_what_would_open_a_door() {
        let all = Plan { template: Some("/t".into()), ..plan() }.arguments();
        for flag in all.iter().filter(|word| word.starts_with('-')) {
            assert_eq!(of_ours(flag), Some(flag.as_str()));
        }
        for flag in
            ["--ctx_size", "--port", "-hf", "--mcp-servers-json", "--models-dir", "--gpt-oss-20b-default", "--tools"]
        {
            assert_eq!(of_ours(flag), Some(flag));
        }
        assert_eq!(of_ours("--host=0.0.0.0"), Some("--host"));
        for flag in ["--mlock", "-ngl", "99", "--spec-default", "-c_x", "model", "--flash-attn"] {
            assert_eq!(of_ours(flag), None);
        }
    }
}
