//! Files that are baked into the binary, as answers: compressed once, kept by browsers for as long as they are the same.
//!
//! A large file lies in its folder compressed already, as `NAME.gz`, and is served as `NAME`: the binary is smaller by the rest.
//! A folder has one version, the hash of all that is in it. A page names its files below it (`/_page/VERSION/settings.js`), and they
//! name each other from there, so whoever comes back asks for the page alone, and never has files of two binaries.
//!
//! Rule: a file is looked up by its exact name, so no request can reach outside the folder.
//! Rule: only what is asked for by today's version is kept unasked; a page, and a file by its bare name, are revalidated by ETag.

mod served;

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

pub(in crate::http) use self::served::served;

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
                files.insert(name, Asset::plain(name, served(name, &page).into()))
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
