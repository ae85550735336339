//! A small GGUF file, as a test wants it.

/// A value of a key.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number of 32 bits.
    Number(u32),
    /// A list of them.
    Numbers(Vec<u32>),
    /// A type and the bytes behind it.
    Raw(u32, Vec<u8>),
}

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its version.
    pub version: u32,
    /// Its keys.
    pub keys: Vec<(String, Value)>,
    /// Its tensors: dimensions, type, and where each begins.
    pub tensors: Vec<(Vec<u64>, u32, u64)>,
    /// Bytes behind the header, from where tensors begin.
    pub data: usize,
}

impl Sample {
    /// A model of one layer that can answer.
    pub fn model() -> Self {
        let text = |text: &str| Value::Text(text.into());
        let keys = [
            ("general.architecture", text("llama")),
            ("general.name", text("Sample")),
            ("general.license", text("mit")),
            ("general.file_type", Value::Number(7)),
            ("llama.context_length", Value::Number(4_096)),
            ("llama.block_count", Value::Number(2)),
            ("llama.embedding_length", Value::Number(64)),
            ("llama.attention.head_count", Value::Number(4)),
            ("llama.attention.head_count_kv", Value::Number(2)),
            ("tokenizer.chat_template", text("{% for m in messages %}{{ m.content }}{% endfor %}")),
        ];
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Sample { version: 3, keys, tensors: vec![(vec![64, 2], 0, 0), (vec![64], 8, 512)], data: 512 + 68 }
    }

    /// The same with another value of a key.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self = self.without(key);
        self.keys.push((key.to_owned(), value));
        self
    }

    /// The same with another text.
    pub fn with_text(self, key: &str, text: &str) -> Self {
        self.with(key, Value::Text(text.into()))
    }

    /// The same without a key.
    pub fn without(mut self, key: &str) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self
    }

    /// The same as one part of several; the first has the keys.
    pub fn part(mut self, at: u32, count: u32) -> Self {
        if at > 1 {
            self.keys.clear();
        }
        self.with("split.no", Value::Number(at - 1)).with("split.count", Value::Number(count))
    }

    /// Its header.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            put_text(&mut bytes, key);
            put(&mut bytes, value);
        }
        for (at, (dimensions, kind, offset)) in self.tensors.iter().enumerate() {
            put_text(&mut bytes, &format!("blk.{at}"));
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        if self.data > 0 {
            bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        }
        bytes
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            bytes.extend(8_u32.to_le_bytes());
            put_text(bytes, text);
        }
        Value::Number(number) => {
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        Value::Numbers(numbers) => {
            bytes.extend(9_u32.to_le_bytes());
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend((numbers.len() as u64).to_le_bytes());
            numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        Value::Raw(kind, raw) => {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(raw);
        }
    }
}
