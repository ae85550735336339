//! A file with its parts, opened without waiting for anything that is none.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{
    fault::unopened,
    header::{Header, read},
};
use crate::error::{Error, Result};

/// Most parts of one model. One of more is refused.
pub(super) const GGUF_PARTS_MAX: u16 = 256;

/// What the model in a file says of itself. Its other parts lie beside the first, which is the one to name.
pub fn open(file: &Path) -> Result<Header> {
    let mut header = open_one(file)?;
    let Some((at, count)) = header.parts else { return Ok(header) };
    let name = file.display();
    if at != 1 {
        return Err(Error::failed(format!("{name} is part {at} of {count}: name part 1")));
    }
    if count > GGUF_PARTS_MAX {
        return Err(Error::failed(format!("{name} has {count} parts: at most {GGUF_PARTS_MAX} are read")));
    }
    for (part, at) in files(file, &header)?.iter().zip(1..).skip(1) {
        if !part.exists() {
            return Err(Error::failed(format!("{name} is part 1 of {count}, and part {at} is missing")));
        }
        let more = open_one(part)?;
        if more.parts != Some((at, count)) {
            return Err(Error::failed(format!("{} is not part {at} of {count}: copy it again", part.display())));
        }
        header.parameters = header.parameters.saturating_add(more.parameters);
        header.bytes = header.bytes.saturating_add(more.bytes);
    }
    Ok(header)
}

/// The files of a model, of which this is the first.
pub fn files(file: &Path, header: &Header) -> Result<Vec<PathBuf>> {
    let Some((_, count)) = header.parts else { return Ok(vec![file.to_owned()]) };
    let ending = |at| format!("-{at:05}-of-{count:05}.gguf");
    let name = file.file_name().and_then(|name| name.to_str());
    let Some(begin) = name.and_then(|name| name.strip_suffix(&ending(1))) else {
        let words = format!("{} is part 1 of {count}: its name has to end in {}", file.display(), ending(1));
        return Err(Error::failed(words));
    };
    Ok((1..=count).map(|at| file.with_file_name(format!("{begin}{}", ending(at)))).collect())
}

fn open_one(file: &Path) -> Result<Header> {
    let (open, bytes) = open_file(file)?;
    read(open, bytes).map_err(|fault| fault.of(file, bytes))
}

/// A regular file, and how many bytes it has.
pub(super) fn open_file(path: &Path) -> Result<(File, u64)> {
    let unopened = |error| unopened(path, &error);
    let check = |told: &Metadata| match told {
        told if told.is_dir() => Err(Error::failed(format!("{} is a folder", path.display()))),
        told if told.is_file() => Ok(()),
        _ => Err(Error::failed(format!("{} is a pipe or a device, not a file", path.display()))),
    };
    check(&fs::metadata(path).map_err(unopened)?)?;
    // Without waiting, should a pipe have taken its place meanwhile.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unopened)?;
    let told = file.metadata().map_err(unopened)?;
    check(&told)?;
    Ok((file, told.len()))
}
