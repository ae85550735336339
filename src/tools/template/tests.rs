//! What a URL becomes of an input, and what no URL may become.

use serde_json::json;

use super::*;

fn expand(template: &str, input: Value) -> Result<String, String> {
    let template = Template::parse(template).unwrap_or_else(|fault| panic!("{template}: {fault}"));
    template.expand(input.as_object().unwrap(), &[])
}

#[test]
fn places_are_filled_in_and_nothing_leaves_its_own() {
    for (template, input, url) in [
        ("https://h", json!({}), "https://h"),
        ("https://h/", json!({}), "https://h/"),
        ("https://h/a/{b}/c", json!({"b": "x"}), "https://h/a/x/c"),
        ("https://h/{a}{b}-{a}", json!({"a": 1, "b": true}), "https://h/1true-1"),
        ("https://h/{a}", json!({"a": "../../x?y#z&=/\\%2e"}), "https://h/..%2F..%2Fx%3Fy%23z%26%3D%2F%5C%252e"),
        ("https://h/{a}", json!({"a": "ä €\n\0"}), "https://h/%C3%A4%20%E2%82%AC%0A%00"),
        ("https://h/{a}", json!({"a": "-._~aZ09"}), "https://h/-._~aZ09"),
        ("https://h/{a}", json!({"a": "@evil.example:80"}), "https://h/%40evil.example%3A80"),
        ("https://h/{a}", json!({"a": 1.5e300}), "https://h/1.5e%2B300"),
        ("https://h/a{?x,y}", json!({"x": 1, "y": "b c"}), "https://h/a?x=1&y=b%20c"),
        ("https://h/a{?x,y}", json!({"y": false}), "https://h/a?y=false"),
        ("https://h/a{?x,y}", json!({"x": null}), "https://h/a"),
        ("https://h/a{?x}", json!({"x": ["a&b", 2, true]}), "https://h/a?x=a%26b&x=2&x=true"),
        ("https://h/a{?x}", json!({"x": []}), "https://h/a"),
        ("https://h{?x}", json!({"x": ""}), "https://h?x="),
        ("https://h/a?k=v{&x}", json!({"x": 1}), "https://h/a?k=v&x=1"),
        ("https://h/a?k=v{&x}", json!({}), "https://h/a?k=v"),
        ("https://h/a?k={x}&l=p-{y}-{z}", json!({"x": "=&", "y": 1}), "https://h/a?k=%3D%26&l=p-1-"),
        ("https://h/a?k={x}", json!({"x": [1, 2]}), "https://h/a?k=1&k=2"),
        ("https://h/a{?x}&k=v{&y,z}", json!({"x": 1, "z": 2}), "https://h/a?x=1&k=v&z=2"),
        ("https://h/a?flag&k=v", json!({"k": 1}), "https://h/a?flag&k=v"),
        ("https://h?a=/{b}", json!({"b": "c"}), "https://h?a=/c"),
    ] {
        assert_eq!(expand(template, input).unwrap(), url, "{template}");
    }
}

#[test]
fn a_segment_never_becomes_dots_or_nothing() {
    for (template, input) in [
        ("https://h/{a}", json!({"a": ""})),
        ("https://h/{a}", json!({"a": "."})),
        ("https://h/{a}/x", json!({"a": ".."})),
        ("https://h/{a}{b}", json!({"a": ".", "b": "."})),
        ("https://h/.{a}", json!({"a": "."})),
        ("https://h/%2E{a}", json!({"a": "."})),
        ("https://h/%2e{a}", json!({"a": ""})),
    ] {
        let fault = expand(template, input).unwrap_err();
        assert!(fault.starts_with('a') && fault.contains("must not be empty"), "{template}: {fault}");
    }
    assert_eq!(expand("https://h/{a}", json!({"a": "..."})).unwrap(), "https://h/...");
    assert_eq!(expand("https://h/a//./b", json!({})).unwrap(), "https://h/a//./b", "what its owner wrote stays");
}

#[test]
fn what_does_not_fit_is_named() {
    for (template, input, fault) in [
        ("https://h/{a}", json!({}), "a: is required in the URL"),
        ("https://h/{a}", json!({"a": null}), "a: is required in the URL"),
        ("https://h/{a}", json!({"a": ["x"]}), "a: must be a string, a number or a boolean here"),
        ("https://h/{a}", json!({"a": {}}), "a: must be a string, a number or a boolean here"),
        ("https://h/{?a}", json!({"a": {}}), "a: must be a string, a number or a boolean here"),
        ("https://h/{?a}", json!({"a": [[1]]}), "a: must be a string, a number or a boolean here"),
        ("https://h/?k=x{a}", json!({"a": [1]}), "a: must be a string, a number or a boolean here"),
    ] {
        assert_eq!(expand(template, input).unwrap_err(), fault, "{template}");
    }
}

#[test]
fn further_pairs_follow_the_query() {
    let further = json!({"x y": [1, "a&b"], "n": null});
    let further: Vec<_> = further.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)).collect();
    for (template, url) in
        [("https://h/a", "https://h/a?x%20y=1&x%20y=a%26b"), ("https://h/a?k=v", "https://h/a?k=v&x%20y=1&x%20y=a%26b")]
    {
        assert_eq!(Template::parse(template).unwrap().expand(&Map::new(), &further).unwrap(), url);
    }
    assert_eq!(form(&further).unwrap(), "x%20y=1&x%20y=a%26b");
    assert!(form(&[("a", &json!({}))]).is_err());
}

#[test]
fn a_place_is_in_a_path_or_a_value_and_nowhere_else() {
    for wrong in [
        "",
        "h/a",
        "{s}://h/a",
        "https://{h}/a",
        "https://h{a}/b",
        "https://h:{p}/a",
        "https://h/{a",
        "https://h/a}",
        "https://h/{}",
        "https://h/{a b}",
        "https://h/{a,b}",
        "https://h/{+a}",
        "https://h/{?a",
        "https://h/{?a,}",
        "https://h/{?a}{?b}",
        "https://h/?a=b{?c}",
        "https://h/?{a}=b",
        "https://h/?{a}",
        "https://h/?a={b",
        "https://h/?a=b}",
        "https://h/?a={&b}c}",
    ] {
        assert!(Template::parse(wrong).is_err(), "{wrong}");
    }
    let named = |bytes: usize| Template::parse(&format!("https://h/{{{}}}", "a".repeat(bytes))).is_ok();
    assert_eq!([NAME_BYTES_MAX - 1, NAME_BYTES_MAX, NAME_BYTES_MAX + 1].map(named), [true, true, false]);
}

#[test]
fn a_template_knows_its_places() {
    let template = Template::parse("https://h/{a}/x{b}?k={c}&l=m{&d,e}").unwrap();
    assert_eq!(template.names().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
}
