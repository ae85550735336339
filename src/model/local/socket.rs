//! Where a process is reached: a socket in a folder of ours.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The longest path of a socket that every system takes, with some room for theirs.
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 100;
/// Whose folder nobody else reads.
const OWNERS_ALONE: u32 = 0o700;

/// The socket of the model of that name, in a folder that is made; why not is a sentence. `run` is a data folder's own, `runtime` the
/// system's for this user.
pub(super) fn place(run: &Path, runtime: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let file = format!("{name}.sock");
    let own = run.join(&file);
    // Its mark lies there in any case.
    make(run)?;
    if is_usable(&own) {
        return Ok(own);
    }
    let elsewhere = runtime.map(|runtime| runtime.join(folder_name(run)));
    let socket = elsewhere.as_ref().map(|folder| folder.join(&file)).filter(|socket| is_usable(socket));
    let (Some(folder), Some(socket)) = (elsewhere, socket) else {
        return Err(format!(
            "the path of the socket {} has more than {SOCKET_PATH_BYTES_MAX} bytes or a comma: use another data folder, or set \
             XDG_RUNTIME_DIR",
            own.display()
        ));
    };
    make(&folder).map(|()| socket)
}

/// Removes what an earlier process has left. Anything but a socket is somebody's own.
pub(super) fn clear(socket: &Path) -> Result<(), String> {
    let kind = match fs::symlink_metadata(socket) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", socket.display())),
    };
    match kind.is_socket() {
        true => fs::remove_file(socket).map_err(|error| format!("{} cannot be removed: {error}", socket.display())),
        false => Err(format!("{} is in the way, and no socket: move it elsewhere", socket.display())),
    }
}

/// The program takes commas for a list of addresses.
fn is_usable(socket: &Path) -> bool {
    let path = socket.as_os_str().as_encoded_bytes();
    path.len() <= SOCKET_PATH_BYTES_MAX && !path.contains(&b',') && socket.to_str().is_some()
}

/// The same for the same data folder, and for no other.
fn folder_name(run: &Path) -> String {
    let hash = Sha256::digest(run.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("alm-{hash}")
}

fn make(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(OWNERS_ALONE).create(folder);
    made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(OWNERS_ALONE)))
        .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A folder below this one, such that a socket `m.sock` in it has a path of so many bytes.
    fn long(folder: &Path, bytes: usize) -> PathBuf {
        let fill = bytes - folder.as_os_str().len() - "//m.sock".len();
        folder.join("x".repeat(fill))
    }

    fn mode(folder: &Path) -> u32 {
        fs::metadata(folder).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_lies_in_a_folder_of_ours_or_if_its_path_is_too_long_in_the_systems() {
        let (data, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (bytes, is_own) in
            [(SOCKET_PATH_BYTES_MAX - 1, true), (SOCKET_PATH_BYTES_MAX, true), (SOCKET_PATH_BYTES_MAX + 1, false)]
        {
            let run = long(data.path(), bytes);
            let socket = place(&run, Some(runtime.path()), "m").unwrap();
            assert_eq!((socket == run.join("m.sock"), socket.starts_with(runtime.path())), (is_own, !is_own));
            assert_eq!([mode(socket.parent().unwrap()), mode(&run)], [0o700; 2]);
            assert_eq!(place(&run, Some(runtime.path()), "m").unwrap(), socket, "the next time as well");
        }
        let refused = place(&long(data.path(), SOCKET_PATH_BYTES_MAX + 1), None, "m").unwrap_err();
        assert!(refused.ends_with("use another data folder, or set XDG_RUNTIME_DIR"), "{refused}");
        assert!(place(&data.path().join("a,b"), None, "m").is_err());
    }

    #[test]
    fn a_folder_that_others_could_read_is_closed() {
        let data = tempfile::tempdir().unwrap();
        let run = data.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
        place(&run, None, "m").unwrap();
        assert_eq!(mode(&run), 0o700);
    }

    #[test]
    fn a_socket_that_was_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("m.sock");
        assert_eq!(clear(&socket), Ok(()));
        drop(UnixListener::bind(&socket).unwrap());
        assert_eq!((clear(&socket), socket.exists()), (Ok(()), false));
        fs::write(&socket, "").unwrap();
        assert_eq!(
            clear(&socket),
            Err(format!("{} is in the way, and no socket: move it elsewhere", socket.display()))
        );
        fs::remove_file(&socket).unwrap();
        std::os::unix::fs::symlink("/nowhere", &socket).unwrap();
        assert!(clear(&socket).is_err() && fs::symlink_metadata(&socket).is_ok());
    }
}
