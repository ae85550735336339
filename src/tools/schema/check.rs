//! Whether a value fits a schema, and what is wrong with it, in sentences that a model can act on.
//!
//! Rule: what a stranger's schema may cost is bounded, however it refers to itself.

use std::{cmp::Ordering, collections::HashSet};

use serde_json::{Map, Value};

use super::{
    form::{Found, count},
    same::{compare, is_integer, is_multiple, key},
};

/// How often a part of the schema may be held against a part of the value; what takes longer than others counts for more.
const CHECK_STEPS_MAX: usize = 100_000;
/// How deep schemas may lead to others.
const CHECK_DEPTH_MAX: usize = 200;
/// Bytes of text that are read in one such step.
const STEP_BYTES: usize = 64;
/// Names and values that are looked at in one.
const STEP_ITEMS: usize = 8;
/// What is told of a value that costs more than that.
const TOO_COSTLY: &str = "takes too long to be checked";

type Rules = Map<String, Value>;

/// One look at one value.
pub struct Check<'s> {
    root: &'s Value,
    found: &'s Found,
    /// Whether rules beside a reference count for nothing.
    is_old: bool,
    /// Faults that are told, at most.
    told: usize,
    /// Paths and sentences.
    faults: Vec<(String, String)>,
    /// All of them, told or not.
    count: usize,
    steps: usize,
    depth: usize,
    path: Vec<String>,
    /// It costs more than it may.
    is_over: bool,
}

/// What of a value was looked at by rules that `unevaluated…` asks about.
#[derive(Default)]
struct Seen {
    fields: HashSet<String>,
    items: HashSet<usize>,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.fields.extend(other.fields);
        self.items.extend(other.items);
    }
}

impl<'s> Check<'s> {
    /// Of a schema in which that was found.
    pub fn new(root: &'s Value, found: &'s Found, is_old: bool) -> Self {
        let (faults, path) = (Vec::new(), Vec::new());
        Check { root, found, is_old, told: 0, faults, count: 0, steps: 0, depth: 0, path, is_over: false }
    }

    /// The first faults of a value, each with its path.
    pub fn faults(mut self, value: &Value, told: usize) -> Vec<(String, String)> {
        self.told = told;
        self.apply(self.root, value);
        match self.is_over {
            true => vec![(String::new(), TOO_COSTLY.into())],
            false => self.faults,
        }
    }

    /// Holds a schema against a value.
    fn apply(&mut self, schema: &'s Value, value: &Value) -> Seen {
        self.pay(1);
        self.is_over |= self.depth >= CHECK_DEPTH_MAX;
        let mut seen = Seen::default();
        let rules = match schema {
            Value::Object(rules) if !self.is_over => rules,
            Value::Bool(false) => {
                self.fault("is not allowed");
                return seen;
            }
            _ => return seen,
        };
        self.depth += 1;
        let refers = self.references(rules, value, &mut seen);
        if !(refers && self.is_old) {
            self.any(rules, value);
            match value {
                Value::String(text) => self.text(rules, text),
                Value::Number(_) => self.number(rules, value),
                Value::Array(items) => self.items(rules, items, &mut seen),
                Value::Object(fields) => {
                    self.fields(rules, fields, &mut seen);
                    self.needs(rules, fields, value, &mut seen);
                }
                Value::Null | Value::Bool(_) => {}
            }
            self.combined(rules, value, &mut seen);
            self.unevaluated(rules, value, &mut seen);
        }
        self.depth -= 1;
        seen
    }

    fn pay(&mut self, steps: usize) {
        self.steps += steps;
        self.is_over |= self.steps > CHECK_STEPS_MAX;
    }

    fn fault(&mut self, sentence: impl Into<String>) {
        self.count += 1;
        if self.faults.len() < self.told {
            self.faults.push((self.path.join("."), sentence.into()));
        }
    }

    fn fault_unless(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.fault(sentence());
        }
    }

    fn below(&mut self, name: impl Into<String>, schema: &'s Value, value: &Value) {
        self.path.push(name.into());
        self.apply(schema, value);
        self.path.pop();
    }

    /// What was seen of a value that fits; nothing of one that does not, and no fault is told.
    fn fits(&mut self, schema: &'s Value, value: &Value) -> Option<Seen> {
        let (told, count) = (self.faults.len(), self.count);
        let seen = self.apply(schema, value);
        let fits = self.count == count;
        self.faults.truncate(told);
        self.count = count;
        fits.then_some(seen)
    }

    fn references(&mut self, rules: &'s Rules, value: &Value, seen: &mut Seen) -> bool {
        let mut refers = false;
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = rules.get(keyword).and_then(Value::as_str) else { continue };
            let target = self.found.pointer(reference).and_then(|pointer| self.root.pointer(&pointer));
            if let Some(target) = target {
                refers = true;
                seen.add(self.apply(target, value));
            }
        }
        refers
    }

    fn any(&mut self, rules: &'s Rules, value: &Value) {
        match rules.get("type") {
            Some(Value::String(word)) => self.fault_unless(is_of(word, value), || format!("must be {}", named(word))),
            Some(Value::Array(words)) => {
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                let fits = words.iter().any(|word| is_of(word, value));
                self.fault_unless(fits, || {
                    format!("must be {}", words.iter().map(|word| named(word)).collect::<Vec<_>>().join(" or "))
                });
            }
            _ => {}
        }
        let only = rules.get("const").map(std::slice::from_ref);
        let lists = [rules.get("enum").and_then(Value::as_array).map(Vec::as_slice), only];
        for values in lists.into_iter().flatten() {
            let own = key(value);
            self.pay(own.len() / STEP_BYTES + values.len() / STEP_ITEMS);
            let listed = || values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
            let one_of = if values.len() == 1 { "" } else { "one of " };
            self.fault_unless(values.iter().any(|one| key(one) == own), || format!("must be {one_of}{}", listed()));
        }
    }

    fn text(&mut self, rules: &'s Rules, text: &str) {
        self.pay(text.len() / STEP_BYTES);
        let chars = text.chars().count() as u64;
        self.size(rules, ["minLength", "maxLength"], chars, "characters");
        if let Some(pattern) = rules.get("pattern").and_then(Value::as_str) {
            let fits = self.found.patterns.get(pattern).is_none_or(|compiled| compiled.is_match(text));
            self.fault_unless(fits, || format!("must match {pattern}"));
        }
    }

    /// Whether there are as many as there may be.
    fn size(&mut self, rules: &'s Rules, [least, most]: [&str; 2], size: u64, of: &str) {
        if let Some(least) = rules.get(least).and_then(count) {
            self.fault_unless(size >= least, || format!("must have at least {least} {of}"));
        }
        if let Some(most) = rules.get(most).and_then(count) {
            self.fault_unless(size <= most, || format!("must have at most {most} {of}"));
        }
    }

    fn number(&mut self, rules: &'s Rules, value: &Value) {
        let excludes = |keyword: &str| rules.get(keyword) == Some(&Value::Bool(true));
        for (keyword, side, words, exclusive, strictly) in [
            ("minimum", Ordering::Less, "at least", "exclusiveMinimum", "more than"),
            ("maximum", Ordering::Greater, "at most", "exclusiveMaximum", "less than"),
        ] {
            let bound = rules.get(keyword);
            if let Some(bound) = bound.filter(|_| !excludes(exclusive)) {
                self.fault_unless(compare(value, bound) != side, || format!("must be {words} {bound}"));
            }
            let strict = rules.get(exclusive).filter(|rule| rule.is_number());
            if let Some(bound) = strict.or(bound.filter(|_| excludes(exclusive))) {
                let fits = compare(value, bound) == side.reverse();
                self.fault_unless(fits, || format!("must be {strictly} {bound}"));
            }
        }
        if let Some(step) = rules.get("multipleOf") {
            self.fault_unless(is_multiple(value, step), || format!("must be a multiple of {step}"));
        }
    }

    fn items(&mut self, rules: &'s Rules, items: &[Value], seen: &mut Seen) {
        self.pay(items.len() / STEP_ITEMS);
        self.size(rules, ["minItems", "maxItems"], items.len() as u64, "items");
        let lists = [rules.get("prefixItems"), rules.get("items")];
        let first = lists.into_iter().flatten().find_map(Value::as_array);
        let rest = match rules.get("items") {
            Some(Value::Array(_)) => rules.get("additionalItems"),
            schema => schema,
        };
        for (n, item) in items.iter().enumerate() {
            if let Some(schema) = first.and_then(|all| all.get(n)).or(rest) {
                self.below(n.to_string(), schema, item);
                seen.items.insert(n);
            }
        }
        if let Some(schema) = rules.get("contains") {
            let held: Vec<_> = (0..items.len()).filter(|n| self.fits(schema, &items[*n]).is_some()).collect();
            let least = rules.get("minContains").and_then(count).unwrap_or(1);
            let most = rules.get("maxContains").and_then(count).unwrap_or(u64::MAX);
            let fits = (least..=most).contains(&(held.len() as u64));
            self.fault_unless(fits, || format!("holds {} items of the shape that is asked for", held.len()));
            seen.items.extend(held);
        }
        if rules.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut keys = HashSet::new();
            let is_unique = items.iter().all(|item| {
                let key = key(item);
                self.pay(key.len() / STEP_BYTES);
                keys.insert(key)
            });
            self.fault_unless(is_unique, || "must have no item twice".into());
        }
    }

    fn fields(&mut self, rules: &'s Rules, fields: &Rules, seen: &mut Seen) {
        self.size(rules, ["minProperties", "maxProperties"], fields.len() as u64, "fields");
        let required = rules.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        self.pay((fields.len() + required.len()) / STEP_ITEMS);
        for name in required.iter().filter_map(Value::as_str) {
            self.require(fields, name, "is required");
        }
        let of = |keyword: &str| rules.get(keyword).and_then(Value::as_object);
        for (name, value) in fields {
            let mut is_known = false;
            if let Some(schema) = of("properties").and_then(|all| all.get(name)) {
                is_known = true;
                self.below(name, schema, value);
            }
            for (pattern, schema) in of("patternProperties").into_iter().flatten() {
                self.pay(1);
                if self.found.patterns.get(pattern).is_some_and(|compiled| compiled.is_match(name)) {
                    is_known = true;
                    self.below(name, schema, value);
                }
            }
            if let Some(schema) = rules.get("additionalProperties").filter(|_| !is_known) {
                is_known = true;
                self.below(name, schema, value);
            }
            if is_known {
                seen.fields.insert(name.clone());
            }
            if let Some(schema) = rules.get("propertyNames") {
                self.below(name, schema, &Value::String(name.clone()));
            }
        }
    }

    /// What fields need that are there.
    fn needs(&mut self, rules: &'s Rules, fields: &Rules, value: &Value, seen: &mut Seen) {
        let of = |keyword: &str| rules.get(keyword).and_then(Value::as_object);
        let needs = ["dependencies", "dependentRequired", "dependentSchemas"].into_iter().filter_map(of).flatten();
        for (name, need) in needs.filter(|(name, _)| fields.contains_key(*name)) {
            self.pay(1);
            match need {
                Value::Array(names) => {
                    let sentence = format!("is required with {name}");
                    names.iter().filter_map(Value::as_str).for_each(|other| self.require(fields, other, &sentence));
                }
                schema => seen.add(self.apply(schema, value)),
            }
        }
    }

    fn require(&mut self, fields: &Rules, name: &str, sentence: &str) {
        if !fields.contains_key(name) {
            self.path.push(name.to_owned());
            self.fault(sentence);
            self.path.pop();
        }
    }

    fn combined(&mut self, rules: &'s Rules, value: &Value, seen: &mut Seen) {
        let list = |keyword: &str| rules.get(keyword).and_then(Value::as_array);
        for schema in list("allOf").into_iter().flatten() {
            seen.add(self.apply(schema, value));
        }
        for (keyword, is_one) in [("anyOf", false), ("oneOf", true)] {
            let Some(schemas) = list(keyword) else { continue };
            let fitting: Vec<_> = schemas.iter().filter_map(|schema| self.fits(schema, value)).collect();
            let (fits, exactly) = (fitting.len(), if is_one { "exactly " } else { "" });
            self.fault_unless(if is_one { fits == 1 } else { fits > 0 }, || {
                format!("must fit {exactly}one of {} shapes, and fits {fits}", schemas.len())
            });
            fitting.into_iter().for_each(|one| seen.add(one));
        }
        if let Some(schema) = rules.get("not") {
            let fits = self.fits(schema, value).is_some();
            self.fault_unless(!fits, || "has a shape that is not allowed".into());
        }
        if let Some(condition) = rules.get("if") {
            let fits = self.fits(condition, value);
            let then = rules.get(if fits.is_some() { "then" } else { "else" });
            fits.into_iter().for_each(|one| seen.add(one));
            if let Some(schema) = then {
                seen.add(self.apply(schema, value));
            }
        }
    }

    fn unevaluated(&mut self, rules: &'s Rules, value: &Value, seen: &mut Seen) {
        if let (Some(schema), Value::Object(fields)) = (rules.get("unevaluatedProperties"), value) {
            for (name, value) in fields {
                if seen.fields.insert(name.clone()) {
                    self.below(name, schema, value);
                }
            }
        }
        if let (Some(schema), Value::Array(items)) = (rules.get("unevaluatedItems"), value) {
            for (n, item) in items.iter().enumerate() {
                if seen.items.insert(n) {
                    self.below(n.to_string(), schema, item);
                }
            }
        }
    }
}

fn is_of(word: &str, value: &Value) -> bool {
    match word {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => is_integer(value),
        _ => value.is_string(),
    }
}

/// A type as people say it.
fn named(word: &str) -> &str {
    match word {
        "object" => "an object",
        "array" => "an array",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        other => other,
    }
}

#[cfg(test)]
mod tests;
