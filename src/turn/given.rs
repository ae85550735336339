//! What whoever asks says that a model said, made that of the model that answers.
//!
//! Rule: what a turn wrote names its provider, and stays that provider's.
//! Rule: what a model thought goes back to it under the name by which it sends its thoughts, and to none that never sent any.

use crate::model::{Message, ThoughtsField};

/// Says whose the thoughts and the marks in `messages` are that name nobody: those of the provider that is asked.
pub(super) fn bind(messages: &mut [Message], provider: &str, field: Option<ThoughtsField>) {
    for message in messages {
        let Message::Assistant { thoughts, calls, .. } = message else { continue };
        if let Some(unbound) = thoughts.as_mut().filter(|thoughts| thoughts.provider.is_empty()) {
            (unbound.field, unbound.provider) = (field, provider.to_owned());
            if field.is_none() {
                *thoughts = None;
            }
        }
        let besides = calls.iter_mut().filter_map(|call| call.beside.as_deref_mut());
        for beside in besides.filter(|beside| beside.provider.is_empty()) {
            beside.provider = provider.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::model::{Beside, Thoughts, ToolCall};

    #[test]
    fn thoughts_go_back_under_the_models_own_name_for_them_or_not_at_all() {
        let thoughts = Thoughts { text: "Hm.".into(), field: None, provider: String::new(), beside: Map::new() };
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into(), beside: Some(Box::default()) };
        let said = Message::Assistant { text: "Yes.".into(), thoughts: Some(thoughts), calls: vec![call] };
        for field in [Some(ThoughtsField::Reasoning), None] {
            let mut messages = [said.clone()];
            bind(&mut messages, "up", field);
            let [Message::Assistant { thoughts, calls, .. }] = &messages else { panic!("a reply") };
            let bound = thoughts.as_ref().map(|thoughts| (thoughts.field, &*thoughts.provider));
            assert_eq!(bound, field.map(|field| (Some(field), "up")));
            assert_eq!(calls[0].beside.as_deref(), Some(&Beside { provider: "up".into(), ..Beside::default() }));
            let bound = messages.clone();
            bind(&mut messages, "other", Some(ThoughtsField::Reasoning));
            assert_eq!(messages, bound, "what names its provider stays its own");
        }
    }
}
