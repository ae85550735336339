//! `/docs`: Swagger UI over `/openapi.json`, from this binary alone.
//!
//! `files/` holds the page; `files/swagger-ui/` is vendored, its README says from where.
//!
//! Rule: the page makes no request to any other host, runs no inline script and keeps no key beyond its own life; its
//! content security policy holds the browser to the first two.
//! Deliberately absent: a copy of the document. The page shows what the server serves.

use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use poem::{
    Request, Response, RouteMethod,
    endpoint::make,
    get,
    http::{HeaderValue, header},
};

use crate::http::assets::Assets;

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/src/http/docs/files");
static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets::new(&FILES, "/docs/"));

/// Swagger UI draws its icons from `data:`; everything else comes from this origin or not at all.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files, at `/docs` and `/docs/*name`, where the page looks for them.
pub fn file() -> RouteMethod {
    get(make(answer))
}

async fn answer(request: Request) -> poem::Result<Response> {
    let name = match request.raw_path_param("name").unwrap_or_default() {
        "" => "index.html",
        name => name,
    };
    let mut response = ASSETS.answer(name, &request)?;
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use poem::{Endpoint, Route, http::StatusCode};

    use super::*;

    async fn get(path: &str) -> Response {
        let app = Route::new().at("/docs", file()).at("/docs/", file()).at("/docs/*name", file());
        app.get_response(Request::builder().uri_str(path).finish()).await
    }

    #[tokio::test]
    async fn the_page_is_there_with_and_without_a_slash() {
        for path in ["/docs", "/docs/"] {
            let page = get(path).await;
            assert_eq!(page.status(), StatusCode::OK, "{path}");
            assert_eq!(page.content_type(), Some("text/html; charset=utf-8"), "{path}");
        }
    }

    #[tokio::test]
    async fn everything_the_page_names_is_served_under_the_policy() {
        let page = get("/docs").await.into_body().into_string().await.unwrap();
        let named: Vec<_> = page.split('"').filter(|text| text.starts_with("/docs/")).collect();
        assert_eq!(named.len(), 4, "{named:?}");
        for path in
            named.into_iter().chain(["/docs/live.js", "/docs/parts.js", "/docs/reply.js", "/docs/swagger-ui/LICENSE"])
        {
            let answer = get(path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.header("content-security-policy"), Some(CONTENT_SECURITY_POLICY), "{path}");
        }
    }

    #[tokio::test]
    async fn the_page_needs_no_inline_script_and_no_other_host() {
        let page = get("/docs").await.into_body().into_string().await.unwrap();
        assert!(!page.contains("://") && !page.contains("<script>") && !page.contains(" on"), "{page}");
        assert!(CONTENT_SECURITY_POLICY.contains("script-src 'self';"));
    }

    #[tokio::test]
    async fn what_is_not_in_the_folder_is_not_found() {
        for path in ["/docs/nope.js", "/docs/../mod.rs", "/docs/files"] {
            assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
