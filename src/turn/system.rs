//! One system message.
//!
//! Rule: templates of widely used models refuse a second one. What stands in front is one text; a later one goes where it stood, as
//! words in front of the next question, so that what a model's server remembers of the prompt stays good.

use crate::model::{Content, Message};

/// Between texts that become one.
const BETWEEN: &str = "\n\n";

/// The same conversation with its leading system messages in one. Later ones stay where they are.
pub fn one_front(messages: Vec<Message>) -> Vec<Message> {
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            Message::System(text) if rest.is_empty() => front.push(text),
            message => rest.push(message),
        }
    }
    let front = (!front.is_empty()).then(|| Message::System(front.join(BETWEEN)));
    front.into_iter().chain(rest).collect()
}

/// The same conversation with its system messages in one, or in the words of questions.
pub fn one_system(messages: Vec<Message>) -> Vec<Message> {
    let (mut front, mut rest, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        match message {
            Message::System(text) if rest.is_empty() => front.push(text),
            Message::System(text) => waiting.push(Content::Text(format!("<system>\n{text}\n</system>"))),
            Message::User(contents) => {
                rest.push(Message::User(std::mem::take(&mut waiting).into_iter().chain(contents).collect()));
            }
            // A call and its outputs stay together: they are of one stored message.
            Message::Assistant { .. } if !waiting.is_empty() => {
                rest.extend([Message::User(std::mem::take(&mut waiting)), message]);
            }
            Message::Assistant { .. } | Message::Tool { .. } => rest.push(message),
        }
    }
    if !waiting.is_empty() {
        rest.push(Message::User(waiting));
    }
    let front = (!front.is_empty()).then(|| Message::System(front.join(BETWEEN)));
    front.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_texts_are_one_and_later_ones_stand_before_the_next_question() {
        let system = |text: &str| Message::System(text.into());
        let user = |texts: &[&str]| Message::User(texts.iter().map(|text| Content::Text((*text).into())).collect());
        let said = || Message::Assistant { text: "x".into(), thoughts: None, calls: Vec::new() };
        let asked =
            vec![system("a"), system("b"), user(&["1"]), system("c"), user(&["2"]), system("d"), said(), system("e")];
        let [c, d, e] = ["c", "d", "e"].map(|text| format!("<system>\n{text}\n</system>"));
        let expected = [system("a\n\nb"), user(&["1"]), user(&[&c, "2"]), user(&[&d]), said(), user(&[&e])];
        assert_eq!(one_system(asked.clone()), expected);
        assert_eq!(one_system(one_front(asked.clone())), expected);
        let kept = one_front(asked.clone());
        assert_eq!((&kept[0], &kept[1..]), (&system("a\n\nb"), &asked[2..]));
    }
}
