//! Choices, read off bytes.

/// Longest text a tape gives, in bytes before it is made sound.
const TEXT_BYTES_MAX: u8 = 8;

/// Bytes as choices; past its end every choice is the first.
pub(super) struct Tape<'a>(pub &'a [u8]);

impl Tape<'_> {
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    pub fn pick<'b, T>(&mut self, choices: &'b [T]) -> &'b T {
        &choices[usize::from(self.byte()) % choices.len()]
    }

    /// A short text of whatever comes.
    pub fn text(&mut self) -> String {
        let bytes = usize::from(self.byte() % TEXT_BYTES_MAX).min(self.0.len());
        let (text, rest) = self.0.split_at(bytes);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}
