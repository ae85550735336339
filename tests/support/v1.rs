//! What is heard on `/v1`: failures in OpenAI's shape.

use serde_json::Value;

use super::client::Reply;

impl Reply {
    /// The error of a failure of the OpenAI-compatible face; checks its whole shape.
    #[track_caller]
    pub fn fault(&self, status: u16, kind: &str, code: impl Into<Value>) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(
            ["x-request-id", "openai-processing-ms", "openai-version"].iter().all(|name| self.header(name).is_some())
        );
        let mut json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{}", self.text);
        let error = json["error"].take();
        assert_eq!(error.as_object().unwrap().len(), 4, "{}", self.text);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
        assert!(error["param"].is_string() || error["param"].is_null(), "{}", self.text);
        assert_eq!((&error["type"], &error["code"]), (&Value::from(kind), &code.into()), "{}", self.text);
        error
    }
}
