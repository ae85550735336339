//! Tool calls from fragments: servers agree on neither indexes nor ids, so all that a fragment says decides where it belongs.
//!
//! Rule: a call is over when the reply is over, never when its arguments happen to parse; no call is lost; a fragment
//! costs the same whatever came before it.
//! Deliberately absent: judging a name or its arguments. That is for who runs the tools.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Beside, Delta, ToolCall,
    halves::{Joiner, whole},
};

/// The most calls one reply may make.
pub const CALLS_MAX: usize = 128;
/// The most bytes all names, ids and arguments of one reply may have.
pub const ARGUMENT_BYTES_MAX: usize = 1 << 20;

/// The longest name of a call, in characters, as providers take them. What is longer is cut, and no tool's.
pub const CALL_NAME_CHARS_MAX: usize = 64;
/// The longest id of a call, in characters. A call whose own is longer gets one of ours.
pub const CALL_ID_CHARS_MAX: usize = 256;

/// The most bytes that a provider may put beside one call, as JSON. They go on one line of the stream; past it, none are kept.
pub const BESIDE_BYTES_MAX: usize = 24 * 1024;

/// The name of a call that never got one: no tool is called this, so the model is told and can try again.
const UNNAMED: &str = "unnamed";

/// What one chunk says of a call. Blank names and ids are the same as none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fragment<'a> {
    /// Which call, as some servers count them.
    pub index: Option<i64>,
    /// The call's id, usually on its first fragment only.
    pub id: Option<&'a str>,
    /// The tool, usually on the first fragment only.
    pub name: Option<&'a str>,
    /// The next piece of the arguments.
    pub arguments: &'a str,
    /// What stands beside these, on the call and on its function.
    pub beside: [&'a [(Cow<'a, str>, &'a RawValue)]; 2],
}

/// The reply called too many tools or wrote too much into their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

/// The calls of one reply, as far as they have come.
#[derive(Debug, Default)]
pub struct ToolCalls {
    calls: Vec<Call>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Call {
    /// The id given to the outside: the upstream's if it sent a new one, else ours. Empty until the name is known.
    id: String,
    name: String,
    arguments: String,
    balance: Balance,
    /// What is open between two of its fragments.
    halves: Joiner,
    beside: Beside,
    /// How many bytes were put there.
    beside_bytes: usize,
    /// What the upstream last called it.
    wire_id: Option<String>,
    index: Option<i64>,
}

impl ToolCalls {
    /// Takes one fragment and appends what it means to `out`.
    pub fn push(&mut self, fragment: Fragment<'_>, out: &mut Vec<Delta>) -> Result<(), TooMuch> {
        let fragment = Fragment { id: unless_blank(fragment.id), name: unless_blank(fragment.name), ..fragment };
        self.bytes += fragment.arguments.len();
        let at = self.position(&fragment).unwrap_or_else(|| {
            self.bytes += fragment.id.map_or(0, str::len) + fragment.name.map_or(0, str::len);
            self.calls.push(Call::default());
            self.calls.len() - 1
        });
        if self.calls.len() > CALLS_MAX || self.bytes > ARGUMENT_BYTES_MAX {
            self.calls.truncate(CALLS_MAX);
            return Err(TooMuch);
        }
        self.extend(at, &fragment, out);
        Ok(())
    }

    /// Ends every call. Those that never got a name begin only now.
    pub fn finish(&mut self, out: &mut Vec<Delta>) -> Vec<ToolCall> {
        self.calls.retain(|call| !(call.name.is_empty() && call.arguments.trim().is_empty()));
        for at in 0..self.calls.len() {
            let last = self.calls[at].halves.end().map(String::from).unwrap_or_default();
            let name = self.calls[at].name.is_empty().then_some(UNNAMED);
            self.extend(at, &Fragment { name, arguments: &last, ..Fragment::default() }, out);
        }
        let whole = |call: Call| {
            let arguments = if call.arguments.trim().is_empty() { "{}".to_owned() } else { call.arguments };
            let is_kept = call.beside_bytes <= BESIDE_BYTES_MAX && call.beside != Beside::default();
            ToolCall { id: call.id, name: call.name, arguments, beside: is_kept.then(|| Box::new(call.beside)) }
        };
        std::mem::take(&mut self.calls).into_iter().map(whole).collect()
    }

    /// The position of the call a fragment continues, of the newest if several fit; none if it begins one.
    fn position(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let newest = |fits: &dyn Fn(&Call) -> bool| self.calls.iter().rposition(fits);
        let has_id = |call: &Call| fragment.id.is_some() && call.wire_id.as_deref() == fragment.id;
        let has_index = |call: &Call| fragment.index.is_some() && call.index == fragment.index;
        let has_name = |call: &Call| call.name.is_empty() || fragment.name.is_none_or(|name| call.name == name);

        let id_is_new = fragment.id.is_some() && !self.calls.iter().any(has_id);
        let found = if fragment.id.is_some() && !id_is_new {
            newest(&|call| has_id(call) && has_name(call) && (fragment.index.is_none() || has_index(call)))
                .or_else(|| newest(&|call| has_id(call) && fragment.name.is_none()))
        } else {
            newest(&|call| has_index(call) && has_name(call))
        };
        match found {
            Some(at) if self.begins_again(at, fragment, id_is_new) => None,
            Some(at) => Some(at),
            None if fragment.name.is_some() || fragment.index.is_some() => None,
            None => newest(&|call| !call.balance.is_closed()),
        }
    }

    /// Whether a fragment that fits a call begins another one all the same, on an index or id used twice.
    ///
    /// Only a fragment with a name can. No single sign is enough: some servers send a new id, or the name, with every
    /// fragment; and a model may write `{` anywhere. Any two of the three are.
    fn begins_again(&self, at: usize, fragment: &Fragment<'_>, id_is_new: bool) -> bool {
        let call = &self.calls[at];
        let starts_value = fragment.arguments.trim_start().starts_with(['{', '[']);
        let signs = [id_is_new, starts_value, call.balance.is_closed()];
        fragment.name.is_some() && !call.name.is_empty() && signs.into_iter().filter(|sign| *sign).count() >= 2
    }

    fn extend(&mut self, at: usize, fragment: &Fragment<'_>, out: &mut Vec<Delta>) {
        let call = &mut self.calls[at];
        if fragment.id.is_some() && call.wire_id.as_deref() != fragment.id {
            call.wire_id = fragment.id.map(str::to_owned);
        }
        call.index = call.index.or(fragment.index);
        call.keep_beside(fragment);
        let joined = call.halves.join(fragment.arguments);
        call.balance.read(joined.as_bytes());
        call.arguments.push_str(&joined);
        let mut news = &*joined;
        if call.name.is_empty() {
            let Some(name) = fragment.name else { return };
            call.name = whole(name.into()).chars().take(CALL_NAME_CHARS_MAX).collect();
            let id = self.free_id(at);
            let call = &mut self.calls[at];
            call.id = id;
            out.push(Delta::ToolStart { id: call.id.clone(), name: call.name.clone() });
            news = &self.calls[at].arguments;
        }
        if !news.is_empty() {
            out.push(Delta::ToolArguments { id: self.calls[at].id.clone(), fragment: news.to_owned() });
        }
    }

    /// The upstream's id if no other call has it, else one of ours: within the 40 characters that OpenAI takes.
    fn free_id(&self, at: usize) -> String {
        let wire_id = self.calls[at].wire_id.clone().map(|id| whole(id.into()).into_owned());
        let taken = |id: &String| self.calls.iter().any(|call| call.id == *id);
        let fits = |id: &String| id.chars().nth(CALL_ID_CHARS_MAX).is_none() && !taken(id);
        wire_id.filter(fits).unwrap_or_else(|| format!("call_{}", uuid::Uuid::now_v7().simple()))
    }
}

impl Call {
    /// Keeps what stands beside a fragment. Past the bound it is counted only: a part of a signature is of no use.
    fn keep_beside(&mut self, fragment: &Fragment<'_>) {
        let places = [&mut self.beside.call, &mut self.beside.function];
        for (place, fields) in places.into_iter().zip(fragment.beside) {
            for (name, json) in fields {
                if matches!(&**name, "type") || json.get() == "null" {
                    continue;
                }
                self.beside_bytes = self.beside_bytes.saturating_add(name.len() + json.get().len());
                if self.beside_bytes <= BESIDE_BYTES_MAX
                    && let Ok(value) = serde_json::from_str(json.get())
                {
                    place.insert(name.clone().into_owned(), value);
                }
            }
        }
    }
}

fn unless_blank(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// Follows the braces of a JSON text that comes in pieces: parsing it anew after each would take quadratic time.
#[derive(Debug, Default)]
struct Balance {
    depth: usize,
    in_string: bool,
    escaped: bool,
    opened: bool,
}

impl Balance {
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => (self.depth, self.opened) = (self.depth + 1, true),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// An object or array was opened, and everything that was opened is closed.
    fn is_closed(&self) -> bool {
        self.opened && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests;
