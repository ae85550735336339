//! Values of a wire on which servers do not agree: each reads any JSON, and what means nothing is as if it were absent.
//!
//! Rule: nothing here fails on JSON; numbers and strings of the same meaning are one.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{
    Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};

/// An object whose fields are known by name.
pub(super) trait Fields<'de>: Default + Deserialize<'de> {
    /// Takes the value of one field.
    fn take<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error>;
}

/// Declares how an object's fields are read: `name => field`, and what becomes of the others.
macro_rules! fields {
    ($type:ident $(<$life:lifetime>)?, $($name:pat => $field:ident,)* $(; rest $rest:ident)?) => {
        impl<'de $(: $life, $life)?> Deserialize<'de> for $type $(<$life>)? {
            fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                object(source)
            }
        }
        impl<'de $(: $life, $life)?> Fields<'de> for $type $(<$life>)? {
            fn take<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
                match &*name {
                    $($name => self.$field = map.next_value()?,)*
                    $(_ => self.$rest.push((name, map.next_value()?)),)?
                    #[allow(unreachable_patterns)] // those that keep the rest leave nothing to pass over
                    _ => drop(map.next_value::<IgnoredAny>()?),
                }
                Ok(())
            }
        }
    };
}
pub(super) use fields;

/// Reads an object; of a list, its first element.
pub(super) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(source: D) -> Result<T, D::Error> {
    source.deserialize_any(ObjectVisitor(PhantomData))
}

/// What a visitor makes of values that mean nothing to it.
macro_rules! nothing_else {
    ($($method:ident($type:ty)),*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON")
        }

        $(fn $method<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    nothing_else!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(Text(name)) = map.next_key()? {
            object.take(name, &mut map)?;
        }
        Ok(object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let first = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.unwrap_or_default())
    }
}

/// A string, or a number as one; borrowed where it holds no escapes. Empty where there is none.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text, unless it is blank.
    pub fn some(&self) -> Option<&str> {
        Some(&*self.0).filter(|text| !text.trim().is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    nothing_else!(visit_bool(bool));

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(number.to_string().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
        Ok(Text(number.to_string().into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

/// A number, or a string that is one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Number(pub Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(source)?;
        Ok(Number(text.0.trim().parse().ok().filter(|number: &f64| number.is_finite())))
    }
}

/// A list; a value that stands alone is a list of one, and null is none.
#[derive(Debug)]
pub(super) struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    nothing_else!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
        Ok(List(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(List(items))
    }
}

/// What a model says: a string, a number, a list of typed pieces as Mistral's, one such piece, or nothing.
#[derive(Debug)]
pub(super) enum Words<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

/// A piece of text or of thinking; other kinds have neither.
#[derive(Debug, Default)]
pub(super) struct Piece<'a> {
    kind: Text<'a>,
    pub text: Words<'a>,
    pub thinking: Words<'a>,
}

fields! { Piece<'a>, "type" => kind, "text" | "content" => text, "thinking" => thinking, }

impl Piece<'_> {
    /// Whether its text is thinking too.
    pub fn is_thinking(&self) -> bool {
        ["thinking", "reasoning"].iter().any(|kind| self.kind.0.contains(kind))
    }
}

impl Words<'_> {
    pub fn is_empty(&self) -> bool {
        match self {
            Words::Text(text) => text.is_empty(),
            Words::Pieces(pieces) => pieces.iter().all(|piece| piece.text.is_empty() && piece.thinking.is_empty()),
        }
    }
}

impl Default for Words<'_> {
    fn default() -> Self {
        Words::Text(Cow::Borrowed(""))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words<'de>;

    nothing_else!(visit_bool(bool));

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Words<'de>, E> {
        Ok(Words::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Words<'de>, E> {
        Ok(Words::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Words<'de>, E> {
        Ok(Words::Text(number.to_string().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Words<'de>, E> {
        Ok(Words::Text(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Words<'de>, E> {
        Ok(Words::Text(number.to_string().into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Words<'de>, A::Error> {
        let piece = Piece::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Words::Pieces(vec![piece]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words<'de>, A::Error> {
        let mut pieces = Vec::new();
        while let Some(piece) = list.next_element::<Words<'de>>()? {
            match piece {
                Words::Pieces(more) => pieces.extend(more),
                text => pieces.push(Piece { text, ..Piece::default() }),
            }
        }
        Ok(Words::Pieces(pieces))
    }
}
