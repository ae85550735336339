//! What the server keeps between requests: `App`, and what it holds.
//!
//! Rule: nothing here answers a request. Whatever looks at one does so for a name, an address or an origin, and no more.

pub mod app;
pub mod audience;
pub mod bridge;
pub mod budget;
pub mod cors;
pub mod counters;
pub mod hosts;
pub mod in_flight;
pub mod proxies;
pub mod rate_limit;
pub mod readers;
pub mod refusals;
pub mod setup_code;
pub mod throttle;

pub use app::{Admission, App};
