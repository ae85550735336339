//! Where models are asked: what the log of requests calls these paths.

use crate::http::wire::face;

/// Each under `/v1`, and without it.
const V1: [&str; 5] = ["/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/messages"];

/// The pattern of a path, if a POST there asks a model.
pub fn route(path: &str) -> Option<&'static str> {
    match path {
        "/api/v1/chat" => Some("/api/v1/chat"),
        "/mcp" => Some("/mcp"),
        _ if path.starts_with("/api/v1/chat/") && path.ends_with("/resume") => Some("/api/v1/chat/{session_id}/resume"),
        _ if face::is_openai(path) => {
            let bare = path.strip_prefix("/v1").unwrap_or(path).trim_end_matches('/');
            V1.into_iter().find(|route| route.strip_prefix("/v1") == Some(bare))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_where_a_model_is_asked_has_one_name() {
        for (path, name) in [
            ("/api/v1/chat", Some("/api/v1/chat")),
            ("/api/v1/chat/a%2Fb/resume", Some("/api/v1/chat/{session_id}/resume")),
            ("/v1/chat/completions", Some("/v1/chat/completions")),
            ("/chat/completions", Some("/v1/chat/completions")),
            ("/v1/messages", Some("/v1/messages")),
            ("/v1/messages/count_tokens", None),
            ("/v1/responses/x/cancel", None),
            ("/api/v1/chat/x/stop", None),
            ("/api/v1/agents", None),
        ] {
            assert_eq!(route(path), name, "{path}");
        }
    }
}
