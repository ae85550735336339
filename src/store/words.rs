//! The schema's words (`CHECK … IN`), as types.
//!
//! Rule: a word that the type does not know is an error where it is read, never a default.

use rusqlite::types::{FromSqlError, FromSqlResult, ValueRef};

/// An enum of words: `as_str`, `parse`, `ALL`, and its way into and out of the file.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the schema's order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Its word, in the file and on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// From its word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == word)
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                crate::store::words::read(value, Self::parse)
            }
        }
    };
}
pub(super) use words;

/// What `parse` makes of a column's word.
pub(super) fn read<T>(value: ValueRef<'_>, parse: impl FnOnce(&str) -> Option<T>) -> FromSqlResult<T> {
    let word = value.as_str()?;
    parse(word).ok_or_else(|| FromSqlError::Other(format!("the file holds the unknown word {word:?}").into()))
}

#[cfg(test)]
mod tests {
    use rusqlite::types::FromSql;

    use crate::store::{ledger, messages, sessions, sign_ins, turns};

    #[test]
    fn the_types_hold_the_words_of_the_schema() {
        let schema = include_str!("../../schema.sql");
        let quoted = |words: &[&str]| words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
        let outcomes = turns::Outcome::ALL.map(|word| word.as_str());
        for (column, words) in [
            ("role", quoted(&sign_ins::Role::ALL.map(|word| word.as_str()))),
            ("role", quoted(&messages::Role::ALL.map(|word| word.as_str()))),
            ("status", quoted(&messages::Status::ALL.map(|word| word.as_str()))),
            ("status", quoted(&sessions::Status::ALL.map(|word| word.as_str()))),
            ("status", format!("'running', {}", quoted(&outcomes))),
            ("kind", quoted(&ledger::Kind::ALL.map(|word| word.as_str()))),
        ] {
            let check = format!("CHECK ({column} IN ({words}))");
            assert!(schema.contains(&check), "schema.sql does not say {check}");
        }
    }

    #[test]
    fn an_unknown_word_is_an_error_and_no_other_word() {
        for kind in ledger::Kind::ALL {
            assert_eq!(ledger::Kind::column_result(kind.as_str().into()).unwrap(), kind);
        }
        let error = ledger::Kind::column_result("gift".into()).unwrap_err();
        assert!(error.to_string().contains("gift"), "{error}");
    }
}
