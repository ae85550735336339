//! Puts around each operation what its row of the table declares.
//!
//! Rule: an operation that takes a body or is a POST has exactly one row. Without one the server does not start, so a new
//! route cannot silently get another's cap.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use poem::{EndpointExt, endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};

use super::{
    answer::Answers,
    gate::{Counted, Gate},
    idempotency::IdempotencyLayer,
    revocable::Revocable,
};
use crate::http::wire::operation::{Operation, Repeats, needs_row};

/// The operations of `A`, each with its row.
pub struct Operations<A> {
    api: A,
    rules: Rules,
}

struct Rules {
    table: &'static [Operation],
    schemas: &'static Registry,
}

impl<A: OpenApi> Operations<A> {
    /// `schemas` are those of every body.
    pub fn new(api: A, table: &'static [Operation], schemas: &'static Registry) -> Self {
        Operations { api, rules: Rules { table, schemas } }
    }
}

impl Rules {
    fn row(&self, id: Option<&str>) -> Option<Operation> {
        self.table.iter().find(|row| Some(row.id) == id).copied()
    }

    fn around(&self, endpoint: BoxEndpoint<'static>, row: Operation) -> BoxEndpoint<'static> {
        let endpoint = match row.counted {
            Some(rate) => Counted(endpoint, rate).boxed(),
            None => endpoint,
        };
        let inner = match row.repeats {
            Repeats::Executed => endpoint,
            Repeats::Replayed | Repeats::Refused => IdempotencyLayer::new(Arc::new(endpoint), row).boxed(),
        };
        Gate { inner, operation: row, schemas: self.schemas }.boxed()
    }
}

impl<A: OpenApi> OpenApi for Operations<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let Operations { api, rules } = self;
        let mut bare = HashMap::new();
        api.add_routes(&mut bare);
        for path in A::meta().into_iter().flat_map(|api| api.paths) {
            let pattern = as_pattern(&path.path);
            for operation in path.operations {
                let method = operation.method;
                let endpoint = bare.get_mut(&pattern).and_then(|methods| methods.remove(&method));
                let endpoint = endpoint.unwrap_or_else(|| panic!("{method} {pattern} is documented and not served"));
                let endpoint = match rules.row(operation.operation_id) {
                    Some(row) => rules.around(endpoint, row),
                    None if needs_row(method.as_str(), operation.request.is_some()) => {
                        panic!("{method} {pattern} has no row in the table of operations")
                    }
                    None => endpoint,
                };
                let endpoint = Revocable(Answers(endpoint).boxed()).boxed();
                routes.entry(pattern.clone()).or_default().insert(method, endpoint);
            }
        }
    }
}

/// An operation that is not of the API, with its row.
pub fn alone(endpoint: BoxEndpoint<'static>, operation: Operation, schemas: &'static Registry) -> BoxEndpoint<'static> {
    Answers(Rules { table: &[], schemas }.around(endpoint, operation)).boxed()
}

/// The methods of every pattern of `A`, for the header `Allow`.
pub fn methods_of<A: OpenApi>(prefix: &str) -> BTreeMap<String, String> {
    let paths = A::meta().into_iter().flat_map(|meta| meta.paths);
    paths
        .map(|path| {
            let methods = path.operations.iter().map(|operation| operation.method.as_str());
            (format!("{prefix}{}", as_pattern(&path.path)), allow_header(methods))
        })
        .collect()
}

/// The value of `Allow`; poem answers HEAD wherever there is a GET.
pub fn allow_header<'a>(methods: impl Iterator<Item = &'a str>) -> String {
    let methods: Vec<_> = methods.flat_map(|m| if m == "GET" { vec!["GET", "HEAD"] } else { vec![m] }).collect();
    methods.join(", ")
}

/// A path of the document as poem's router names it: `/agents/{id}` is `/agents/:param0`.
fn as_pattern(path: &str) -> String {
    let mut parameters = 0;
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        parameters += 1;
        format!(":param{}", parameters - 1)
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documented_path_becomes_the_pattern_of_the_router() {
        assert_eq!(as_pattern("/s/{id}/m/{n}"), "/s/:param0/m/:param1");
        assert_eq!(allow_header(["GET", "POST"].into_iter()), "GET, HEAD, POST");
    }
}
