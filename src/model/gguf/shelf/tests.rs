//! The shelf, on small files.

use super::{
    super::{
        copied::{self, check_space},
        sample::Sample,
    },
    *,
};

/// A data folder, and a file beside it.
struct Place {
    folder: tempfile::TempDir,
    shelf: Shelf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(&folder.path().join("data"));
        Place { folder, shelf }
    }

    fn put(&self, name: &str, sample: &Sample) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, sample.bytes()).unwrap();
        file
    }

    fn model(&self) -> PathBuf {
        self.put("Small Model.Q8_0.gguf", &Sample::model())
    }

    /// Everything on the shelf, with what is being made.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.shelf.folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_model_is_named_after_its_file() {
    for (file, name) in [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct-q4-1"),
        ("/a/Big-Model-00001-of-00003.gguf", "big-model"),
        ("x-00001-of-00003", "x"),
        ("00001-of-00003.gguf", "00001-of-00003"),
        ("日本語-日本語-日本語.gguf", "model"),
        (".gguf", "gguf"),
        ("..", "model"),
    ] {
        assert_eq!(name_of(Path::new(file)), name, "{file}");
    }
}

#[test]
fn a_copy_is_whole_its_owners_alone_and_found_by_its_name() {
    let place = Place::new();
    let file = place.model();
    assert_eq!(place.shelf.names().unwrap(), Vec::<String>::new());
    let model = place.shelf.add(&file, "small", How::Copied).unwrap();
    assert_eq!(fs::read(&model.file).unwrap(), fs::read(&file).unwrap());
    assert_eq!(
        (mode(&model.file), mode(&place.shelf.folder), mode(model.file.parent().unwrap())),
        (0o600, 0o700, 0o700)
    );
    assert_eq!((model.linked_to, model.header), (None, open(&file).unwrap()));
    assert_eq!(place.shelf.find("small").unwrap(), Some(model.file));
    assert_eq!(place.shelf.names().unwrap(), ["small"]);
    for none in ["other", "../models", "small/model.gguf", ""] {
        assert_eq!(place.shelf.find(none).unwrap(), None, "{none}");
    }
    place.shelf.verify("small").unwrap();
    fs::remove_file(file).unwrap();
    place.shelf.verify("small").unwrap();
    place.shelf.remove("small").unwrap();
    assert_eq!(place.entries(), Vec::<String>::new());
}

#[test]
fn a_linked_file_is_never_written_and_never_deleted() {
    let place = Place::new();
    let file = place.model();
    let before = fs::read(&file).unwrap();
    let model = place.shelf.add(&file, "small", How::Linked).unwrap();
    assert_eq!(model.linked_to, Some(file.canonicalize().unwrap()));
    place.shelf.verify("small").unwrap();
    place.shelf.remove("small").unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    place.shelf.add(&file, "small", How::Linked).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(place.shelf.get("small").unwrap_err().to_string().ends_with(" does not exist"));
    place.shelf.remove("small").unwrap();
    assert_eq!(place.entries(), Vec::<String>::new());
}

#[test]
fn a_model_in_parts_is_copied_with_all_of_them() {
    let place = Place::new();
    for at in 1..=3 {
        place.put(&format!("big-{at:05}-of-00003.gguf"), &Sample::model().part(at, 3));
    }
    let first = place.folder.path().join("big-00001-of-00003.gguf");
    for how in [How::Copied, How::Linked] {
        let model = place.shelf.add(&first, "big", how).unwrap();
        assert_eq!((model.sha256.len(), model.header), (3, open(&first).unwrap()));
        place.shelf.verify("big").unwrap();
        place.shelf.remove("big").unwrap();
    }
}

#[test]
fn what_cannot_answer_or_has_no_name_leaves_nothing() {
    let place = Place::new();
    let whole = Sample::model().bytes();
    let cut = place.folder.path().join("cut.gguf");
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let bert = place.put("bert.gguf", &Sample::model().with_text("general.architecture", "bert"));
    let good = place.model();
    for (file, name, words) in [
        (&cut, "cut", "cut short"),
        (&bert, "bert", "an embedding model (bert)"),
        (&good, "../evil", "lower-case"),
        (&good, ".draft-x", "lower-case"),
        (&good, "", "lower-case"),
        (&place.folder.path().join("none"), "none", "does not exist"),
    ] {
        let error = place.shelf.add(file, name, How::Copied).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(!place.shelf.folder.exists());
    // A model without a template may be given one later.
    let base = place.put("base.gguf", &Sample::model().without("tokenizer.chat_template"));
    place.shelf.add(&base, "base", How::Copied).unwrap();
    let taken = place.shelf.add(&good, "base", How::Copied).unwrap_err().to_string();
    assert!(taken.starts_with("there is a model base already"), "{taken}");
    for name in ["none", "../data", ""] {
        assert!(matches!(place.shelf.remove(name), Err(Error::NotFound(_))), "{name}");
        assert!(matches!(place.shelf.verify(name), Err(Error::NotFound(_))), "{name}");
    }
    assert_eq!(place.entries(), ["base"]);
}

#[test]
fn a_changed_byte_is_noticed_and_a_lost_note_said() {
    let place = Place::new();
    let model = place.shelf.add(&place.model(), "small", How::Copied).unwrap();
    let mut bytes = fs::read(&model.file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model.file, &bytes).unwrap();
    let error = place.shelf.verify("small").unwrap_err().to_string();
    assert!(error.contains("is not what was added") && error.contains(&model.sha256[0]), "{error}");
    let note = model.file.with_file_name(FACTS_FILE);
    let facts = |spaces: u64| {
        let text = r#"{"addedAt":0,"sha256":["a"]}"#;
        format!("{text}{}", " ".repeat((FACTS_BYTES_MAX + spaces) as usize - text.len()))
    };
    for text in ["", "{}", r#"{"addedAt":0,"sha256":[]}"#] {
        fs::write(&note, text).unwrap();
        assert!(place.shelf.get("small").unwrap_err().to_string().contains("remove small, and add it again"));
    }
    fs::write(&note, facts(0)).unwrap();
    place.shelf.get("small").unwrap();
    place.shelf.remove("small").unwrap();
}

#[test]
fn one_alm_at_a_time_changes_the_shelf_and_sweeps_what_another_left() {
    let place = Place::new();
    let file = place.model();
    place.shelf.add(&file, "one", How::Copied).unwrap();
    let lock = place.shelf.lock().unwrap();
    for error in [place.shelf.add(&file, "two", How::Copied).unwrap_err(), place.shelf.remove("one").unwrap_err()] {
        assert!(error.to_string().starts_with("another alm"), "{error}");
    }
    let leave = |name: &str| {
        let left = place.shelf.folder.join(name);
        fs::create_dir(&left).unwrap();
        fs::write(left.join("model.gguf"), "half").unwrap();
        left
    };
    let left = leave(".draft-two");
    drop(lock);
    assert_eq!(place.shelf.names().unwrap(), ["one"]);
    place.shelf.add(&file, "two", How::Copied).unwrap();
    assert!(!left.exists());
    // Also one that was cut off while a model of that name was taken away.
    leave(".draft-one");
    place.shelf.remove("one").unwrap();
    assert_eq!(place.entries(), ["two"]);
}

#[test]
fn a_copy_leaves_some_space_free() {
    let folder = Path::new("f");
    let left = copied::SPACE_BYTES_MIN;
    for (bytes, free, fits) in
        [(99, left + 100, true), (100, left + 100, true), (101, left + 100, false), (u64::MAX, u64::MAX - 1, false)]
    {
        assert_eq!(check_space(bytes, free, folder).is_ok(), fits, "{bytes}");
    }
    let words = check_space(5_000_000_000, 1_000_000_000, folder).unwrap_err().to_string();
    let expected =
        "the copy takes 5.0 GB, and 1.0 GB are free in f: make room, or leave the file where it is with --link";
    assert_eq!(words, expected);
}
