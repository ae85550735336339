//! The API as its clients meet it: a real server on a real port, spoken to over HTTP.
//!
//! The modules mirror `src/http`; three walk the whole document or the whole table of codes: `document`, `isolation`
//! and `errors`. Rule: a test's name is the rule it proves. Deliberately absent: sleeps, and mocks of our own types.

mod harness;

mod absence;
mod agents;
mod api_keys;
mod billing;
mod document;
mod edge;
mod errors;
mod isolation;
mod messages;
mod models;
mod projects;
mod sessions;
