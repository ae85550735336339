//! Which recorded answer a request gets.
//!
//! Rule: plain functions over plain values. Of several answers that fit alike, each is given once in their order, then the last.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use serde_json::{Value, json};

use super::{
    file::{Cassette, Recorded},
    form,
    keys::Keys,
    line::ToolExchange,
    scrub::Scrubber,
};
use crate::error::Error;

/// The least part of their words that two questions have in common if one is taken for the other.
const COMMON_MIN: f64 = 0.5;
/// Questions that are named where none fits, and how much of each.
const QUESTIONS: usize = 3;
const QUESTION_CHARS_MAX: usize = 100;

/// How an answer was found, and how far a search may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// All that counts is the same.
    Exact,
    /// The question is the same, and what was called since.
    Shape,
    /// The question has words in common.
    Nearest,
}

impl Match {
    const ALL: [Match; 3] = [Match::Exact, Match::Shape, Match::Nearest];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Match::Exact => "exact",
            Match::Shape => "shape",
            Match::Nearest => "nearest",
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Match {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let known = Match::ALL.into_iter().find(|known| known.as_str() == word);
        known.ok_or_else(|| Error::BadRequest("give exact, shape or nearest".into()))
    }
}

/// What of a cassette was given already.
#[derive(Debug, Default)]
pub struct Given {
    exchanges: HashSet<usize>,
    tools: HashSet<usize>,
}

/// Where in a cassette what stands.
#[derive(Debug)]
pub struct Index {
    exact: HashMap<String, Vec<usize>>,
    shape: HashMap<String, Vec<usize>>,
    tools: HashMap<[u8; 32], Vec<usize>>,
}

impl Index {
    /// Of a cassette that was read.
    pub fn of(cassette: &Cassette) -> Index {
        let mut index = Index { exact: HashMap::new(), shape: HashMap::new(), tools: HashMap::new() };
        for (at, Recorded { keys, .. }) in cassette.exchanges.iter().enumerate() {
            index.exact.entry(keys.key.clone()).or_default().push(at);
            index.shape.entry(keys.shape.clone()).or_default().push(at);
        }
        for (at, ToolExchange { name, input, .. }) in cassette.tools.iter().enumerate() {
            index.tools.entry(call_key(name, input)).or_default().push(at);
        }
        index
    }

    /// The exchange that a request gets, and how it was found; without one, a sentence that says what there is.
    pub fn choose(
        &self,
        cassette: &Cassette,
        keys: &Keys,
        reach: Match,
        given: &mut Given,
    ) -> Result<(usize, Match), String> {
        let exact = self.exact.get(&keys.key).map(|fit| (fit.clone(), Match::Exact));
        let shape = || {
            let fit = self.shape.get(&keys.shape).filter(|_| reach >= Match::Shape)?;
            Some((fit.clone(), Match::Shape))
        };
        let mut common = 0.0;
        let fit = exact.or_else(shape).or_else(|| {
            let (fit, most) = nearest(&cassette.exchanges, keys);
            common = most;
            (reach == Match::Nearest && most >= COMMON_MIN).then_some((fit, Match::Nearest))
        });
        let (fit, how) = fit.ok_or_else(|| none_fits(cassette, keys, common))?;
        Ok((next_of(&fit, &mut given.exchanges), how))
    }

    /// What a tool answered to that input.
    pub fn tool(&self, name: &str, input: &Value, scrubber: &Scrubber, given: &mut Given) -> Option<usize> {
        let input = scrubber.begin().value(input);
        let fit = self.tools.get(&call_key(name, &input))?;
        Some(next_of(fit, &mut given.tools))
    }
}

/// What a call of a tool is known by.
fn call_key(name: &str, input: &Value) -> [u8; 32] {
    form::hash(&json!([name, form::value(input)]))
}

/// The first that was not given yet, else the last.
fn next_of(fit: &[usize], given: &mut HashSet<usize>) -> usize {
    let next = fit.iter().find(|at| !given.contains(at)).or(fit.last());
    let next = *next.expect("an answer that fits");
    given.insert(next);
    next
}

/// The exchanges of the question that has the most words in common with this one, and what part of them.
fn nearest(exchanges: &[Recorded], keys: &Keys) -> (Vec<usize>, f64) {
    let (mut fit, mut most) = (Vec::<usize>::new(), 0.0);
    for (at, Recorded { keys: other, .. }) in exchanges.iter().enumerate() {
        if other.step != keys.step || other.model != keys.model || other.calls != keys.calls {
            continue;
        }
        let part = common(&keys.words, &other.words, most);
        if part > most {
            (fit, most) = (vec![at], part);
        } else if part == most && fit.first().is_some_and(|first| exchanges[*first].keys.words == other.words) {
            fit.push(at);
        }
    }
    (fit, most)
}

/// What part of the words of two questions both have; zero if it is less than `least` at once.
fn common(one: &[u64], other: &[u64], least: f64) -> f64 {
    let (few, many) = (one.len().min(other.len()), one.len().max(other.len()));
    if many == 0 || (few as f64 / many as f64) < least {
        return 0.0;
    }
    let (mut both, mut i, mut j) = (0, 0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        both += usize::from(a == b);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    both as f64 / (one.len() + other.len() - both) as f64
}

/// Says that nothing fits, and what would.
fn none_fits(cassette: &Cassette, keys: &Keys, most: f64) -> String {
    let mut questions = Vec::<(f64, &str)>::new();
    let firsts = cassette.exchanges.iter().filter(|recorded| recorded.keys.step == 0);
    for Recorded { keys: other, .. } in firsts.filter(|recorded| !recorded.keys.asked.is_empty()) {
        if questions.iter().all(|(_, asked)| *asked != other.asked) {
            questions.push((common(&keys.words, &other.words, 0.0), &other.asked));
            // The sort is stable: of those that are as near, the first of the file.
            questions.sort_by(|one, other| other.0.total_cmp(&one.0));
            questions.truncate(QUESTIONS);
        }
    }
    let (name, asked, step) = (&cassette.name, quoted(&keys.asked), keys.step);
    let questions: Vec<_> = questions.into_iter().map(|(_, asked)| quoted(asked)).collect();
    let ask = if questions.is_empty() { String::new() } else { format!(", or ask {}", questions.join(", ")) };
    format!("The cassette {name} has no answer for {asked} (step {step}; nearest {most:.2}): record it{ask}.")
}

/// A question in quotes, on one line and not too long.
fn quoted(question: &str) -> String {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUESTION_CHARS_MAX) {
        Some((at, _)) => format!("\"{}…\"", &line[..at]),
        None => format!("\"{line}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Content, Message, Request, ToolCall,
        cassette::{
            file::parse,
            line::{Exchange, Line},
        },
    };

    fn user(text: &str) -> Message {
        Message::User(vec![Content::Text(text.into())])
    }

    fn request(messages: Vec<Message>) -> Request {
        Request { model: "m".into(), messages, ..Request::default() }
    }

    fn keys(messages: Vec<Message>) -> Keys {
        Keys::of(&request(messages), &Scrubber::default(), false)
    }

    /// A step in which `tool` was called and answered.
    fn step(tool: &str, arguments: &str, output: &str) -> [Message; 2] {
        let call = ToolCall { id: "c".into(), name: tool.into(), arguments: arguments.into(), beside: None };
        let output = Message::Tool { call_id: "c".into(), output: output.into() };
        [Message::Assistant { text: String::new(), thoughts: None, calls: vec![call] }, output]
    }

    fn with_step(question: &str, tool: &str, arguments: &str, output: &str) -> Vec<Message> {
        [user(question)].into_iter().chain(step(tool, arguments, output)).collect()
    }

    struct Played {
        cassette: Cassette,
        index: Index,
        given: Given,
    }

    impl Played {
        /// A cassette of these requests.
        fn of(requests: Vec<Vec<Message>>) -> Self {
            let lines = requests.into_iter().map(|messages| {
                let Keys { asked, request, .. } = keys(messages);
                let exchange = Exchange { model: "m".into(), asked, request: Some(request), ..Exchange::default() };
                serde_json::to_string(&Line::Model(exchange)).unwrap() + "\n"
            });
            let text: String = ["{\"almCassette\":1}\n".to_owned()].into_iter().chain(lines).collect();
            Self::read(&text)
        }

        fn read(text: &str) -> Self {
            let cassette = parse("tour.jsonl", text.as_bytes()).unwrap();
            Played { index: Index::of(&cassette), cassette, given: Given::default() }
        }

        fn ask(&mut self, reach: Match, messages: Vec<Message>) -> Result<(usize, Match), String> {
            self.index.choose(&self.cassette, &keys(messages), reach, &mut self.given)
        }
    }

    #[test]
    fn an_answer_is_found_as_exactly_as_there_is_one_and_no_further_than_is_asked() {
        let clock = with_step("What time is it?", "current_time", "{}", "2 o'clock");
        let mut played = Played::of(vec![vec![user("What is the weather in Bern?")], clock]);
        let system = || vec![Message::System("Be kind.".into()), user("What is the weather in Bern?")];
        let rome = || vec![user("what is the weather in ROME")];
        let later = || with_step("What time is it?", "current_time", "{}", "3 o'clock");
        let other_words = || with_step("What time is it now?", "current_time", "{\"utcOffsetMinutes\":60}", "4");
        for (messages, reach, expected) in [
            (vec![user("What is the weather in Bern?")], Match::Exact, Some((0, Match::Exact))),
            (system(), Match::Exact, None),
            (system(), Match::Shape, Some((0, Match::Shape))),
            (rome(), Match::Shape, None),
            (rome(), Match::Nearest, Some((0, Match::Nearest))),
            (later(), Match::Exact, None),
            (later(), Match::Shape, Some((1, Match::Shape))),
            (other_words(), Match::Shape, None),
            (other_words(), Match::Nearest, Some((1, Match::Nearest))),
            (with_step("What time is it?", "weather", "{}", "4"), Match::Nearest, None),
            (vec![user("What time is it?")], Match::Nearest, None),
            (vec![user("Sing a song")], Match::Nearest, None),
        ] {
            assert_eq!(played.ask(reach, messages.clone()).ok(), expected, "{messages:?}");
        }
    }

    #[test]
    fn half_of_the_words_in_common_is_enough_and_less_is_not() {
        let mut played = Played::of(vec![vec![user("a b c d")]]);
        assert!(played.ask(Match::Nearest, vec![user("a b")]).is_ok(), "{COMMON_MIN}");
        assert!(played.ask(Match::Nearest, vec![user("a b x")]).is_err());
        assert!(played.ask(Match::Nearest, vec![user("a b c x")]).is_ok());
        assert!(played.ask(Match::Nearest, vec![user("a b x y")]).is_err());
        assert!(played.ask(Match::Nearest, vec![user("?")]).is_err());
    }

    #[test]
    fn the_same_request_gets_the_next_answer_and_after_the_last_the_last() {
        let ask = || vec![user("Toss a coin, please")];
        let mut played = Played::of(vec![ask(), vec![user("Hi")], ask(), ask()]);
        let given: Vec<_> = (0..4).map(|_| played.ask(Match::Exact, ask()).unwrap().0).collect();
        assert_eq!(given, [0, 2, 3, 3]);
        played.given = Given::default();
        assert_eq!(played.ask(Match::Exact, ask()), Ok((0, Match::Exact)));
        // Later in the conversation, when only the question is the same.
        let later = vec![user("Toss a coin, please"), Message::System("x".into()), user("Toss a coin please")];
        assert_eq!(played.ask(Match::Nearest, later), Ok((2, Match::Nearest)));
        // Nearest is one question, and not two that are as near.
        let mut two = Played::of(vec![vec![user("weather in Bern")], vec![user("weather in Basel")]]);
        let rome = || vec![user("weather in Rome")];
        assert_eq!(
            [two.ask(Match::Nearest, rome()), two.ask(Match::Nearest, rome())],
            [Ok((0, Match::Nearest)), Ok((0, Match::Nearest))]
        );
    }

    #[test]
    fn what_fits_nothing_is_told_with_three_questions_that_would() {
        let bern = "What is the weather in Bern?";
        let questions = ["Tell a joke", bern, "Sing", bern, "What is new?"];
        let mut played = Played::of(questions.iter().map(|question| vec![user(question)]).collect());
        let error = played.ask(Match::Exact, vec![user("What is the weather in Rome?")]).unwrap_err();
        let expected = "The cassette tour.jsonl has no answer for \"What is the weather in Rome?\" (step 0; nearest 0.71): \
                        record it, or ask \"What is the weather in Bern?\", \"What is new?\", \"Tell a joke\".";
        assert_eq!(error, expected);
        let mut none = Played::of(Vec::new());
        let error = none.ask(Match::Nearest, with_step("a\n b", "weather", "{}", "4")).unwrap_err();
        assert_eq!(error, "The cassette tour.jsonl has no answer for \"a b\" (step 1; nearest 0.00): record it.");
        for chars in [QUESTION_CHARS_MAX - 1, QUESTION_CHARS_MAX, QUESTION_CHARS_MAX + 1] {
            assert_eq!(quoted(&"x".repeat(chars)).contains('…'), chars > QUESTION_CHARS_MAX, "{chars}");
        }
    }

    #[test]
    fn a_tool_answers_by_name_and_input_by_value() {
        let tool = |input: &str, output: u32| {
            format!("{{\"kind\":\"tool\",\"name\":\"weather\",\"input\":{input},\"output\":{output}}}\n")
        };
        let lines = [tool(r#"{"town":"Bern","days":1.0}"#, 1), tool("{}", 2), tool(r#"{"days":1,"town":"Bern"}"#, 3)];
        let Played { index, mut given, .. } = Played::read(&("{\"almCassette\":1}\n".to_owned() + &lines.concat()));
        let mut ask = |name: &str, input: Value| index.tool(name, &input, &Scrubber::default(), &mut given);
        let bern = || json!({ "town": "Bern", "days": 1 });
        assert_eq!(
            [ask("weather", bern()), ask("weather", bern()), ask("weather", bern())],
            [Some(0), Some(2), Some(2)]
        );
        assert_eq!(
            [ask("weather", json!({})), ask("weather", json!(1)), ask("time", json!({}))],
            [Some(1), None, None]
        );
    }

    #[test]
    fn a_match_is_known_by_its_word() {
        for known in Match::ALL {
            assert_eq!(known.to_string().parse::<Match>().unwrap(), known);
        }
        assert!("close".parse::<Match>().is_err());
    }
}
