//! llama-server: where it is, and which one.

use std::path::{Path, PathBuf};

use crate::child::{self, Exit};

/// The program.
pub(super) const PROGRAM: &str = "llama-server";
/// The first build that knows every flag that it is given; the last of them was `--sse-ping-interval`.
pub const LLAMA_BUILD_MIN: u32 = 9_478;
/// An instruction that the processor lacks.
const SIGILL: i32 = 4;
/// A library is missing.
const NO_LIBRARY: i32 = 127;

/// No program anywhere.
pub const NO_PROGRAM: &str =
    "there is no llama-server beside alm or in PATH: install llama.cpp, or name it with --llama-server";
const NO_INSTRUCTIONS: &str =
    "this llama-server needs instructions that this processor lacks: build llama.cpp on this machine";

/// The file to run: the one that was named, one beside `alm`, or one in `PATH`.
pub(super) fn find(named: Option<&Path>, alm: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return match child::is_program(named) {
            true => std::path::absolute(named).map_err(|error| format!("{}: {error}", named.display())),
            false if named.exists() => Err(format!("{} is no program that may be run", named.display())),
            false => Err(format!("{} does not exist", named.display())),
        };
    }
    // `alm` may be a link that the system follows, such as that to the program of this process.
    let alm = alm.map(|alm| alm.read_link().unwrap_or_else(|_| alm.to_owned()));
    let beside = alm.and_then(|alm| Some(alm.parent()?.join(PROGRAM))).filter(|file| child::is_program(file));
    beside.or_else(|| child::in_path(PROGRAM)).ok_or_else(|| NO_PROGRAM.to_owned())
}

/// The build that `--version` names; none if the program does not know it. Why it is of no use is a sentence.
pub(super) fn build(exit: Exit, said: &str) -> Result<Option<u32>, String> {
    if let Some(why) = unfit(exit, said) {
        return Err(why);
    }
    match (exit, number(said)) {
        (Exit::Code(0), Some(build)) if build < LLAMA_BUILD_MIN => Err(too_old(Some(build))),
        (Exit::Code(0), build) => Ok(build),
        (exit, _) => Err(format!("llama-server --version failed ({exit}): {}", first_line(said))),
    }
}

/// Why the program runs nowhere, if its end says so.
pub(super) fn unfit(exit: Exit, said: &str) -> Option<String> {
    match exit {
        Exit::Signal(SIGILL) => Some(NO_INSTRUCTIONS.into()),
        Exit::Code(NO_LIBRARY) => {
            let missing = library(said).unwrap_or("a library");
            Some(format!("llama-server does not start: {missing} is missing"))
        }
        _ => None,
    }
}

/// What is said of a build that does not know all flags.
pub(super) fn too_old(build: Option<u32>) -> String {
    match build {
        Some(build) => format!("llama-server build {build} is too old: alm needs {LLAMA_BUILD_MIN} or newer"),
        None => format!("this llama-server is too old: alm needs build {LLAMA_BUILD_MIN} or newer"),
    }
}

/// Whether the answer to `--list-devices` names one: each stands on a line of its own, indented, with its name and a colon.
pub(super) fn has_gpu(said: &str) -> bool {
    let listed = said.lines().skip_while(|line| !line.starts_with("Available devices"));
    listed
        .skip(1)
        .any(|line| line.starts_with(' ') && line.trim().split_once(": ").is_some_and(|(name, _)| !name.contains(' ')))
}

/// `version: 11434 (abc1234)`, or `version: 0.6.0 (build 11434, commit abc1234)`. 0 is a build that does not know its number.
fn number(said: &str) -> Option<u32> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("version:"))?;
    let number = match line.split_once("build ") {
        Some((_, build)) => build.split(|c: char| !c.is_ascii_digit()).next()?,
        None => line.split_whitespace().next()?,
    };
    number.parse().ok().filter(|build| *build > 0)
}

/// `…: error while loading shared libraries: libgomp.so.1: cannot open …`, `Error loading shared library libgomp.so.1: No such …`.
fn library(said: &str) -> Option<&str> {
    let beginnings = ["error while loading shared libraries: ", "Error loading shared library "];
    let (_, rest) = beginnings.iter().find_map(|beginning| said.split_once(beginning))?;
    rest.split([':', '\n']).next()
}

fn first_line(said: &str) -> &str {
    said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const DONE: Exit = Exit::Code(0);

    #[test]
    fn a_build_is_read_in_either_form_and_one_that_is_unknown_passes() {
        let real = "version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU 12.2.0 for Linux x86_64\n";
        assert_eq!(build(DONE, real), Ok(None));
        assert_eq!(build(DONE, "version: 0.6.0 (build 11434, commit abc)\n"), Ok(Some(11_434)));
        let cuda =
            "ggml_cuda_init: found 1 CUDA devices:\n  Device 0: A100\nversion: 11434 (58062860a)\nbuilt with …\n";
        assert_eq!(build(DONE, cuda), Ok(Some(11_434)));
        for unknown in ["", "version: 0 (unknown)", "version: b-1", "hello"] {
            assert_eq!(build(DONE, unknown), Ok(None));
        }
        let of = |build: u32| super::build(DONE, &format!("version: {build} (abc)"));
        assert_eq!(of(LLAMA_BUILD_MIN - 1), Err("llama-server build 9477 is too old: alm needs 9478 or newer".into()));
        assert_eq!([LLAMA_BUILD_MIN, LLAMA_BUILD_MIN + 1].map(|build| of(build).is_ok()), [true, true]);
    }

    #[test]
    fn a_program_that_cannot_run_here_says_why() {
        assert_eq!(build(Exit::Signal(4), ""), Err(NO_INSTRUCTIONS.into()));
        let glibc = "/x/llama-server: error while loading shared libraries: libgomp.so.1: cannot open shared object file: No such\n";
        let missing = Err("llama-server does not start: libgomp.so.1 is missing".into());
        assert_eq!(build(Exit::Code(127), glibc), missing);
        assert_eq!(
            build(Exit::Code(127), "Error loading shared library libgomp.so.1: No such file (needed by x)"),
            missing
        );
        assert_eq!(build(Exit::Code(127), ""), Err("llama-server does not start: a library is missing".into()));
        let other = build(Exit::Code(2), "\n usage: x\n").unwrap_err();
        assert_eq!(other, "llama-server --version failed (exit 2): usage: x");
    }

    #[test]
    fn a_device_is_found_where_devices_are_listed() {
        assert!(has_gpu("Available devices:\n  CUDA0: NVIDIA A100 (81000 MiB, 80000 MiB free)\n"));
        assert!(!has_gpu("Available devices:\n  (none)\n") && !has_gpu("") && !has_gpu("  CUDA0: x\n"));
    }

    #[test]
    fn the_program_is_the_one_named_or_beside_alm() {
        let folder = tempfile::tempdir().unwrap();
        let (file, alm) = (folder.path().join(PROGRAM), folder.path().join("alm"));
        assert_eq!(find(Some(&file), None).unwrap_err(), format!("{} does not exist", file.display()));
        fs::write(&file, "").unwrap();
        assert!(find(Some(&file), None).unwrap_err().ends_with("llama-server is no program that may be run"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(find(Some(&file), None).unwrap(), file);
        assert_eq!(find(None, Some(&alm)).unwrap(), file);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&alm, &link).unwrap();
        assert_eq!(find(None, Some(&link)).unwrap(), file, "beside what it is a link to");
    }
}
