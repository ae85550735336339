//! `alm mcp add`: what is typed, as a server.
//!
//! Rule: no secret is an argument, others see it in the process list. One comes from a file or from a variable; what only looks
//! like one is refused with the flag that takes it.

use std::path::{Path, PathBuf};

use super::entry::{is_secret_name, variables};
use crate::{
    cli::{
        reach::Reach,
        text::{read_secret, read_text},
    },
    error::{Error, Result},
    secret::{Secret, trimmed},
    store::mcp::Approval,
    tools::{
        connect::{NewServer, Place, ServerChange},
        secrets::NewSecret,
    },
};

/// What is said of a secret that stands in the command line.
pub(super) const NO_ARGUMENT: &str =
    "A secret is no argument, others see it in the process list: use --bearer-env, --bearer-file or --env-from.";
const SSE: &str =
    "SSE is deprecated and not spoken here: give the server's Streamable HTTP address, with --transport http";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Add {
    /// The organization's slug
    #[arg(long)]
    pub(super) org: String,
    /// What the server is called here, 1 to 24 of a-z, 0-9 and -; its tools' names begin with it
    pub(super) name: String,
    /// The URL of its MCP endpoint
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// How it is reached: http (Streamable HTTP)
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<String>,
    /// A header of its requests that is no secret; repeat for more
    #[arg(long = "header", value_name = "K: V")]
    headers: Vec<String>,
    /// The variable of the server's environment that holds its bearer token; nothing is stored
    #[arg(long, value_name = "VARIABLE", conflicts_with = "bearer_file")]
    bearer_env: Option<String>,
    /// A file with its bearer token, which is stored sealed
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<PathBuf>,
    /// A header that is a secret, from a variable of the server's environment or from a file; repeat for more
    #[arg(long = "secret-header", value_name = "K=env:VARIABLE|K=file:FILE")]
    secret_headers: Vec<String>,
    /// A variable of its environment that is no secret; repeat for more
    #[arg(short = 'e', value_name = "K=V")]
    env: Vec<String>,
    /// A variable of its environment that is taken from the server's; repeat for more
    #[arg(long, value_name = "VARIABLE")]
    env_from: Vec<String>,
    /// A file of lines K=V with variables of its environment, which are stored sealed
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// The folder that it runs in; one of its own in the data folder by default
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// What its tools ask before they run: never, ask, owner, or hints for what they say of themselves
    #[arg(long, value_name = "POLICY", value_parser = approval)]
    approval: Option<Approval>,
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Accept its tools as they are, without asking
    #[arg(long)]
    pub(super) yes: bool,
    /// The command that it is, after --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn approval(text: &str) -> Result<Approval, String> {
    Approval::parse(text).ok_or_else(|| "must be never, ask, owner or hints".to_owned())
}

impl Add {
    /// The server that was meant.
    pub(super) fn server(&self) -> Result<NewServer> {
        let secrets = match self.url {
            Some(_) => self.headers_secret()?,
            None => self.environment()?,
        };
        let place = match (&self.url, &*self.command) {
            (Some(url), _) => Place::Url(self.of_url(url)?),
            (None, [command, args @ ..]) => self.of_command(command, args)?,
            (None, []) => return Err(Error::failed("give a URL, or -- and a command")),
        };
        let headers = self.headers.iter().map(|text| header(text)).collect::<Result<Vec<_>>>()?;
        let more = ServerChange {
            headers: self.url.is_some().then_some(headers),
            secrets: Some(secrets),
            approval: self.approval,
            ..ServerChange::default()
        };
        Ok(NewServer { slug: self.name.clone(), place, more })
    }

    fn of_url(&self, url: &str) -> Result<String> {
        match self.transport.as_deref() {
            None | Some("http" | "streamable-http") => {}
            Some("sse") => return Err(Error::invalid("--transport", SSE)),
            Some(other) => return Err(Error::invalid("--transport", format!("{other} is not known: a URL is http"))),
        }
        if !self.env.is_empty() || !self.env_from.is_empty() || self.env_file.is_some() || self.cwd.is_some() {
            return Err(Error::failed("-e, --env-from, --env-file and --cwd are for a command: a URL takes --header"));
        }
        Ok(url.to_owned())
    }

    fn of_command(&self, command: &str, args: &[String]) -> Result<Place> {
        if self.transport.as_deref().is_some_and(|transport| transport != "stdio") {
            return Err(Error::invalid("--transport", "a command is stdio"));
        }
        let has_headers = !self.headers.is_empty() || !self.secret_headers.is_empty();
        if has_headers || self.bearer_env.is_some() || self.bearer_file.is_some() {
            let sentence = "--header, --bearer-env, --bearer-file and --secret-header are for a URL: a command takes -e, --env-from and --env-file";
            return Err(Error::failed(sentence));
        }
        let cwd = self.cwd.as_deref().map(folder).transpose()?;
        Ok(Place::Command { command: command.to_owned(), args: args.to_vec(), cwd })
    }

    fn headers_secret(&self) -> Result<Vec<(String, NewSecret)>> {
        let mut secrets = Vec::new();
        if let Some(variable) = &self.bearer_env {
            secrets.push(("authorization".to_owned(), NewSecret::Bearer(variable.clone())));
        }
        if let Some(file) = &self.bearer_file {
            let token = secret_in(file)?;
            secrets.push(("authorization".to_owned(), NewSecret::Text(Secret::new(format!("Bearer {token}")))));
        }
        for text in &self.secret_headers {
            let (name, source) = text.split_once('=').unwrap_or((text, ""));
            let secret = match source.split_once(':') {
                Some(("env", variable)) => NewSecret::Variable(variable.to_owned()),
                Some(("file", file)) => NewSecret::Text(Secret::new(secret_in(Path::new(file))?)),
                _ => return Err(Error::invalid("--secret-header", "must be K=env:VARIABLE or K=file:FILE")),
            };
            secrets.push((name.trim().to_owned(), secret));
        }
        Ok(secrets)
    }

    fn environment(&self) -> Result<Vec<(String, NewSecret)>> {
        let mut secrets = match &self.env_file {
            Some(file) => {
                let unreadable = |why| Error::failed(format!("{}: {why}", file.display()));
                variables(&read_text(file)?).map_err(unreadable)?
            }
            None => Vec::new(),
        };
        for text in &self.env {
            let (name, value) = text.split_once('=').ok_or_else(|| Error::invalid("-e", "must be K=V"))?;
            if is_secret_name(name) {
                return Err(Error::failed(NO_ARGUMENT));
            }
            secrets.push((name.to_owned(), NewSecret::Text(Secret::new(value))));
        }
        secrets.extend(self.env_from.iter().map(|name| (name.clone(), NewSecret::Variable(name.clone()))));
        Ok(secrets)
    }
}

/// A header that is no secret.
fn header(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once(':').ok_or_else(|| Error::invalid("--header", "must be K: V"))?;
    let name = name.trim();
    let is_credential =
        ["authorization", "proxy-authorization", "cookie"].iter().any(|known| name.eq_ignore_ascii_case(known));
    if is_credential || is_secret_name(name) {
        return Err(Error::failed(NO_ARGUMENT));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// The secret in a file, without what surrounds it.
fn secret_in(file: &Path) -> Result<String> {
    let text = read_secret(file)?;
    match trimmed(&text) {
        "" => Err(Error::failed(format!("{} is empty", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

/// A folder as it is from everywhere.
fn folder(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
    path.into_os_string().into_string().map_err(|_| Error::invalid("--cwd", "must be UTF-8"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    fn typed(words: &[&str]) -> Result<NewServer, String> {
        let words = ["alm", "--org", "acme", "srv"].iter().chain(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.add.server().map_err(|error| error.to_string())
    }

    fn named(secrets: &[(&str, NewSecret)]) -> Option<Vec<(String, NewSecret)>> {
        Some(secrets.iter().map(|(name, secret)| ((*name).to_owned(), secret.clone())).collect())
    }

    fn text(text: &str) -> NewSecret {
        NewSecret::Text(Secret::new(text))
    }

    #[test]
    fn a_url_and_a_command_are_typed_as_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "tok-1\n").unwrap();
        let place = file.to_str().unwrap();

        let new = typed(&["https://x.example.com/mcp", "--header", "X-Team: red", "--bearer-env", "TOKEN"]).unwrap();
        assert!(matches!(&new.place, Place::Url(url) if url == "https://x.example.com/mcp"));
        assert_eq!(new.more.headers, Some(vec![("X-Team".into(), "red".into())]));
        assert_eq!(new.more.secrets, named(&[("authorization", NewSecret::Bearer("TOKEN".into()))]));

        let by_file = format!("X-Key=file:{place}");
        let words = [
            "http://x",
            "--transport",
            "http",
            "--bearer-file",
            place,
            "--secret-header",
            &by_file,
            "--secret-header",
            "X-Id=env:ID",
        ];
        let new = typed(&words).unwrap();
        let secrets = [
            ("authorization", text("Bearer tok-1")),
            ("X-Key", text("tok-1")),
            ("X-Id", NewSecret::Variable("ID".into())),
        ];
        assert_eq!(new.more.secrets, named(&secrets));

        std::fs::write(&file, "API_KEY=sk-1\n").unwrap();
        let words = [
            "-e",
            "MODE=fast",
            "--env-from",
            "GITHUB_TOKEN",
            "--env-file",
            place,
            "--cwd",
            "/srv",
            "--",
            "npx",
            "-y",
            "server",
            "--yes",
        ];
        let new = typed(&words).unwrap();
        let Place::Command { command, args, cwd } = &new.place else { panic!("a command") };
        assert_eq!((&**command, args.join(" "), cwd.as_deref()), ("npx", "-y server --yes".into(), Some("/srv")));
        let secrets = [
            ("API_KEY", text("sk-1")),
            ("MODE", text("fast")),
            ("GITHUB_TOKEN", NewSecret::Variable("GITHUB_TOKEN".into())),
        ];
        assert_eq!((new.more.secrets, new.more.headers), (named(&secrets), None));
    }

    #[test]
    fn no_secret_is_an_argument() {
        for words in [
            &["http://x", "--header", "Authorization: Bearer x"][..],
            &["http://x", "--header", "authorization:x"],
            &["http://x", "--header", "X-Api-Key: x"],
            &["-e", "GITHUB_TOKEN=x", "--", "npx"],
            &["-e", "db_password=x", "--", "npx"],
            &["-e", "CLIENT_SECRET=", "--", "npx"],
        ] {
            assert_eq!(typed(words).err().as_deref(), Some(NO_ARGUMENT), "{words:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        for (words, why) in [
            (&[][..], "required"),
            (&["http://x", "--", "npx"], "cannot be used with"),
            (&["http://x", "--transport", "sse"], "SSE is deprecated"),
            (&["http://x", "--transport", "ws"], "ws is not known"),
            (&["--transport", "http", "--", "npx"], "a command is stdio"),
            (&["http://x", "-e", "A=1"], "are for a command"),
            (&["http://x", "--cwd", "/srv"], "are for a command"),
            (&["--header", "A: 1", "--", "npx"], "are for a URL"),
            (&["--bearer-env", "A", "--", "npx"], "are for a URL"),
            (&["http://x", "--header", "A"], "--header: must be K: V"),
            (&["-e", "A", "--", "npx"], "-e: must be K=V"),
            (&["http://x", "--secret-header", "A=x"], "--secret-header: must be"),
            (&["http://x", "--secret-header", "A=file:/nowhere/at/all"], "/nowhere/at/all"),
            (&["http://x", "--bearer-env", "A", "--bearer-file", "b"], "cannot be used with"),
            (&["--env-file", "/nowhere/at/all", "--", "npx"], "/nowhere/at/all"),
            (&["http://x", "--approval", "off"], "must be never, ask, owner or hints"),
        ] {
            let told = typed(words).err().unwrap_or_default();
            assert!(told.contains(why), "{words:?}: {told}");
        }
    }
}
