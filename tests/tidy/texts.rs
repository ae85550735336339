//! The texts that people read: how long the README is, that it leads to every page, and that no link is dead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{
    none,
    source::{files, root},
};

/// Longest README, in lines: who looks in decides on its first screens.
const README_LINES_MAX: usize = 250;

/// The texts by their paths.
type Texts = BTreeMap<PathBuf, String>;

fn texts() -> Texts {
    let beside = fs::read_dir(root()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let beside = beside.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(root().join(path)).unwrap());
    beside.chain(files(&["docs", "examples"], "md")).map(read).collect()
}

/// The lines of a text that are no code, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let outside = |(_, line): &(usize, &str)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    };
    (1..).zip(text.lines()).filter(outside).collect()
}

/// What a text links to, and the pictures that it shows.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (mark, end) in [("](", ')'), ("src=\"", '"')] {
            let ends = line.split(mark).skip(1).filter_map(|rest| rest.split(end).next());
            found.extend(ends.filter(|link| !link.contains("://")).map(|link| (number, link)));
        }
    }
    found
}

/// The names by which a text's headings are linked to, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    let headings = headings.filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' '));
    let kept = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    };
    headings.map(|heading| heading.to_lowercase().chars().filter_map(kept).collect()).collect()
}

/// Where a link of a text leads, from the root of the repository; the text itself where it names a heading alone.
fn target(from: &Path, link: &str) -> PathBuf {
    if link.is_empty() {
        return from.to_owned();
    }
    let mut path = PathBuf::new();
    for part in from.parent().unwrap_or(Path::new("")).join(link).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{link} leads out of the repository"),
            part => path.push(part),
        }
    }
    path
}

/// Links that lead nowhere.
fn dead(texts: &Texts, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, text) in texts {
        for (line, link) in links(text) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let path = target(from, file);
            let found = match anchor {
                Some(anchor) => texts.get(&path).is_some_and(|text| anchors(text).contains(anchor)),
                None => exists(&path),
            };
            if !found {
                wrong.push(format!("{}:{line}: nothing is at {link}", from.display()));
            }
        }
    }
    wrong
}

/// Pages to which the README has no link.
fn unreached(texts: &Texts) -> Vec<String> {
    let readme = Path::new("README.md");
    let reached: BTreeSet<_> = links(&texts[readme]).into_iter().map(|(_, link)| target(readme, link)).collect();
    let left = texts.keys().filter(|path| path.starts_with("docs") && !reached.contains(*path));
    left.map(|path| format!("{}:1: README.md does not lead here", path.display())).collect()
}

#[test]
fn the_readme_is_short() {
    let lines = texts()[Path::new("README.md")].lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, at most {README_LINES_MAX}");
}

#[test]
fn no_link_is_dead_and_the_readme_leads_to_every_page() {
    let texts = texts();
    none(dead(&texts, |path| root().join(path).exists()));
    none(unreached(&texts));
}

#[test]
fn dead_links_and_lost_pages_are_found() {
    let texts = |readme: &str| {
        let page = "# A page\n\n## With `code`, twice\n\n```sh\n# no heading\n[no](link)\n```\n[up](../README.md)\n";
        Texts::from([("README.md".into(), readme.to_owned()), ("docs/a.md".into(), page.to_owned())])
    };
    let of = |readme: &str| dead(&texts(readme), |path| texts(readme).contains_key(path) || path == "x.png");
    let good = "# R\n[a](docs/a.md#with-code-twice) [b](#r) <img src=\"x.png\"> [c](https://example.com/nope)";
    assert_eq!(of(good), Vec::<String>::new());
    assert_eq!(unreached(&texts("[a](docs/a.md)")), Vec::<String>::new());
    assert_eq!(of("\n[a](docs/b.md)"), ["README.md:2: nothing is at docs/b.md"]);
    assert_eq!(of("[a](docs/a.md#no-heading)"), ["README.md:1: nothing is at docs/a.md#no-heading"]);
    assert_eq!(of("<img src=\"y.png\">"), ["README.md:1: nothing is at y.png"]);
    assert_eq!(unreached(&texts("")), ["docs/a.md:1: README.md does not lead here"]);
}
