//! `/metrics`: the counters as Prometheus reads them.
//!
//! Rule: on loopback they are for who asks this machine by its name, like everything else: no page reads them by DNS rebinding.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, Route, get, handler, web::Data};

use super::single;
use crate::http::{
    state::{App, hosts::Hosts},
    wire::{envelope::Refusal, request_id::RequestId},
};

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`, for a listener of its own, which answers to `hosts`: what it shows is the operator's business.
pub fn endpoint(app: Arc<App>, hosts: Hosts) -> impl Endpoint<Output = Response> {
    Route::new().at("/metrics", get(metrics_text)).data(app).data(hosts).map_to_response()
}

#[handler]
fn metrics_text(request: &Request, Data(app): Data<&Arc<App>>, Data(hosts): Data<&Hosts>) -> Response {
    match single::check(request).and_then(|()| hosts.check(request)) {
        Ok(()) => app.metrics.text().with_content_type(TEXT_FORMAT).into_response(),
        Err(error) => Refusal::from(&error).into_response(RequestId::of(request).as_str()),
    }
}
