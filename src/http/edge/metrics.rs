//! `/metrics`: the counters as Prometheus reads them.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, handler, web::Data};

use crate::http::state::App;

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`, for a listener of its own: what it shows is the operator's business.
pub fn endpoint(app: Arc<App>) -> impl Endpoint<Output = Response> {
    Route::new().at("/metrics", get(metrics_text)).data(app).map_to_response()
}

#[handler]
fn metrics_text(Data(app): Data<&Arc<App>>) -> Response {
    app.metrics.text().with_content_type(TEXT_FORMAT).into_response()
}
