//! The fields of a JSON object, taken one by one, so that what is left at the end is what nobody knows.
//!
//! Rule: `null` is absent, everywhere. A field of another shape is refused by its path.

use serde_json::{Map, Value};

use super::error::Fault;

/// What of an object has not been taken yet, and where the object is in the request.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

impl Fields {
    /// Those of the request itself.
    pub fn new(map: Map<String, Value>) -> Self {
        Fields { map, path: String::new() }
    }

    /// Those of a value that is to be an object, at `path`.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Self, Fault> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Fields { map, path }),
            _ => Err(Fault::invalid_type(path, "expected an object")),
        }
    }

    /// Where the object is in the request; empty: it is the request.
    pub fn at(&self) -> &str {
        &self.path
    }

    /// Where a field of that name is in the request.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field, whatever it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// The field, which has to be there.
    pub fn need(&mut self, name: &str) -> Result<Value, Fault> {
        self.take(name).ok_or_else(|| Fault::missing_field(self.path(name)))
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.typed(name, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A text that has to be there.
    pub fn need_text(&mut self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or_else(|| Fault::missing_field(self.path(name)))
    }

    /// The name of a model, as it was written.
    pub fn model(&mut self) -> Result<String, Fault> {
        match self.need_text("model")? {
            name if name.is_empty() => {
                Err(Fault::invalid_value("model", "must name a model: GET /v1/models lists those there are"))
            }
            name => Ok(name),
        }
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Result<Option<f64>, Fault> {
        self.typed(name, "a number", |value| value.as_f64())
    }

    /// A whole number; `2.0` is one.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Fault> {
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
        self.typed(name, "an integer", |value| value.as_i64().or_else(|| value.as_f64().and_then(whole)))
    }

    /// Yes or no.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        self.typed(name, "a boolean", |value| value.as_bool())
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, Fault> {
        let path = self.path(name);
        self.take(name).map(|value| Fields::of(value, path)).transpose()
    }

    /// An array.
    pub fn array(&mut self, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        self.typed(name, "an array", |value| match value {
            Value::Array(items) => Some(items),
            _ => None,
        })
    }

    /// What has not been taken, without what is null.
    pub fn rest(self) -> Map<String, Value> {
        self.map.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    fn typed<T>(&mut self, name: &str, what: &str, read: impl FnOnce(Value) -> Option<T>) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let read = read(value);
        read.map(Some).ok_or_else(|| Fault::invalid_type(self.path(name), &format!("expected {what}")))
    }
}
