//! What is served of our own pages, styles and scripts: all that a browser reads. What people alone read stays in the repository:
//! comments, types, indentation and spaces that part nothing, a fifth of it.
//!
//! Rule: it goes line by line, so no text or template of ours spans lines. The tests of the pages compare what a compiler and a
//! browser make of either.
//! Deliberately absent: names made shorter, lines joined. What is served can be read.

/// How a script of ours begins.
const OUR_SCRIPT: &str = "// @ts-check";
/// How a type begins that stands in a line of code.
const TYPE: &str = "/** @";
/// Signs that need no space beside them in a script.
const SIGNS: &[char] = &['{', '}', '(', ')', '[', ']', ',', ';', ':', '=', '<', '>', '&', '|', '?'];
/// What browsers read of a file.
pub fn served(name: &str, text: &str) -> String {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") if text.starts_with(OUR_SCRIPT) => script(text),
        Some("css") => style(text),
        Some("html" | "json") => lines(text),
        _ => text.into(),
    }
}

/// A text without indentation and empty lines.
fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A style without comments, and without the spaces that only part its signs.
fn style(text: &str) -> String {
    let code: String = text
        .split("/*")
        .enumerate()
        .map(|(at, piece)| if at == 0 { piece } else { piece.split_once("*/").map_or("", |(_, rest)| rest) })
        .collect();
    [("; ", ";"), (": ", ":"), (", ", ","), (" { ", "{"), (" {", "{"), (";}", "}"), (" }", "}"), (";}", "}")]
        .iter()
        .fold(lines(&code), |code, (long, short)| code.replace(long, short))
}

/// A script without what are comments and nothing else, without its types, and without the spaces that only part its signs.
fn script(text: &str) -> String {
    let mut inside = false;
    let is_code = |line: &&str| {
        let text = line.trim();
        let opens = text.starts_with("/**");
        // A cast begins a line as a comment does, and ends before what is cast.
        let is_comment = (inside || opens) && text.find("*/").is_none_or(|end| end + 2 == text.len());
        inside = (inside || opens) && !text.contains("*/");
        !(is_comment || text.starts_with("//"))
    };
    text.lines()
        .filter(is_code)
        .map(tight)
        .filter(|line| !line.is_empty())
        .flat_map(|line| [line, "\n".into()])
        .collect()
}

/// A line of a script: texts, templates and patterns as they are, everything else as tight as it may stand.
fn tight(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '\'' | '`' => literal_end(rest),
            '/' if rest.starts_with("//") => return code.trim_end().into(),
            '/' if rest.starts_with(TYPE) => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '/' if begins_pattern(&code) => literal_end(rest),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        let is_idle = token.starts_with(TYPE) || token == " " && (code.ends_with(SIGNS) || rest.starts_with(SIGNS));
        if !is_idle {
            code += token;
        }
    }
    code
}

/// Whether a slash after this code begins a pattern: nothing stands there that could be divided.
fn begins_pattern(code: &str) -> bool {
    let code = code.trim_end();
    code.is_empty()
        || code.ends_with(['(', ',', '=', ':', '[', '!', '&', '|', '?', '{', ';', '>'])
        || code.ends_with("return")
}

/// Where the text, the template or the pattern ends that this begins with.
fn literal_end(code: &str) -> usize {
    let mut signs = code.char_indices();
    let close = signs.next().map(|(_, sign)| sign);
    let mut depth = 0_usize;
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            '{' if close == Some('`') && (depth > 0 || code[..at].ends_with('$')) => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '[' if close == Some('/') && depth == 0 => depth = 1,
            ']' if close == Some('/') => depth = 0,
            sign if Some(sign) == close && depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_types_and_idle_spaces_of_our_scripts_are_not_served_and_nothing_else_of_them_is_missing() {
        let script = "// @ts-check\n\n/**\n * What it does.\n */\nf(\"// text\"); // why\n  // more\n  /** @type {X} */\n  g(/** @type {Y} */ (x));\n  /** @type {Z} */ (z).y = 1;\n/x*/.y;\n";
        assert_eq!(served("a.js", script), "f(\"// text\");\ng((x));\n(z).y=1;\n/x*/.y;\n");
        assert_eq!(served("a.js", &script[1..]), script[1..], "a script of others is served as it is");
        assert_eq!(served("LICENSE", script), script);
    }

    #[test]
    fn texts_templates_and_patterns_of_a_script_keep_their_spaces() {
        for (line, short) in [
            ("  const a = { b: c, d } = \"x = { y }\";", "const a={b:c,d}=\"x = { y }\";"),
            (r#"a("\" , ", ', \\', ' , ')"#, r#"a("\" , ",', \\',' , ')"#),
            ("f(`a , ${b ? `c , ${d}` : \"e , `\"} , f`, g)", "f(`a , ${b ? `c , ${d}` : \"e , `\"} , f`,g)"),
            ("x.replace(/[/ , ]+ , \\/ , /g, y)", "x.replace(/[/ , ]+ , \\/ , /g,y)"),
            ("a = b / c, d = e / f", "a=b / c,d=e / f"),
            ("return /a , b/.test(c) || d", "return /a , b/.test(c)||d"),
            ("a = b + +c - -d", "a=b + +c - -d"),
            ("for (const a of b) if (c in d) return typeof e;", "for(const a of b)if(c in d)return typeof e;"),
            ("x => \"ä , …\"", "x=>\"ä , …\""),
        ] {
            assert_eq!(tight(line), short);
        }
    }

    #[test]
    fn a_style_a_page_and_a_table_are_served_without_what_only_parts_them() {
        let style = "/* Why.\n   More. */\na b, c { color: red; margin: 0 1px; }\n@media (width: 1px) {\n  p > a::before { content: \"…\" }\n}\n";
        assert_eq!(
            served("a.css", style),
            "a b,c{color:red;margin:0 1px}\n@media (width:1px){\np > a::before{content:\"…\"}\n}\n"
        );
        assert_eq!(served("a.html", "<p>\n\n  One two\n</p>\n"), "<p>\nOne two\n</p>\n");
        assert_eq!(served("a.json", "{\n  \"a\": \"  b\"\n}\n"), "{\n\"a\": \"  b\"\n}\n");
    }
}
