//! Which API a path belongs to.
//!
//! Rule: a path alone decides, so every failure there, of whatever cause, is told in one shape.

/// What base URLs without `/v1` ask for.
const BARE: [&str; 5] = ["models", "chat/completions", "responses", "embeddings", "completions"];

/// Whether a path is of the OpenAI-compatible face. The settings of an organization of such a name stay where they are.
pub fn is_openai(path: &str) -> bool {
    let below = path.trim_start_matches('/');
    let is_under =
        |prefix: &str| below.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_under("v1") || BARE.into_iter().any(is_under) && !is_settings(below)
}

fn is_settings(below: &str) -> bool {
    below.strip_suffix("/settings").is_some_and(|org| !org.contains('/'))
}

/// Whether a path is what the face's own would be below the other API, which has no such thing.
pub fn is_misplaced(path: &str) -> bool {
    path.strip_prefix("/api/v1").or_else(|| path.strip_prefix("/api")).is_some_and(is_openai)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_one_api() {
        for path in [
            "/v1",
            "/v1/",
            "/v1/models",
            "/v1//x",
            "//v1/models",
            "/models",
            "/models/a/b",
            "/chat/completions",
            "/responses/r",
        ] {
            assert!(is_openai(path), "{path}");
        }
        for path in [
            "/",
            "/api/v1/models",
            "/v1x",
            "/modelsx",
            "/chat",
            "/models/settings",
            "/acme/settings",
            "/messages",
            "/healthz",
        ] {
            assert!(!is_openai(path), "{path}");
        }
    }
}
