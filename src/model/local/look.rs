//! What is looked at before a process is started: the program, the file, the memory, the socket.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::{
    arguments::Plan,
    cgroup,
    core::Found,
    local_model::{LocalModel, read},
    memory::{self, Wanted},
    program, socket,
};
use crate::{
    child::{self, Command, Exit, HandedOn},
    model::gguf::Header,
};

/// The variables of this process that the program gets: where it looks for things, and what drives its GPU. Those by which it
/// takes arguments are not among them.
pub(super) const HANDED_ON: HandedOn = HandedOn {
    names: &["PATH", "HOME", "LANG", "LD_LIBRARY_PATH"],
    beginnings: &["CUDA_", "GGML_", "HIP_", "ROCR_", "VK_"],
};
/// How much it gives way to the server beside it.
const NICE: i32 = 5;
/// How long the program may take to say which one it is.
const WORD_WAIT: Duration = Duration::from_secs(20);
/// What is read of that.
const WORD_BYTES_MAX: usize = 64 << 10;
/// Conversations at a time, of a processor and of a GPU.
const SLOTS: [u32; 2] = [1, 4];

/// What a start needs.
pub(super) struct Ready {
    pub program: PathBuf,
    pub plan: Plan,
    pub found: Found,
    pub header: Arc<Header>,
    /// The sentence about memory that is too small after all.
    pub too_large: String,
}

/// What a start would find.
pub struct Tried {
    /// The build of the program, if it says.
    pub build: Option<u32>,
    /// Whether it computes on a GPU.
    pub gpu: bool,
    /// Tokens of one conversation.
    pub context: u32,
    /// What is less than it was to be.
    pub note: Option<String>,
}

impl LocalModel {
    /// Looks as a start does, for who only looks; why there would be none is a sentence.
    pub async fn try_out(&self) -> Result<Tried, String> {
        let Ready { plan, found, .. } = self.look_around().await?;
        Ok(Tried { build: found.build, gpu: found.gpu, context: plan.context, note: found.note })
    }

    /// The program that a start would run; why there is none is a sentence.
    pub fn program(&self) -> Result<PathBuf, String> {
        program::find(self.settings.program.as_deref(), Some(self.around.children.may_start()?))
    }

    /// Looks whether the process can be started; why not is a sentence.
    pub(super) async fn look_around(&self) -> Result<Ready, String> {
        let (settings, around) = (&self.settings, &self.around);
        let program = self.program()?;
        let own = settings.clone();
        let header = tokio::task::spawn_blocking(move || read(&own)).await.map_err(|error| error.to_string())?;
        let header = header.map_err(|error| error.to_string())?;
        let run = around.run();
        let socket = socket::place(&run, child::runtime_folder().as_deref(), self.name())?;
        socket::clear(&socket)?;
        let (exit, said) = self.ask_program(&program, "--version").await?;
        let build = program::build(exit, &said)?;
        let gpu = self.ask_program(&program, "--list-devices").await.is_ok_and(|(_, said)| program::has_gpu(&said));
        let slots = settings.slots.unwrap_or(SLOTS[usize::from(gpu)]);
        let file = self.file_name();
        let free = cgroup::free_bytes();
        let needs = |context: u32, cache: u64| header.memory_bytes(context, slots, cache);
        let wanted = Wanted { file: &file, context: settings.context, trained: header.window, needs: &needs, gpu };
        let fit = memory::fit(&wanted, free)?;
        let too_large = memory::too_large(&wanted, fit.context, free);
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let plan = Plan {
            name: settings.name.clone(),
            file: absolute(&settings.file),
            socket,
            template: settings.template.as_ref().map(absolute),
            context: fit.context,
            slots,
            threads: settings.threads.unwrap_or_else(threads),
            cache_mib: fit.cache_mib,
            gpu,
            more: settings.args.clone(),
        };
        let found = Found { build, gpu, slots, note: fit.note };
        Ok(Ready { program, plan, found, header: Arc::new(header), too_large })
    }

    /// The call of the program.
    pub(super) fn command(&self, program: &Path, args: Vec<String>, mark: &str) -> Command {
        let run = self.around.run();
        Command {
            program: program.display().to_string(),
            args,
            handed_on: HANDED_ON,
            env: vec![("GGML_NO_BACKTRACE".into(), "1".into())],
            nice: Some(NICE),
            pid_file: run.join(format!("{mark}.pid")),
            folder: run,
        }
    }

    /// What sentences call the file: its folder is nobody's business who talks to it.
    pub(super) fn file_name(&self) -> String {
        let file = &self.settings.file;
        file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// A sentence for whoever asks: where things lie is for the operator alone, who reads it in the log.
    pub(super) fn shown(&self, why: &str) -> String {
        let folder_of = |path: &Path| path.parent().map(|folder| format!("{}/", folder.display()));
        let files = [Some(&self.settings.file), self.settings.program.as_ref(), self.settings.template.as_ref()];
        let folders = files.into_iter().flatten().filter_map(|file| folder_of(file));
        let folders = folders.chain([format!("{}/", self.around.folder.display())]).filter(|folder| folder.len() > 1);
        folders.fold(why.to_owned(), |why, folder| why.replace(&folder, ""))
    }

    /// What the program says to one word, and how it ended.
    async fn ask_program(&self, program: &Path, word: &str) -> Result<(Exit, String), String> {
        let command = self.command(program, vec![word.to_owned()], &format!("{}.look", self.name()));
        let child = self.around.children.start(&command).await?;
        drop(child.stdin);
        let whole = async {
            let (out, err) = tokio::join!(up_to(child.stdout), up_to(child.stderr));
            (child.process.ended().await, String::from_utf8_lossy(&[err, out].concat()).into_owned())
        };
        timeout(WORD_WAIT, whole)
            .await
            .map_err(|_| format!("llama-server {word} did not end within {} seconds", WORD_WAIT.as_secs()))
    }
}

async fn up_to(from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What has come until it breaks counts.
    drop(from.take(WORD_BYTES_MAX as u64).read_to_end(&mut bytes).await);
    bytes
}

/// All but one: threads of the program spin, and two that share a core stand in each other's way.
fn threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores.saturating_sub(1)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_does_not_read_where_things_lie() {
        let file =
            "/srv/models/m.gguf is cut short, /data/alm/run/m.sock is in the way, /opt/llama-server and /m are not";
        let shown = "m.gguf is cut short, run/m.sock is in the way, llama-server and /m are not";
        let folder = tempfile::tempdir().unwrap();
        let mut model = crate::model::local::ticket::tests::model(folder.path());
        model.settings.file = "/srv/models/m.gguf".into();
        model.settings.program = Some("/opt/llama-server".into());
        model.around.folder = "/data/alm".into();
        assert_eq!(model.shown(file), shown);
        model.settings.file = "/m".into();
        assert!(model.shown("/m is cut short").starts_with("/m "), "a root is no folder to hide");
    }

    #[tokio::test]
    async fn of_what_a_program_says_word_bytes_max_are_read() {
        for (said, read) in [
            (WORD_BYTES_MAX - 1, WORD_BYTES_MAX - 1),
            (WORD_BYTES_MAX, WORD_BYTES_MAX),
            (WORD_BYTES_MAX + 1, WORD_BYTES_MAX),
        ] {
            assert_eq!(up_to(&vec![b'x'; said][..]).await.len(), read);
        }
    }
}
