//! Chat: which session, what is stored, what a model is sent.

use serde_json::{Value, json};

use crate::{
    fake_model::FakeModel,
    harness::{App, ModelSpec, user},
};

#[test]
fn an_answer_is_streamed_stored_and_remembered() {
    let app = App::shared();
    let (acme, model) = (app.org("acme"), FakeModel::saying("Hello you."));
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    let first = acme.chat(json!({ "model": "up/free", "messages": [user("Hi")] }));
    assert_eq!((&*first.text(), first.finish_reason()), ("Hello you.", "stop"));
    let session = first.session();
    let second = acme.chat(json!({ "model": "up/free", "sessionId": session, "messages": [user("And now?")] }));
    assert_eq!(second.session(), session);
    let said = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    assert_eq!(
        model.last_messages()[1..],
        [said("user", "Hi"), said("assistant", "Hello you."), said("user", "And now?")]
    );
    assert_eq!(acme.history(&session).len(), 4);
    assert_eq!(acme.messages(&session)[1]["id"], Value::from(first.message_id()));
}
