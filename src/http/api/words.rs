//! The words of the file, on the wire: an enum here for an enum there, word for word.

/// Conversions between two enums of the same variants.
macro_rules! same_words {
    ($wire:ident = $stored:path { $($variant:ident),+ $(,)? }) => {
        impl From<$stored> for $wire {
            fn from(word: $stored) -> Self {
                use $stored as Stored;
                match word { $(Stored::$variant => $wire::$variant),+ }
            }
        }

        impl From<$wire> for $stored {
            fn from(word: $wire) -> Self {
                use $stored as Stored;
                match word { $($wire::$variant => Stored::$variant),+ }
            }
        }
    };
}
pub(super) use same_words;
