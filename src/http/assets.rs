//! Files that are baked into the binary, as answers: compressed once, kept by browsers for as long as they are the same.
//!
//! A large file lies in its folder compressed already, as `NAME.gz`, and is served as `NAME`: the binary is smaller by the rest.
//! A folder has one version, the hash of all that is in it. A page names its files below it (`/_page/VERSION/settings.js`), and they
//! name each other from there, so whoever comes back asks for the page alone, and never has files of two binaries.
//!
//! What people alone read in our own pages, styles and scripts stays in the repository: comments, types and indentation, a quarter.
//! It goes line by line, so no text or template of ours spans lines; the tests of the pages compare what a compiler and a browser
//! make of either.
//!
//! Rule: a file is looked up by its exact name, so no request can reach outside the folder.
//! Rule: only what is asked for by today's version is kept unasked; a page, and a file by its bare name, are revalidated by ETag.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use include_dir::Dir;
use poem::{
    Request, Response,
    error::NotFoundError,
    http::{HeaderMap, StatusCode, header},
};
use sha2::{Digest, Sha256};

/// How a script of ours begins.
const OUR_SCRIPT: &str = "// @ts-check";
/// How a type begins that stands in a line of code.
const TYPE: &str = "/** @";
/// Signs that need no space beside them in a script.
const SIGNS: &[char] = &['{', '}', '(', ')', '[', ']', ',', ';', ':', '=', '<', '>', '&', '|', '?'];
/// Hexadecimal digits of a version.
const VERSION_DIGITS: usize = 16;
/// What a browser may keep without asking again.
const KEPT: &str = "public, max-age=31536000, immutable";

/// One folder of baked-in files.
pub struct Assets {
    version: String,
    files: BTreeMap<&'static str, Asset>,
}

struct Asset {
    content_type: &'static str,
    etag: String,
    plain: Bytes,
    /// `None` where it would not be shorter.
    gzip: Option<Bytes>,
}

impl Assets {
    /// Compresses everything in the folder: worth a `LazyLock`, so that only a process that serves it pays. Its pages name their
    /// files below `prefix`.
    pub fn new(dir: &'static Dir, prefix: &str) -> Self {
        let version = version(dir);
        let mut files = BTreeMap::new();
        collect(dir, prefix, &format!("{prefix}{version}/"), &mut files);
        Assets { version, files }
    }

    /// The file of this name, which may stand below a version, or 304 where the browser has it. A page of another binary gets the file
    /// that there is today.
    pub fn answer(&self, name: &str, request: &Request) -> Result<Response, NotFoundError> {
        let (version, name) = name.split_once('/').filter(|(first, _)| is_version(first)).unwrap_or(("", name));
        let asset = self.files.get(name).ok_or(NotFoundError)?;
        let response = Response::builder()
            .header(header::ETAG, &asset.etag)
            .header(header::CACHE_CONTROL, if version == self.version { KEPT } else { "no-cache" })
            .header(header::VARY, "accept-encoding");
        if names_etag(request.headers(), &asset.etag) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = response.content_type(asset.content_type);
        Ok(match &asset.gzip {
            Some(gzip) if accepts_gzip(request.headers()) => {
                response.header(header::CONTENT_ENCODING, "gzip").body(gzip.clone())
            }
            _ => response.body(asset.plain.clone()),
        })
    }
}

/// Hashes all names and contents.
fn version(dir: &'static Dir) -> String {
    fn feed(dir: &'static Dir, hasher: &mut Sha256) {
        for file in dir.files() {
            hasher.update(file.path().as_os_str().as_encoded_bytes());
            hasher.update(Sha256::digest(file.contents()));
        }
        dir.dirs().for_each(|inner| feed(inner, hasher));
    }
    let mut hasher = Sha256::new();
    feed(dir, &mut hasher);
    hex(&hasher.finalize())
}

/// As much of a hash as tells files apart.
fn hex(hash: &[u8]) -> String {
    hash[..VERSION_DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_version(name: &str) -> bool {
    name.len() == VERSION_DIGITS && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn collect(dir: &'static Dir, prefix: &str, below: &str, files: &mut BTreeMap<&'static str, Asset>) {
    for file in dir.files() {
        let name = file.path().to_str().expect("our own file names are UTF-8");
        match (name.strip_suffix(".gz"), file.contents_utf8()) {
            (Some(name), _) => files.insert(name, Asset::packed(name, file.contents())),
            (None, Some(text)) if name.ends_with(".html") => {
                let page = whole(dir, text).replace(&format!("\"{prefix}"), &format!("\"{below}"));
                files.insert(name, Asset::plain(name, lines(&page).into()))
            }
            (None, Some(text)) => files.insert(name, Asset::plain(name, served(name, text).into())),
            _ => files.insert(name, Asset::plain(name, Bytes::from_static(file.contents()))),
        };
    }
    for inner in dir.dirs() {
        collect(inner, prefix, below, files);
    }
}

/// A page with what stands in a file of its own, since all pages have it.
fn whole(dir: &Dir, page: &str) -> String {
    let head = dir.get_file("head.html").and_then(|file| file.contents_utf8()).unwrap_or_default();
    page.replace("<!-- head.html -->", head)
}

/// What browsers read of a file.
pub(in crate::http) fn served(name: &str, text: &str) -> String {
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

impl Asset {
    fn plain(name: &str, plain: Bytes) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).expect("writing to memory");
        let gzip = (gzip.len() < plain.len()).then(|| gzip.into());
        Asset::new(name, plain, gzip)
    }

    fn packed(name: &str, gzip: &'static [u8]) -> Self {
        let mut plain = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut plain).expect("our own files are whole");
        Asset::new(name, plain.into(), Some(Bytes::from_static(gzip)))
    }

    fn new(name: &str, plain: Bytes, gzip: Option<Bytes>) -> Self {
        let hash = hex(&Sha256::digest(&plain));
        // Weak, since it stands for both encodings.
        Asset { content_type: content_type(name), etag: format!("W/\"{hash}\""), plain, gzip }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}

fn names_etag(headers: &HeaderMap, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").to_owned();
    items(headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || bare(tag) == bare(etag))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    items(headers, header::ACCEPT_ENCODING).any(|item| {
        let (coding, quality) = item.split_once(';').unwrap_or((item, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        matches!(coding.trim(), "gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static DIR: Dir = include_dir::include_dir!("$CARGO_MANIFEST_DIR/src/http/docs/files");
    static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets::new(&DIR, "/docs/"));

    fn try_ask(name: &str, headers: &[(&str, &str)]) -> Result<Response, NotFoundError> {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        ASSETS.answer(name, &request.finish())
    }

    fn ask(name: &str, headers: &[(&str, &str)]) -> Response {
        try_ask(name, headers).unwrap()
    }

    async fn assert_both_ways(name: &str, content_type: &str) {
        let plain = ask(name, &[]);
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.content_type(), Some(content_type));
        let packed = ask(name, &[("accept-encoding", "br, gzip;q=0.5")]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.content_type(), Some(content_type));
        assert_eq!(packed.header("etag"), plain.header("etag"));
        let (plain, packed) =
            (plain.into_body().into_bytes().await.unwrap(), packed.into_body().into_bytes().await.unwrap());
        assert!(packed.len() < plain.len());
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    #[tokio::test]
    async fn a_file_is_the_same_with_and_without_gzip() {
        assert_both_ways("docs.css", "text/css; charset=utf-8").await;
    }

    #[tokio::test]
    async fn a_file_that_is_kept_packed_is_served_as_any_other() {
        assert_both_ways("swagger-ui/swagger-ui.css", "text/css; charset=utf-8").await;
        assert_both_ways("swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8").await;
        let plain = ask("swagger-ui/swagger-ui-bundle.js", &[]).into_body().into_bytes().await.unwrap();
        assert!(plain.starts_with(b"/*! For license information please see swagger-ui-bundle.js.LICENSE.txt */"));
        assert!(try_ask("swagger-ui/swagger-ui-bundle.js.gz", &[]).is_err());
    }

    #[test]
    fn gzip_is_sent_only_to_those_who_take_it() {
        for (accept, packed) in [("gzip", true), ("*", true), ("gzip;q=0", false), ("br", false), ("xgzip", false)] {
            let answer = ask("index.html", &[("accept-encoding", accept)]);
            assert_eq!(answer.header("content-encoding").is_some(), packed, "{accept}");
        }
    }

    #[test]
    fn a_file_the_browser_has_is_not_sent_again() {
        let etag = ask("docs.js", &[]).header("etag").unwrap().to_owned();
        for known in [etag.clone(), format!("\"other\", {etag}"), "*".into()] {
            assert_eq!(ask("docs.js", &[("if-none-match", &known)]).status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(ask("docs.css", &[("if-none-match", &etag)]).status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_names_its_files_below_the_version_and_only_there_they_are_kept() {
        let page = ask("index.html", &[]);
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let page = page.into_body().into_string().await.unwrap();
        let version = ASSETS.version.clone();
        assert!(is_version(&version) && page.contains(&format!("\"/docs/{version}/docs.js\"")), "{page}");
        assert!(page.contains("\"/_page/icon.svg\""), "what is of another folder is named as it was: {page}");
        let other = "0123456789abcdef";
        for (name, kept) in [
            (format!("{version}/docs.js"), KEPT),
            (format!("{version}/swagger-ui/LICENSE"), KEPT),
            ("docs.js".into(), "no-cache"),
            (format!("{other}/docs.js"), "no-cache"),
        ] {
            assert_eq!(ask(&name, &[]).header("cache-control"), Some(kept), "{name}");
        }
        assert!(try_ask(&format!("{version}/{version}/docs.js"), &[]).is_err());
        assert!(try_ask(&format!("{version}0/docs.js"), &[]).is_err());
    }

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

    #[tokio::test]
    async fn a_licence_is_served_as_it_came() {
        let served = ask("swagger-ui/swagger-ui-bundle.js", &[]).into_body().into_string().await.unwrap();
        assert!(served.starts_with("/*! For license"), "{}", &served[..80]);
        let ours = ask("docs.js", &[]).into_body().into_string().await.unwrap();
        assert!(!ours.contains("@ts-check") && ours.starts_with("import{"), "{ours}");
    }

    #[test]
    fn only_the_folder_is_served() {
        for name in ["", "nope.js", "../mod.rs", "swagger-ui", "/index.html"] {
            assert!(try_ask(name, &[]).is_err(), "{name:?}");
        }
        assert!(try_ask("swagger-ui/LICENSE", &[]).is_ok());
    }
}
