//! The reader and its sentences, on small files.

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{
    fault::unopened,
    sample::{Sample, Value},
    *,
};

fn read_sample(sample: &Sample) -> Result<Header, Fault> {
    let bytes = sample.bytes();
    read(Cursor::new(&bytes), bytes.len() as u64)
}

/// A folder in which a file is written.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, bytes).unwrap();
        file
    }
}

/// What is said of a file, without the name of it.
fn said(file: &Path) -> String {
    let text = open(file).and_then(|header| header.vet(file, false)).unwrap_err().to_string();
    text.strip_prefix(&*file.display().to_string()).unwrap_or(&text).to_owned()
}

#[test]
fn a_header_says_what_the_model_is() {
    let bytes = Sample::model().bytes();
    let header = read_sample(&Sample::model()).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let expected = Header {
        name: text("Sample"),
        architecture: "llama".into(),
        kind: None,
        licence: text("mit"),
        quantisation: text("Q8_0"),
        parameters: 64 * 2 + 64,
        window: 4_096,
        layers: 2,
        kv_bytes_per_token: 2 * 2 * (16 + 16) * 2,
        pools: false,
        template: text("{% for m in messages %}{{ m.content }}{% endfor %}"),
        parts: None,
        tensor_end: bytes.len() as u64,
        bytes: bytes.len() as u64,
    };
    assert_eq!(header, expected);
    assert!(!header.may_use_tools());
    header.vet(Path::new("x"), false).unwrap();
    assert_eq!(read_sample(&Sample { version: 2, ..Sample::model() }).unwrap(), expected);
}

#[test]
fn a_template_that_names_tools_may_use_them() {
    let header = read_sample(&Sample::model().with_text("tokenizer.chat_template", "{% if tools %}")).unwrap();
    assert!(header.may_use_tools());
}

#[test]
fn a_conversation_takes_what_its_heads_take() {
    let kv = |sample: Sample| read_sample(&sample).unwrap().kv_bytes_per_token;
    let base = Sample::model;
    // A number for each layer; its own sizes; without a number of its own; layers that keep nothing.
    assert_eq!(kv(base().with("llama.attention.head_count_kv", Value::Numbers(vec![0, 4]))), 4 * 32 * 2);
    let sized = base().with("llama.attention.key_length", Value::Number(24));
    assert_eq!(kv(sized.with("llama.attention.value_length", Value::Number(8))), 2 * 2 * 32 * 2);
    assert_eq!(kv(base().without("llama.attention.head_count_kv")), 2 * 4 * 32 * 2);
    assert_eq!(kv(base().with("llama.full_attention_interval", Value::Number(2))), 2 * 32 * 2);
    assert_eq!(kv(base().with("llama.attention.head_count", Value::Numbers(vec![0, 8]))), 2 * 2 * 16 * 2);
    assert_eq!(kv(base().without("llama.embedding_length")), 0);
    // Another model's numbers are not its own, whatever comes first.
    let mut late = base().with("clip.block_count", Value::Number(99));
    late.keys.reverse();
    assert_eq!(kv(late), 256);
}

#[test]
fn memory_is_weights_conversations_cache_and_something_beside() {
    let mut header = read_sample(&Sample::model()).unwrap();
    let beside = 256 * 1_024 * 1_024;
    assert_eq!(header.memory_bytes(8_192, 2, 1_000), header.bytes + 8_192 * 2 * 256 + 1_000 + beside);
    header.kv_bytes_per_token = u64::MAX;
    assert_eq!(header.memory_bytes(u32::MAX, u32::MAX, u64::MAX), u64::MAX);
}

#[test]
fn a_quantisation_is_the_files_own_word_or_that_of_most_bytes() {
    let name = |sample: Sample| read_sample(&sample).unwrap().quantisation;
    assert_eq!(name(Sample::model().with("general.file_type", Value::Number(15))).as_deref(), Some("Q4_K_M"));
    assert_eq!(name(Sample::model().with("general.file_type", Value::Number(1_024))).as_deref(), Some("F32"));
    assert_eq!(name(Sample::model().without("general.file_type")).as_deref(), Some("F32"));
    let unknown = Sample { tensors: vec![(vec![64], 99, 0)], ..Sample::model().without("general.file_type") };
    assert_eq!(name(unknown), None);
}

#[test]
fn foreign_words_are_shown_on_one_line_and_not_at_length() {
    let shown = |name: &str| read_sample(&Sample::model().with_text("general.name", name)).unwrap().name;
    assert_eq!(shown("a\u{1b}[2J\nb").as_deref(), Some("a[2Jb"));
    assert_eq!(shown(" \n"), None);
    assert_eq!(shown(&"é".repeat(200)).unwrap(), "é".repeat(100));
}

#[test]
fn what_is_no_whole_gguf_file_is_refused_in_words() {
    let folder = Folder::new();
    for (bytes, words) in [
        (b"".to_vec(), " is no GGUF file"),
        (b"GG".to_vec(), " is no GGUF file"),
        (b"GGML and more".to_vec(), " is no GGUF file"),
        (Sample { version: 1, ..Sample::model() }.bytes(), " is GGUF version 1: 2 and 3 are known"),
        (Sample { version: 4, ..Sample::model() }.bytes(), " is GGUF version 4: 2 and 3 are known"),
    ] {
        assert_eq!(said(&folder.put("model.gguf", bytes)), words);
    }
}

#[test]
fn a_cut_copy_is_refused_wherever_it_was_cut() {
    let folder = Folder::new();
    let (whole, header) = (Sample::model().bytes(), Sample::model().header().len());
    let ends = whole.len();
    for length in 4..ends {
        let words = said(&folder.put("model.gguf", &whole[..length]));
        let expected = if length < header {
            format!(" is cut short: it has {length} bytes and ends in its header: copy it again")
        } else {
            format!(" is cut short: it has {length} bytes and its tensors end at {ends}: copy it again")
        };
        assert_eq!(words, expected);
    }
    open(&folder.put("model.gguf", [&whole[..], b"more"].concat())).unwrap();
}

#[test]
fn what_makes_no_sense_is_damaged() {
    let folder = Folder::new();
    let sized =
        |sizes: &[u64], kind, offset| Sample { tensors: vec![(sizes.to_vec(), kind, offset)], ..Sample::model() };
    let (impossible, unknown) = ("a tensor has an impossible size", "a value has a type that nobody knows");
    for (sample, what) in [
        (sized(&[u64::MAX, 2], 0, 0), impossible),
        (sized(&[u64::MAX / 2], 0, 0), impossible),
        (sized(&[4], 0, u64::MAX), impossible),
        (sized(&[1; 5], 0, 0), impossible),
        (sized(&[4], 0, u64::MAX - 20), "its tensors end nowhere"),
        (Sample::model().with("general.alignment", Value::Number(0)), "its alignment is no power of two"),
        (Sample::model().with("general.alignment", Value::Number(48)), "its alignment is no power of two"),
        (Sample::model().with("x", Value::Raw(13, vec![0; 8])), unknown),
        (Sample::model().with("x", Value::Raw(9, [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat())), unknown),
        (Sample::model().part(3, 2), "it is a part beyond the last"),
    ] {
        assert_eq!(said(&folder.put("model.gguf", sample.bytes())), format!(" is damaged: {what}: copy it again"));
    }
}

#[test]
fn what_is_no_file_is_named_and_waited_for_by_nobody() {
    let folder = Folder::new();
    assert_eq!(said(&folder.path("none.gguf")), " does not exist");
    assert_eq!(said(&folder.put("file", "x").join("model.gguf")), " does not exist");
    assert_eq!(said(folder.0.path()), " is a folder");
    mknodat(CWD, folder.path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let no_file = " is a pipe or a device, not a file";
    assert_eq!((said(&folder.path("pipe")), said(Path::new("/dev/zero"))), (no_file.to_owned(), no_file.to_owned()));
    // A superuser reads everything, so the system's word is given here.
    let denied = unopened(Path::new("f"), &io::ErrorKind::PermissionDenied.into()).to_string();
    assert_eq!(denied, "f cannot be read by the user that alm runs as");
}

#[test]
fn what_cannot_answer_is_refused_in_words() {
    let folder = Folder::new();
    let arch = |name: &str| Sample::model().with_text("general.architecture", name);
    let kind = |name: &str| Sample::model().with_text("general.type", name);
    for (sample, words) in [
        (arch("nomic-bert"), " is an embedding model (nomic-bert): it cannot answer"),
        (
            Sample::model().with("llama.pooling_type", Value::Number(3)),
            " is an embedding model (llama): it cannot answer",
        ),
        (arch("clip"), " is an encoder of images or sound (clip): it cannot answer"),
        (arch("wavtokenizer-dec"), " is a decoder of sound (wavtokenizer-dec): it cannot answer"),
        (kind("mmproj"), " is an encoder of images or sound (llama): it cannot answer"),
        (kind("adapter"), " is an adapter (llama): it cannot answer"),
        (kind("imatrix").without("general.architecture"), " is an importance matrix (imatrix): it cannot answer"),
        (Sample::model().without("general.architecture"), " is no whole model: it names no architecture"),
        (Sample { tensors: vec![], ..Sample::model() }, " is no whole model: it holds no tensors"),
        (
            Sample::model().without("llama.context_length"),
            " is no whole model: it does not say how many tokens it was trained for",
        ),
    ] {
        assert_eq!(said(&folder.put("model.gguf", sample.bytes())), words);
    }
}

#[test]
fn a_base_model_answers_only_with_a_template_from_elsewhere() {
    let folder = Folder::new();
    for sample in [
        Sample::model().without("tokenizer.chat_template"),
        Sample::model().with_text("tokenizer.chat_template", " \n"),
    ] {
        let file = folder.put("model.gguf", sample.bytes());
        let words = " has no chat template: it is probably a base model, which does not answer; if not, give one with --gguf-template";
        assert_eq!(said(&file), words);
        open(&file).unwrap().vet(&file, true).unwrap();
    }
}

#[test]
fn a_model_in_parts_is_all_of_them() {
    let folder = Folder::new();
    let name = |at: u32| format!("big-{at:05}-of-00003.gguf");
    let first = folder.put(&name(1), Sample::model().part(1, 3).bytes());
    assert_eq!(said(&first), " is part 1 of 3, and part 2 is missing");
    let second = folder.put(&name(2), Sample::model().part(2, 3).bytes());
    assert_eq!(said(&second), " is part 2 of 3: name part 1");
    assert_eq!(said(&first), " is part 1 of 3, and part 3 is missing");
    let third = folder.put(&name(3), Sample::model().part(2, 3).bytes());
    let other = format!("{} is not part 3 of 3: copy it again", third.display());
    assert_eq!(open(&first).unwrap_err().to_string(), other);
    let whole = Sample::model().part(3, 3).bytes();
    fs::write(&third, &whole[..whole.len() - 1]).unwrap();
    assert!(open(&first).unwrap_err().to_string().starts_with(&format!("{} is cut short", third.display())));
    fs::write(&third, whole).unwrap();

    let header = open(&first).unwrap();
    let bytes = [&first, &second, &third].iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    assert_eq!((header.parts, header.bytes, header.parameters), (Some((1, 3)), bytes, 3 * 192));
    assert_eq!(files(&first, &header).unwrap(), [first.clone(), second, third]);
    let renamed = folder.path("other.gguf");
    fs::rename(&first, &renamed).unwrap();
    assert_eq!(said(&renamed), " is part 1 of 3: its name has to end in -00001-of-00003.gguf");
    assert_eq!(files(&renamed, &Header { parts: None, ..header }).unwrap(), [renamed]);
}

#[test]
fn no_model_has_more_parts_than_the_bound() {
    let folder = Folder::new();
    let max = u32::from(file::GGUF_PARTS_MAX);
    for (count, words) in [
        (max - 1, format!(" is part 1 of {}, and part 2 is missing", max - 1)),
        (max, format!(" is part 1 of {max}, and part 2 is missing")),
        (max + 1, format!(" has {} parts: at most {max} are read", max + 1)),
        (u32::MAX, " is damaged: it is a part beyond the last: copy it again".to_owned()),
    ] {
        let file = folder.put(&format!("m-00001-of-{count:05}.gguf"), Sample::model().part(1, count).bytes());
        assert_eq!(said(&file), words);
    }
}

/// A header whose counts lie about what follows.
fn counted(tensors: u64, keys: u64) -> Vec<u8> {
    [&b"GGUF"[..], &3_u32.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes()].concat()
}

fn fault(bytes: &[u8]) -> String {
    match read(bytes, u64::MAX).unwrap_err() {
        Fault::Past { what, max } => format!("more than {max} {what}"),
        Fault::Ends => "ends".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn counts_have_bounds_and_are_not_believed() {
    for (tensors, keys, fault_of) in [
        (0, keys::GGUF_KEYS_MAX - 1, "ends"),
        (0, keys::GGUF_KEYS_MAX, "ends"),
        (0, keys::GGUF_KEYS_MAX + 1, "more than 4096 keys"),
        (0, u64::MAX, "more than 4096 keys"),
        (tensors::GGUF_TENSORS_MAX - 1, 0, "ends"),
        (tensors::GGUF_TENSORS_MAX, 0, "ends"),
        (tensors::GGUF_TENSORS_MAX + 1, 0, "more than 65536 tensors"),
    ] {
        assert_eq!(fault(&counted(tensors, keys)), fault_of, "{tensors} {keys}");
    }
    let text = |length: u64| [counted(0, 1), length.to_le_bytes().to_vec()].concat();
    let list = |items: u64| {
        let sample = Value::Raw(9, [&0_u32.to_le_bytes()[..], &items.to_le_bytes()].concat());
        Sample { tensors: vec![], keys: vec![("x".into(), sample)], ..Sample::model() }.header()
    };
    assert_eq!(fault(&text(bytes::GGUF_STRING_BYTES_MAX - 1)), "ends");
    assert_eq!(fault(&text(bytes::GGUF_STRING_BYTES_MAX)), "ends");
    assert_eq!(fault(&text(bytes::GGUF_STRING_BYTES_MAX + 1)), "more than 1048576 bytes in one text");
    assert_eq!(fault(&list(keys::GGUF_ARRAY_ITEMS_MAX - 1)), "ends");
    assert_eq!(fault(&list(keys::GGUF_ARRAY_ITEMS_MAX)), "ends");
    assert_eq!(fault(&list(keys::GGUF_ARRAY_ITEMS_MAX + 1)), "more than 4194304 items in one list");
}

/// A header of so many bytes, in lists, of which the last is cut to fit.
fn long(bytes: u64) -> impl Read {
    const ITEMS: u64 = 1_000_000;
    let head = |items: u64| {
        let raw = [&10_u32.to_le_bytes()[..], &items.to_le_bytes()].concat();
        let key = Sample { tensors: vec![], keys: vec![("x".into(), Value::Raw(9, raw))], ..Sample::model() };
        key.header()[24..].to_vec()
    };
    let each = head(0).len() as u64;
    let lists = bytes / (8 * ITEMS);
    let rest = bytes - 24 - lists * (each + 8 * ITEMS);
    let fill = Sample { tensors: vec![], keys: vec![("x".into(), Value::Raw(9, vec![]))], ..Sample::model() };
    let filled = rest - (fill.header().len() as u64 - 24) - 12;
    let fill = Value::Raw(9, [&0_u32.to_le_bytes()[..], &filled.to_le_bytes()].concat());
    let fill = Sample { tensors: vec![], keys: vec![("x".into(), fill)], ..Sample::model() }.header()[24..].to_vec();
    let mut reader: Box<dyn Read> = Box::new(Cursor::new(counted(0, lists + 1)));
    for _ in 0..lists {
        reader = Box::new(reader.chain(Cursor::new(head(ITEMS))).chain(io::repeat(0).take(8 * ITEMS)));
    }
    reader.chain(Cursor::new(fill)).chain(io::repeat(0).take(filled))
}

#[test]
fn a_header_is_read_up_to_its_bound() {
    for (bytes, fits) in [
        (bytes::GGUF_HEADER_BYTES_MAX - 1, true),
        (bytes::GGUF_HEADER_BYTES_MAX, true),
        (bytes::GGUF_HEADER_BYTES_MAX + 1, false),
    ] {
        match read(long(bytes), bytes) {
            Ok(header) => assert!(fits && header.tensor_end == bytes, "{bytes} {header:?}"),
            Err(Fault::Past { what: "bytes", max }) => assert!(!fits && max == bytes::GGUF_HEADER_BYTES_MAX, "{bytes}"),
            Err(fault) => panic!("{bytes} {fault:?}"),
        }
    }
}

#[test]
fn a_long_key_and_a_number_that_is_none_are_stepped_over() {
    for end in [0, 1] {
        // 256 bytes are kept, 257 are not: the key is that of an architecture with a long name.
        let arch = "a".repeat(256 - ".context_length".len() + end);
        let sample = Sample::model().with_text("general.architecture", &arch);
        let header = read_sample(&sample.with(&format!("{arch}.context_length"), Value::Number(5))).unwrap();
        assert_eq!(header.window, if end == 0 { 5 } else { 0 }, "{}", keys::KEY_BYTES_MAX);
    }
    for value in [Value::Raw(7, vec![1]), Value::Raw(6, vec![0; 4]), Value::Raw(5, vec![255; 4])] {
        assert_eq!(read_sample(&Sample::model().with("llama.context_length", value)).unwrap().window, 0);
    }
    for (kind, bytes) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (10, 8), (11, 8)] {
        let mut raw = vec![0; bytes];
        raw[0] = 7;
        assert_eq!(
            read_sample(&Sample::model().with("llama.context_length", Value::Raw(kind, raw))).unwrap().window,
            7
        );
    }
    assert_eq!(tensors::DIMENSIONS_MAX, 4);
    assert_eq!(header::WORDS_CHARS_MAX, 100);
}
