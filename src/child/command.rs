//! What is started, where, and with which environment.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use rustix::fs::{Access, access};

/// How the names of our own variables begin; no child gets one.
const OURS: &str = "ALM_";

/// The variables of this process that a child gets. All others are its own.
#[derive(Debug, Clone, Copy)]
pub struct HandedOn {
    /// These.
    pub names: &'static [&'static str],
    /// And those that begin so.
    pub beginnings: &'static [&'static str],
}

impl HandedOn {
    /// What any command gets.
    pub const USUAL: HandedOn =
        HandedOn { names: &["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME"], beginnings: &[] };

    fn holds(self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        self.names.contains(&name) || self.beginnings.iter().any(|beginning| name.starts_with(beginning))
    }
}

/// A command to start.
pub struct Command {
    /// A path, or a name that is looked for in the `PATH` that the command itself gets.
    pub program: String,
    /// What it is told, as it stands: no shell reads it.
    pub args: Vec<String>,
    /// Which variables of this process it gets.
    pub handed_on: HandedOn,
    /// Its own variables.
    pub env: Vec<(String, String)>,
    /// How much it gives way to other processes, if it does.
    pub nice: Option<i32>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its mark is kept while it runs, for a server that comes after a killed one: an absolute path.
    pub pid_file: PathBuf,
}

impl Command {
    /// The call of `alm` that becomes it, with pipes. Why it cannot be started is a sentence.
    pub(super) fn prepared(&self, alm: &Path) -> Result<process::Command, String> {
        if !self.folder.is_dir() {
            return Err(format!("there is no folder {}", self.folder.display()));
        }
        let environment = self.environment(env::vars_os());
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        let program = self.find(&path.unwrap_or_default().to_string_lossy())?;
        let mut ready = process::Command::new(alm);
        ready.arg0("alm").arg("__child").arg(process::id().to_string()).arg("--mark").arg(&self.pid_file);
        if let Some(nice) = self.nice {
            ready.arg(format!("--nice={nice}"));
        }
        ready.arg("--").arg(program).args(&self.args);
        ready.env_clear().envs(environment).current_dir(&self.folder);
        ready.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(ready)
    }

    fn environment(&self, of_server: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
        let handed_on = of_server.filter(|(name, _)| self.handed_on.holds(name));
        let own = self.env.iter().filter(|(name, _)| !name.starts_with(OURS));
        let own = own.map(|(name, value)| (name.into(), value.into()));
        // The last one of a name counts.
        handed_on.chain(own).collect()
    }

    /// The program's file.
    fn find(&self, path: &str) -> Result<PathBuf, String> {
        let program = &self.program;
        if program.contains('/') {
            let file = self.folder.join(program);
            return match is_program(&file) {
                true => Ok(file),
                false if file.exists() => Err(format!("{} is no program that may be run", file.display())),
                false => Err(format!("{} does not exist", file.display())),
            };
        }
        let mut found = path.split(':').filter(|folder| !folder.is_empty() && !program.is_empty());
        let found =
            found.find_map(|folder| Some(self.folder.join(folder).join(program)).filter(|file| is_program(file)));
        found.ok_or_else(|| format!("{program}: not found in PATH ({path}): give the full path, or -e PATH=…"))
    }
}

/// The first program of that name in this process's `PATH`.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

/// The folder that the system keeps for this user's sockets, if it does.
pub fn runtime_folder() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute())
}

/// Whether a file may be run.
pub fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn of(program: &str, folder: &Path, env: &[(&str, &str)]) -> Command {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let pid_file = folder.join("x.pid");
        Command {
            program: program.into(),
            args: vec!["a b".into(), "$HOME".into()],
            handed_on: HandedOn::USUAL,
            env,
            nice: None,
            folder: folder.into(),
            pid_file,
        }
    }

    #[test]
    fn a_child_gets_eight_variables_and_its_own_and_none_of_ours() {
        let ours = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "CUDA_X", "ALM_ORG"];
        let of_server = || ours.map(|name| (OsString::from(name), OsString::from("server's"))).into_iter();
        let own = [("TOKEN", "t"), ("LANG", "own"), ("ALM_DATA_DIR", "/x")];
        let given = of("cat", Path::new("/"), &own).environment(of_server());
        let names: Vec<_> = given.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        let expected = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "TOKEN", "LANG"];
        assert_eq!(names, expected);
        let call = process::Command::new("x").env_clear().envs(given).get_envs().count();
        assert_eq!(call, 9, "its own LANG stands");
        assert!(of("cat", Path::new("/"), &[]).environment([].into_iter()).is_empty());
        let other = HandedOn { names: &["PATH"], beginnings: &["CUDA_", "VK_"] };
        let given = Command { handed_on: other, ..of("cat", Path::new("/"), &[]) }.environment(of_server());
        let names: Vec<_> = given.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "CUDA_X"]);
    }

    #[test]
    fn a_program_is_found_in_the_path_that_the_command_gets_or_the_sentence_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("tool"), "#!/bin/sh\n").unwrap();
        fs::create_dir(bin.join("folder")).unwrap();
        let command = |program: &str| of(program, folder.path(), &[]);
        let path = format!("/nowhere::{}", bin.display());
        let missing = format!("tool: not found in PATH ({path}): give the full path, or -e PATH=…");
        assert_eq!(command("tool").find(&path).unwrap_err(), missing, "nobody may run it");
        fs::set_permissions(bin.join("tool"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(command("tool").find(&path).unwrap(), bin.join("tool"));
        assert_eq!(command("tool").find("bin").unwrap(), bin.join("tool"), "below its folder");
        assert_eq!(command("bin/tool").find("").unwrap(), bin.join("tool"));
        assert!(command("folder").find(&path).is_err() && command("").find(&path).is_err());
        let sentence = command("./bin/folder").find(&path).unwrap_err();
        assert!(sentence.ends_with("bin/folder is no program that may be run"), "{sentence}");
        assert_eq!(command("/no/tool").find(&path).unwrap_err(), "/no/tool does not exist");
    }

    #[test]
    fn a_command_is_run_as_it_stands_in_a_folder_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let ready = of("/bin/sh", folder.path(), &[("K", "v")]).prepared(Path::new("/alm")).unwrap();
        let id = process::id().to_string();
        let arguments: Vec<_> = ready.get_args().map(|argument| argument.to_str().unwrap()).collect();
        let mark = folder.path().join("x.pid");
        assert_eq!(arguments, ["__child", &id, "--mark", mark.to_str().unwrap(), "--", "/bin/sh", "a b", "$HOME"]);
        let polite = Command { nice: Some(5), ..of("/bin/sh", folder.path(), &[]) };
        let polite = polite.prepared(Path::new("/alm")).unwrap();
        assert_eq!(polite.get_args().nth(4).unwrap(), "--nice=5");
        assert_eq!((ready.get_program().to_str(), ready.get_current_dir()), (Some("/alm"), Some(folder.path())));
        let gone = of("/bin/sh", Path::new("/no/folder"), &[]).prepared(Path::new("/alm")).unwrap_err();
        assert_eq!(gone, "there is no folder /no/folder");
    }
}
