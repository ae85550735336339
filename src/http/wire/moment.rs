//! Values that every resource writes: moments, and JSON that is stored as text.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};

use crate::time::Timestamp;

/// A moment as RFC 3339 text in UTC, to the millisecond.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub Timestamp);

/// JSON as the file holds it. It was checked when it came in and is copied as it is.
#[derive(Debug)]
pub struct StoredJson(Box<RawValue>);

impl StoredJson {
    /// From the file's text; `null` if a foreign hand left something else there.
    pub fn new(text: String) -> Self {
        StoredJson(RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Moment(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for StoredJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The document's view of a value that `serde` writes: its schema and nothing of its insides.
macro_rules! opaque_type {
    ($type:ty, $name:literal, $schema:expr) => {
        impl Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

opaque_type!(Moment, "moment", MetaSchema::new_with_format("string", "date-time"));
opaque_type!(StoredJson, "json", MetaSchema::ANY);

impl ParseFromJSON for Moment {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let moment = value.as_ref().and_then(Value::as_str).and_then(Timestamp::parse);
        moment.map(Moment).ok_or_else(|| ParseError::custom("expected a time such as 2026-11-23T14:00:00.000Z"))
    }
}

impl ParseFromJSON for StoredJson {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(StoredJson::new(value.unwrap_or_default().to_string()))
    }
}
