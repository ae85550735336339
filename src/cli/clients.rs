//! `alm clients`: how the commonest clients are connected, ready to copy.
//!
//! Rule: the texts are the page's, from one file. A key is a secret and no argument, so a placeholder stands in its place.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{globals::Globals, text::table};
use crate::error::{Error, Result};

/// What the page shows for each agent.
const CLIENTS: &str = include_str!("../http/page/files/lib/clients.json");
/// In the place of a key.
const KEY: &str = "alm_live_YOUR_KEY";

#[derive(Debug, clap::Args)]
pub(super) struct Clients {
    /// Only this one, such as codex: its text alone
    client: Option<String>,
    /// Where clients reach the server
    #[arg(long, alias = "base-url", default_value = "http://127.0.0.1:2560")]
    url: String,
    /// The agent's slug, or a provider's model
    #[arg(long, value_name = "MODEL", default_value = "ala")]
    agent: String,
}

/// How one client is connected.
#[derive(Debug, Deserialize)]
struct Client {
    slug: String,
    name: String,
    /// Where its text goes.
    file: String,
    /// Lines, with the names of values in braces.
    text: Vec<String>,
}

impl Clients {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let clients: Vec<Client> = serde_json::from_str(CLIENTS).map_err(Error::internal)?;
        let values = values(&self.url, &self.agent);
        let chosen = |client: &&Client| self.client.as_ref().is_none_or(|slug| *slug == client.slug);
        let chosen: Vec<&Client> = clients.iter().filter(chosen).collect();
        if chosen.is_empty() {
            let slugs: Vec<&str> = clients.iter().map(|client| client.slug.as_str()).collect();
            return Err(Error::failed(format!("no client is called so: there are {}", slugs.join(", "))));
        }
        let to_json = |client: &&Client| json!({ "slug": client.slug, "name": client.name, "file": client.file, "text": filled(client, &values) });
        globals.print(
            || chosen.iter().map(to_json).collect(),
            || match (&self.client, &chosen[..]) {
                (Some(_), [one]) => filled(one, &values),
                _ => all(&chosen, &values),
            },
        )
    }
}

/// What stands for the names in braces.
fn values(url: &str, model: &str) -> BTreeMap<&'static str, String> {
    let scheme = if url.contains("://") { "" } else { "http://" };
    let url = url.trim_end_matches('/').trim_end_matches("/v1");
    let origin = format!("{scheme}{url}");
    [("baseUrl", format!("{origin}/v1")), ("origin", origin), ("key", KEY.to_owned()), ("model", model.to_owned())]
        .into()
}

fn filled(client: &Client, values: &BTreeMap<&str, String>) -> String {
    let fill = |text: String, (name, value): (&&str, &String)| text.replace(&format!("{{{name}}}"), value);
    values.iter().fold(client.text.join("\n"), fill)
}

/// What any client asks for, then each of those there are.
fn all(clients: &[&Client], values: &BTreeMap<&str, String>) -> String {
    let rows = [("Base URL", "baseUrl"), ("API key", "key"), ("Model", "model")];
    let rows: Vec<_> = rows.iter().map(|(label, name)| vec![(*label).to_owned(), values[name].clone()]).collect();
    let heads = table(&["ANY CLIENT", ""], &rows);
    let one = |client: &&Client| format!("# {}: {}\n\n{}", client.name, client.file, filled(client, values));
    let texts = clients.iter().map(one);
    std::iter::once(heads).chain(texts).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_filled_whatever_the_address_is_written_like() {
        let clients: Vec<Client> = serde_json::from_str(CLIENTS).unwrap();
        assert_eq!(clients.len(), 5);
        for url in ["http://alm.example:1", "http://alm.example:1/", "alm.example:1", "http://alm.example:1/v1/"] {
            let values = values(url, "ada");
            assert_eq!((&*values["origin"], &*values["baseUrl"]), ("http://alm.example:1", "http://alm.example:1/v1"));
            for client in &clients {
                let text = filled(client, &values);
                for (name, value) in [("{origin}", "http://alm.example:1"), ("{key}", KEY), ("{model}", "ada")] {
                    assert!(!text.contains(name) && text.contains(value), "{}: {text}", client.slug);
                }
            }
        }
    }
}
