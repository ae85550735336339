//! What every success is wrapped in: `{"success":true,"data":…}`.
//!
//! Rule: responses are serialised straight into their bytes, `success` first; no tree of values is built on the way out.

use std::marker::PhantomData;

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;

use crate::{error::Result, store::Page};

/// The content type of every response that is JSON.
pub const JSON: &str = "application/json";

/// In the data of a response that is held whole: its size, for whoever bounds what is held.
#[derive(Clone, Copy)]
pub struct AnswerBytes(pub usize);

/// What can stand under `data`: a wire type, or a page of them.
pub trait Shape {
    /// Its schema.
    fn data_schema() -> MetaSchemaRef;
    /// Makes the schemas it refers to known.
    fn register_schemas(registry: &mut Registry);
}

impl<T: Type> Shape for T {
    fn data_schema() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register_schemas(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Items<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
    pub has_more: bool,
}

impl<T> Items<T> {
    /// A list that has only one page.
    pub fn all<R: Into<T>>(rows: Vec<R>) -> Self {
        Items { items: rows.into_iter().map(Into::into).collect(), next_cursor: None, has_more: false }
    }

    /// One page of many; `shown` is a row as the wire has it.
    pub fn page<R>(page: Page<R>, shown: impl FnMut(R) -> T) -> Self {
        let items = page.items.into_iter().map(shown).collect();
        Items { items, has_more: page.next_cursor.is_some(), next_cursor: page.next_cursor }
    }
}

impl<T: Type> Shape for Items<T> {
    fn data_schema() -> MetaSchemaRef {
        let items = MetaSchema { items: Some(Box::new(T::schema_ref())), ..MetaSchema::new("array") };
        let cursor = MetaSchema { nullable: true, ..MetaSchema::new("string") };
        object(vec![
            ("items", MetaSchemaRef::Inline(Box::new(items))),
            ("nextCursor", MetaSchemaRef::Inline(Box::new(cursor))),
            ("hasMore", bool::schema_ref()),
        ])
    }

    fn register_schemas(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The result of a deletion.
#[derive(Debug, Object, Serialize)]
pub struct Deleted {
    deleted: bool,
}

impl Data<Deleted> {
    /// It was deleted.
    pub fn deleted() -> Self {
        Self::of(&Deleted { deleted: true })
    }
}

/// An object that has all of `properties`.
fn object(properties: Vec<(&'static str, MetaSchemaRef)>) -> MetaSchemaRef {
    let required = properties.iter().map(|(name, _)| *name).collect();
    MetaSchemaRef::Inline(Box::new(MetaSchema { required, properties, ..MetaSchema::new("object") }))
}

/// A success, serialised.
pub struct Data<T, const STATUS: u16 = 200> {
    json: Vec<u8>,
    shape: PhantomData<fn() -> T>,
}

/// A success that made something.
pub type Created<T> = Data<T, 201>;

impl<T, const STATUS: u16> Data<T, STATUS> {
    /// Of a value.
    pub fn of(value: &T) -> Self
    where
        T: Serialize,
    {
        Self::written(|out| write_json(out, value))
    }

    /// Of whatever JSON value `write` appends: for rows that are copied as they are stored.
    pub fn written(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut json = br#"{"success":true,"data":"#.to_vec();
        write(&mut json);
        json.push(b'}');
        Data { json, shape: PhantomData }
    }
}

impl<T, const STATUS: u16> Data<T, STATUS> {
    /// The same, if `write` does not change its mind.
    pub fn try_written(write: impl FnOnce(&mut Vec<u8>) -> Result<Option<()>>) -> Result<Option<Self>> {
        let mut kept = Ok(None);
        let data = Self::written(|out| kept = write(out));
        kept.map(|kept| kept.map(|()| data))
    }
}

impl<T, const STATUS: u16> IntoResponse for Data<T, STATUS> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(STATUS).expect("handlers name valid statuses");
        let bytes = AnswerBytes(self.json.len());
        let mut response = Response::builder().status(status).content_type(JSON).body(self.json);
        response.set_data(bytes);
        response
    }
}

impl<T: Shape, const STATUS: u16> ApiResponse for Data<T, STATUS> {
    fn meta() -> MetaResponses {
        let success = MetaSchema { enum_items: vec![true.into()], ..MetaSchema::new("boolean") };
        let success = MetaSchemaRef::Inline(Box::new(success));
        let schema = object(vec![("success", success), ("data", T::data_schema())]);
        MetaResponses {
            responses: vec![MetaResponse {
                description: if STATUS == 201 { "Created." } else { "OK." },
                status: Some(STATUS),
                status_range: None,
                content: vec![MetaMediaType { content_type: JSON, schema }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register_schemas(registry);
    }
}

/// Writes a page of a list, item by item.
pub struct ItemsWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The cursor of the last item.
    last: Option<String>,
}

impl<'a> ItemsWriter<'a> {
    /// Begins one.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(br#"{"items":["#);
        ItemsWriter { out, last: None }
    }

    /// Writes the next item, after which a page with that cursor goes on.
    pub fn next(&mut self, cursor: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.last.is_some() {
            self.out.push(b',');
        }
        write(self.out);
        self.last = Some(cursor.to_owned());
    }

    /// Ends it.
    pub fn end(self, has_more: bool) {
        self.out.extend_from_slice(br#"],"nextCursor":"#);
        write_json(self.out, &self.last.filter(|_| has_more));
        self.out.extend_from_slice(br#","hasMore":"#);
        write_json(self.out, &has_more);
        self.out.push(b'}');
    }
}

/// What was made, or what was there already under the same id.
pub enum CreatedOrExisting<T> {
    Created(Created<T>),
    Existing(Data<T>),
}

impl<T> IntoResponse for CreatedOrExisting<T> {
    fn into_response(self) -> Response {
        match self {
            CreatedOrExisting::Created(created) => created.into_response(),
            CreatedOrExisting::Existing(existing) => existing.into_response(),
        }
    }
}

impl<T: Shape> ApiResponse for CreatedOrExisting<T> {
    fn meta() -> MetaResponses {
        let MetaResponses { mut responses } = Created::<T>::meta();
        responses.extend(Data::<T>::meta().responses);
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        T::register_schemas(registry);
    }
}

/// Appends `value` as JSON.
pub fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("wire types are plain JSON, and a Vec takes every write");
}

/// `value` as JSON.
pub fn json_of(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(&mut out, value);
    out
}
