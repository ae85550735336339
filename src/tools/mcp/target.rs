//! What a call is for.

/// Which tool of which server a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub server_id: String,
    /// What the server calls it.
    pub remote_name: String,
}
