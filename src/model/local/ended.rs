//! Why a process ended, by what it said at last.

use super::program;
use crate::child::Exit;

/// The system's own way to end a process.
const SIGKILL: i32 = 9;
/// What is said while a process that ran out of memory is started again.
pub(super) const OUT_OF_MEMORY: &str = "the local model ran out of memory and is starting again";
/// How a flag begins that the program does not know.
const UNKNOWN_FLAG: &str = "invalid argument: ";
/// How it begins when the program does not take what stands behind a flag.
const UNFIT_VALUE: &str = "error while handling argument ";
const TOO_LITTLE: [&str; 3] = ["std::bad_alloc", "Cannot allocate memory", "failed to allocate buffer for kv cache"];

/// What ended, and what is known of it.
pub(super) struct Process<'a> {
    /// What sentences call the file.
    pub file: &'a str,
    pub build: Option<u32>,
    /// What an operator told it besides.
    pub args: &'a [String],
    /// What it said, oldest first.
    pub lines: &'a [String],
    /// The sentence about memory that is too small.
    pub too_large: &'a str,
    /// Whether the system has killed something of its group meanwhile.
    pub was_killed_for_memory: bool,
}

/// An end that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Why, for those who waited for it.
    pub reason: String,
    /// It would end so again.
    pub is_for_good: bool,
}

impl Process<'_> {
    /// Why it ended before it was ready.
    pub(super) fn before_ready(&self, exit: Exit) -> Ended {
        match self.known(exit) {
            Some(reason) => Ended { reason, is_for_good: true },
            None => self.after_ready(exit),
        }
    }

    /// Why it ended when it was.
    pub(super) fn after_ready(&self, exit: Exit) -> Ended {
        let reason = match exit {
            Exit::Signal(SIGKILL) if self.was_killed_for_memory => OUT_OF_MEMORY.into(),
            exit => format!("the local model ended ({exit}): its last words are on the Models page"),
        };
        Ended { reason, is_for_good: false }
    }

    fn known(&self, exit: Exit) -> Option<String> {
        let said = self.lines.join("\n");
        if let Some(why) = program::unfit(exit, &said) {
            return Some(why);
        }
        if let Some(flag) = after(&said, UNKNOWN_FLAG) {
            return Some(match self.args.iter().any(|word| word == flag) {
                true => format!("llama-server does not know {flag}: correct --gguf-args"),
                false => program::too_old(self.build),
            });
        }
        if let Some(flag) = after(&said, UNFIT_VALUE) {
            return Some(format!(
                "llama-server does not take the value of {}: correct --gguf-args",
                flag.trim_matches(['"', ':'])
            ));
        }
        let file = self.file;
        if let Some(architecture) = after(&said, "unknown model architecture: ") {
            let build = self
                .build
                .map_or_else(|| "this llama-server".to_owned(), |build| format!("llama-server build {build}"));
            let architecture = architecture.trim_matches('\'');
            return Some(format!("{build} does not know the architecture {architecture}: a newer one may"));
        }
        if said.contains("data is not within the file bounds") {
            return Some(format!("{file} is cut short: copy it again"));
        }
        if TOO_LITTLE.iter().any(|words| said.contains(words)) {
            return Some(self.too_large.to_owned());
        }
        said.contains("failed to load model")
            .then(|| format!("llama-server cannot load {file} ({exit}): its last words are on the Models page"))
    }
}

/// The word behind a text.
fn after<'a>(said: &'a str, text: &str) -> Option<&'a str> {
    said.split_once(text)?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exit: Exit, said: &str) -> Ended {
        with(exit, said, false)
    }

    fn with(exit: Exit, said: &str, was_killed_for_memory: bool) -> Ended {
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        let (args, too_large) = (["--odd".to_owned()], "m.gguf needs about 9 GB");
        let process = Process {
            file: "m.gguf",
            build: Some(9_999),
            args: &args,
            lines: &lines,
            too_large,
            was_killed_for_memory,
        };
        process.before_ready(exit)
    }

    #[test]
    fn what_would_happen_again_is_for_good_and_has_a_sentence() {
        let load = "E srv load_model: failed to load model from '/m.gguf'";
        for (said, reason) in [
            (
                &*format!("E llama_model_load: error loading model: unknown model architecture: 'fancy'\n{load}"),
                "llama-server build 9999 does not know the architecture fancy: a newer one may",
            ),
            (
                &*format!("E model: tensor 'x' data is not within the file bounds, model is corrupted\n{load}"),
                "m.gguf is cut short: copy it again",
            ),
            ("terminate called after throwing 'std::bad_alloc'", "m.gguf needs about 9 GB"),
            (&*format!("mmap failed: Cannot allocate memory\n{load}"), "m.gguf needs about 9 GB"),
            ("E failed to allocate buffer for kv cache", "m.gguf needs about 9 GB"),
            (load, "llama-server cannot load m.gguf (exit 1): its last words are on the Models page"),
            ("error: invalid argument: --odd", "llama-server does not know --odd: correct --gguf-args"),
            (
                "error while handling argument \"--numa\": invalid value",
                "llama-server does not take the value of --numa: correct --gguf-args",
            ),
            ("error: invalid argument: --no-ui", "llama-server build 9999 is too old: alm needs 9478 or newer"),
        ] {
            assert_eq!(of(Exit::Code(1), said), Ended { reason: reason.into(), is_for_good: true }, "{said}");
        }
        assert!(of(Exit::Signal(4), "").is_for_good && of(Exit::Code(127), "").is_for_good);
    }

    #[test]
    fn any_other_end_may_be_another_the_next_time() {
        let ended = "the local model ended (exit 1): its last words are on the Models page";
        assert_eq!(
            of(Exit::Code(1), "E couldn't bind HTTP server socket"),
            Ended { reason: ended.into(), is_for_good: false }
        );
        assert!(of(Exit::Signal(9), "").reason.starts_with("the local model ended (signal 9)"));
        assert_eq!(with(Exit::Signal(9), "", true), Ended { reason: OUT_OF_MEMORY.into(), is_for_good: false });
        assert!(with(Exit::Signal(11), "", true).reason.contains("signal 11"));
    }
}
