//! Replies of a shape: what a model is asked for, and whether the reply is it.
//!
//! Rule: the reply is streamed and stored as it comes, whatever its shape: that it does not fit is said beside it.

use serde_json::{Value, json};

use crate::tools::schema::Schema;

/// The shape that an agent's replies are to have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    name: String,
    schema: Value,
    strict: Option<bool>,
}

impl Shape {
    /// As it is stored with the agent; none if a foreign hand left something else there.
    pub fn of_text(stored: &str) -> Option<Self> {
        let format: Value = serde_json::from_str(stored).ok()?;
        let name = format["name"].as_str()?.to_owned();
        Some(Shape { name, schema: format.get("schema")?.clone(), strict: format["strict"].as_bool() })
    }

    /// As models' servers take it.
    pub fn asked(&self) -> Value {
        let mut asked = json!({ "name": self.name, "schema": self.schema });
        if let Some(strict) = self.strict {
            asked["strict"] = strict.into();
        }
        json!({ "type": "json_schema", "json_schema": asked })
    }

    /// What a message's metadata say of a reply.
    pub fn judge(&self, reply: &str) -> Value {
        match self.fault(reply) {
            None => json!({ "valid": true }),
            Some(error) => json!({ "valid": false, "error": error }),
        }
    }

    fn fault(&self, reply: &str) -> Option<String> {
        let Ok(reply) = serde_json::from_str::<Value>(reply) else { return Some("The reply is not JSON.".into()) };
        match Schema::compile(&self.schema) {
            Ok(schema) => Some(schema.faults(&reply)).filter(|faults| !faults.is_empty()).map(|all| all.join("; ")),
            Err(fault) => Some(format!("The schema {fault}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(strict: &str) -> Shape {
        let stored =
            r#"{"name":"city","schema":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}"#;
        Shape::of_text(&format!("{stored}{strict}}}")).unwrap()
    }

    #[test]
    fn a_model_is_asked_for_a_shape_as_its_servers_take_it() {
        let asked = shape(r#","strict":true"#).asked();
        assert_eq!(asked["type"], "json_schema");
        assert_eq!((&asked["json_schema"]["name"], &asked["json_schema"]["strict"]), (&json!("city"), &json!(true)));
        assert_eq!(asked["json_schema"]["schema"]["required"], json!(["city"]));
        assert_eq!(shape("").asked()["json_schema"].get("strict"), None);
        assert_eq!(Shape::of_text("{}"), None);
    }

    #[test]
    fn a_reply_is_told_whether_it_fits() {
        for (reply, said) in [
            (r#" {"city": "Bern"} "#, None),
            ("Bern", Some("The reply is not JSON.")),
            (r#"{"city": "Ber"#, Some("The reply is not JSON.")),
            (r#"{"city": 3}"#, Some("city: ")),
            ("[]", Some("object")),
        ] {
            let judged = shape("").judge(reply);
            assert_eq!(judged["valid"], said.is_none(), "{reply}: {judged}");
            let error = judged["error"].as_str().unwrap_or_default();
            assert!(said.is_none_or(|said| error.contains(said)), "{reply}: {judged}");
        }
    }
}
