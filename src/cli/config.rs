//! `alm config show`: each setting of a server that was started now, and where it comes from.

use clap::{Arg, ArgMatches, parser::ValueSource};
use serde_json::{Value, json};

use super::{globals::Globals, text::table};
use crate::error::{Error, Result};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    /// Show each setting of `alm serve`, its value, and where it comes from
    Show,
}

/// A setting.
struct Setting {
    flag: String,
    value: Option<String>,
    /// A variable, or `default`.
    from: String,
}

impl Config {
    /// `command` is the command line as it is read here, with its variables.
    pub(super) fn run(self, globals: &Globals, command: clap::Command) -> Result<()> {
        let Config::Show = self;
        let matches = command.clone().try_get_matches_from(["alm", "serve"]).map_err(|error| {
            // The sentence names the variable's flag.
            let text = error.to_string();
            Error::failed(text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
        })?;
        let (_, serving) = matches.subcommand().ok_or_else(|| Error::internal("serve is no command"))?;
        let serve = command.find_subcommand("serve").ok_or_else(|| Error::internal("serve is no command"))?;
        let flags = command.get_arguments().filter(|flag| flag.get_id() != "json").chain(serve.get_arguments());
        let settings: Vec<_> = flags.filter_map(|flag| Setting::of(flag, serving)).collect();
        globals.report(
            || settings.iter().map(Setting::json).collect(),
            || table(&["SETTING", "VALUE", "FROM"], &settings.iter().map(Setting::row).collect::<Vec<_>>()),
        );
        Ok(())
    }
}

impl Setting {
    fn of(flag: &Arg, given: &ArgMatches) -> Option<Self> {
        let long = flag.get_long().filter(|long| !["help", "version"].contains(long))?;
        let id = flag.get_id().as_str();
        let variable = format!("ALM_{}", long.replace('-', "_").to_uppercase());
        let is_from_variable = std::env::var_os(&variable).is_some_and(|value| !value.is_empty());
        let raw = given.get_raw(id).map(|values| values.map(|value| value.to_string_lossy().into_owned()));
        let value = raw.map(|values| values.collect::<Vec<_>>().join(", ")).filter(|value| !value.is_empty());
        let from = match given.value_source(id) {
            Some(ValueSource::EnvVariable) => variable,
            // A value with white space around it stands in as a default.
            Some(ValueSource::DefaultValue) if is_from_variable => variable,
            _ => "default".into(),
        };
        Some(Setting { flag: format!("--{long}"), value: value.map(without_password), from })
    }

    fn row(&self) -> Vec<String> {
        vec![self.flag.clone(), self.value.clone().unwrap_or_else(|| "-".into()), self.from.clone()]
    }

    fn json(&self) -> Value {
        json!({ "flag": self.flag, "value": self.value, "from": self.from })
    }
}

/// An address without whoever signs in there.
fn without_password(value: String) -> String {
    match value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (_, place))) => format!("{scheme}://…@{place}"),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signs_in_at_a_proxy_is_not_shown() {
        assert_eq!(without_password("http://ada:secret@proxy:3128".into()), "http://…@proxy:3128");
        assert_eq!(without_password("http://proxy:3128/@".into()), "http://…@");
        assert_eq!(without_password("127.0.0.1:2560".into()), "127.0.0.1:2560");
    }
}
