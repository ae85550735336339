//! The pages: `/setup`, `/login`, `/invite` and `/{org}/settings`, and the one that says that nothing is here, from
//! this binary alone.
//!
//! `files/` holds them: plain HTML, CSS and ES modules, as they are served but for comments and indentation. Reading order there:
//! `settings.js`, `lib/api.js`, `lib/dom.js`, then `sections/`, a module or a folder for each; `chat/` is the
//! playground, and `chat/marked/` and `chat/temml/` are vendored, their READMEs say from where.
//!
//! Rule: a page makes no request to any other host, runs no inline script, and makes no HTML out of text; its content
//! security policy holds the browser to all three. Rule: the pages hold no data, so anyone may have them: what they
//! show comes from the API.
//! Deliberately absent: a build step.

use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use poem::{
    IntoResponse, Request, Response, RouteMethod,
    endpoint::make,
    get,
    http::{HeaderValue, Method, StatusCode, header},
    web::Redirect,
};

use crate::{http::assets::Assets, id::check_org_slug};

static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/src/http/page/files");
static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets::new(&FILES, FILES_PREFIX));

/// Where the pages' files are: no slug of an organization begins so.
pub const FILES_PATH: &str = "/_page/*name";
const FILES_PREFIX: &str = "/_page/";

/// A picture that a message carries is shown from `data:`; everything else comes from this origin or not at all.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The files of the pages, at [`FILES_PATH`], where the pages look for them.
pub fn file() -> RouteMethod {
    get(make(|request: Request| async move { answer(request.raw_path_param("name").unwrap_or_default(), &request) }))
}

/// One page, wherever it is put.
pub fn page(name: &'static str) -> RouteMethod {
    get(make(move |request: Request| async move { answer(name, &request) }))
}

/// Whether a browser looks for a page, outside the APIs.
pub fn is_looked_for(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.uri().path().starts_with("/api/")
        && request.header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}

/// What a browser gets where nothing is: the way to the organization's page that it may have meant, or a page that leads on.
pub fn elsewhere(path: &str) -> poem::Result<Response> {
    let slug = path.trim_matches('/');
    if check_org_slug("organization", slug).is_ok() {
        return Ok(Redirect::see_other(format!("/{slug}/settings")).into_response());
    }
    let mut response = answer("missing.html", &Request::default())?;
    response.set_status(StatusCode::NOT_FOUND);
    Ok(response)
}

/// A page or a file, for a handler that has to choose.
pub fn answer(name: &str, request: &Request) -> poem::Result<Response> {
    let mut response = ASSETS.answer(name, request)?;
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use poem::{Endpoint, Route};

    use super::*;
    use crate::http::assets::served;

    /// What browsers may have to read in all, without what is vendored.
    const BYTES_MAX: usize = 260 * 1024;
    const PREFIX: &str = "/_page";
    const VENDORED: [&str; 2] = ["chat/marked", "chat/temml"];

    /// Every file, by name.
    fn texts() -> Vec<(&'static str, &'static str)> {
        fn collect(dir: &'static Dir, into: &mut Vec<(&'static str, &'static str)>) {
            if VENDORED.iter().any(|vendored| dir.path().ends_with(vendored)) {
                return;
            }
            into.extend(dir.files().map(|file| (file.path().to_str().unwrap(), file.contents_utf8().unwrap())));
            dir.dirs().for_each(|inner| collect(inner, into));
        }
        let mut texts = Vec::new();
        collect(&FILES, &mut texts);
        texts
    }

    async fn ask(path: &str) -> Response {
        let app = Route::new().at(FILES_PATH, file()).at("/:org/settings", page("settings.html"));
        app.get_response(Request::builder().uri_str(path).finish()).await
    }

    #[tokio::test]
    async fn a_page_and_all_that_it_names_are_served_under_the_policy() {
        let quoted =
            texts().into_iter().filter(|(name, _)| name.ends_with(".html")).flat_map(|(_, text)| text.split('"'));
        let named: Vec<_> = quoted.filter(|text| text.starts_with(PREFIX)).collect();
        assert!(named.len() > 9, "{named:?}");
        for path in named.into_iter().chain(["/acme/settings"]) {
            let answer = ask(path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.header("content-security-policy"), Some(CONTENT_SECURITY_POLICY), "{path}");
        }
    }

    #[tokio::test]
    async fn every_module_that_is_imported_is_there() {
        for (name, text) in texts().into_iter().filter(|(name, _)| name.ends_with(".js")) {
            let later = text.split("import(\"").skip(1).filter_map(|rest| Some(rest.split_once("\")")?.0));
            let first = text.lines().filter_map(|line| Some(line.strip_suffix("\";")?.split_once(" from \"")?.1));
            // What is shown to be copied imports packages.
            for import in first.chain(later).filter(|import| import.starts_with('.')) {
                let mut steps: Vec<_> = name.split('/').collect();
                steps.pop();
                for step in import.split('/') {
                    match step {
                        "." => {}
                        ".." => drop(steps.pop()),
                        step => steps.push(step),
                    }
                }
                let path = format!("{PREFIX}/{}", steps.join("/"));
                assert_eq!(ask(&path).await.status(), StatusCode::OK, "{name} imports {import}");
            }
        }
    }

    #[test]
    fn nothing_is_inline_no_text_becomes_html_and_a_browser_keeps_nothing_but_its_colours() {
        let forbidden = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "sessionStorage"];
        for (name, text) in texts() {
            // Their names may be said where it is explained that they are not used.
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for word in forbidden {
                assert!(!code.contains(word), "{name} holds {word}");
            }
            assert_eq!(code.contains("localStorage"), name == "lib/theme.js", "{name}: only colours are kept");
            if name.ends_with(".html") {
                assert!(!text.contains("<script>") && !text.contains(" style=") && !text.contains(" on"), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_browser_is_led_to_a_page_that_it_may_have_meant() {
        for path in ["/acme", "/acme/", "/two-words", "//acme"] {
            let answer = elsewhere(path).unwrap();
            assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
            assert_eq!(answer.header("location"), Some(&*format!("/{}/settings", path.trim_matches('/'))), "{path}");
        }
        for path in ["/help", "/acme/setting", "/Acme", "/acme/settings/keys", "/%2F%2Fevil.example", "//evil.example"]
        {
            let answer = elsewhere(path).unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.header("location"), None, "{path}");
            assert_eq!(answer.header("content-security-policy"), Some(CONTENT_SECURITY_POLICY), "{path}");
            assert!(answer.into_body().into_string().await.unwrap().contains("There is nothing here"), "{path}");
        }
    }

    #[test]
    fn a_page_is_looked_for_by_a_browser_outside_the_apis() {
        let ask = |method: Method, path: &str, accept: &str| {
            is_looked_for(&Request::builder().method(method).uri_str(path).header("accept", accept).finish())
        };
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert!(ask(Method::GET, "/acme", browser) && ask(Method::HEAD, "/", browser));
        assert!(!ask(Method::POST, "/acme", browser) && !ask(Method::GET, "/api/v1/acme", browser));
        assert!(!ask(Method::GET, "/acme", "*/*") && !ask(Method::GET, "/acme", "application/json"));
    }

    #[test]
    fn all_of_it_is_small() {
        let bytes: usize = texts().iter().map(|(name, text)| served(name, text).len()).sum();
        assert!(bytes < BYTES_MAX, "{bytes}");
    }

    #[tokio::test]
    async fn what_is_not_in_the_folder_is_not_found() {
        for path in ["/_page/nope.js", "/_page/../mod.rs", "/_page/sections", "/_page/"] {
            assert_eq!(ask(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
