//! What an MCP server has to be, and what is kept of it.
//!
//! Rule: a command runs as the user of this server, so only who runs `alm` on the machine makes or changes one; what comes by HTTP
//! or in a file is refused. Rule: secrets come in as text and are kept sealed; those of a URL belong to its scheme, host and port.

use serde_json::Value;

use super::{
    declare::{Faults, MOVED, TOOL_NAME_CHARS_MAX, check_price, check_time, clamped},
    place,
    secrets::{NewSecret, Secrets, is_variable},
};
use crate::{
    error::{Error, Result},
    id,
    seal::Sealer,
    store::{
        mcp::{Approval, McpServer, McpTool, NewTools, Transport},
        tools::AddedBy,
    },
    time::Timestamp,
};

/// What is said of a command that does not come from the machine.
pub const ON_THE_MACHINE: &str = "A server that is a command is added on the machine: alm mcp add.";

/// Longest slug, in characters: its tools' names begin with it.
pub const SLUG_CHARS_MAX: usize = 24;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Longest command, argument or folder, in bytes.
const WORD_BYTES_MAX: usize = 4_096;
/// Most arguments of a command.
const ARGS_MAX: usize = 64;
/// Most variables of a command.
const VARIABLES_MAX: usize = 64;
/// How long a call may take of which nothing else is said, in milliseconds.
const TIME_MS: u32 = 60_000;
/// How long a server by URL has to say hello, in milliseconds.
const HANDSHAKE_MS: u32 = 15_000;
/// How long a command has: it may have to be fetched first.
const COMMAND_HANDSHAKE_MS: u32 = 60_000;
/// Shortest such time that may be set.
pub const HANDSHAKE_MS_MIN: u32 = 10_000;
/// Longest such time that may be set.
pub const HANDSHAKE_MS_MAX: u32 = 300_000;
/// Longest time without a call after which a command is ended: a week.
const IDLE_MINUTES_MAX: u32 = 10_080;

/// How a new server is reached.
pub enum Place {
    /// By its URL.
    Url(String),
    /// It is run here.
    Command { command: String, args: Vec<String>, cwd: Option<String> },
}

/// An MCP server that is to be kept.
pub struct NewServer {
    pub slug: String,
    pub place: Place,
    /// What else there is to say of it.
    pub more: ServerChange,
}

/// What is to change of an MCP server; what is absent stays.
#[derive(Default)]
pub struct ServerChange {
    pub name: Option<String>,
    pub url: Option<String>,
    pub headers: Option<Vec<(String, String)>>,
    /// Secret headers, or variables of a command.
    pub secrets: Option<Vec<(String, NewSecret)>>,
    pub approval: Option<Approval>,
    pub new_tools: Option<NewTools>,
    pub timeout_ms: Option<i64>,
    pub handshake_ms: Option<i64>,
    /// The inner absent: it is kept.
    pub idle_stop_minutes: Option<Option<i64>>,
    pub use_instructions: Option<bool>,
    pub is_active: Option<bool>,
}

/// A server as it will be kept, connected by `by`.
pub fn prepare(new: NewServer, by: AddedBy, sealer: &Sealer) -> Result<McpServer> {
    let now = Timestamp::now();
    let (transport, url, command, args, cwd) = match new.place {
        Place::Url(url) => (Transport::Http, Some(place::url(&url)?), None, Vec::new(), None),
        Place::Command { command, args, cwd } => (Transport::Stdio, None, Some(command), args, cwd),
    };
    let is_command = transport == Transport::Stdio;
    let mut server = McpServer {
        id: id::generate(),
        name: new.slug.clone(),
        slug: new.slug,
        transport,
        added_by: by,
        is_active: true,
        approval: Approval::Ask,
        new_tools: NewTools::Off,
        url,
        headers: "{}".into(),
        command,
        args: Value::from(args).to_string(),
        cwd,
        secrets: "{}".into(),
        timeout_ms: TIME_MS,
        handshake_ms: if is_command { COMMAND_HANDSHAKE_MS } else { HANDSHAKE_MS },
        idle_stop_minutes: None,
        use_instructions: false,
        instructions: None,
        info: None,
        era: None,
        listed_at: None,
        ttl_ms: None,
        last_error: None,
        created_at: now,
        updated_at: now,
    };
    change(&mut server, new.more, by, sealer)?;
    Ok(server)
}

/// Changes a server by the hand of `by`, who from then on vouches for its URL if that is another.
pub fn change(server: &mut McpServer, change: ServerChange, by: AddedBy, sealer: &Sealer) -> Result<()> {
    let is_command = server.transport == Transport::Stdio;
    let touches_place = change.url.is_some() || change.headers.is_some() || change.secrets.is_some();
    if is_command && by == AddedBy::Api && touches_place {
        return Err(Error::forbidden(ON_THE_MACHINE));
    }
    if is_command && (change.url.is_some() || change.headers.is_some()) {
        return Err(Error::invalid("url", "belongs to a server that is reached by it, and this one is a command"));
    }
    if let (Some(url), Some(current)) = (change.url, &server.url) {
        let url = place::url(&url)?;
        if place::origin(&url) != place::origin(current) && server.secrets != "{}" && change.secrets.is_none() {
            return Err(Error::invalid("secretHeaders", MOVED));
        }
        if url != *current {
            server.added_by = by;
        }
        server.url = Some(url);
    }
    if let Some(headers) = change.headers {
        server.headers = place::headers_text(place::headers("headers", headers)?);
    }
    if let Some(secrets) = change.secrets {
        let place = format!("mcp/{}", server.id);
        server.secrets = match is_command {
            true => Secrets::keep(secrets, sealer, &place)?.to_json(),
            false => place::secret_headers(secrets, sealer, &place)?,
        };
    }
    server.name = change.name.unwrap_or(std::mem::take(&mut server.name));
    server.approval = change.approval.unwrap_or(server.approval);
    server.new_tools = change.new_tools.unwrap_or(server.new_tools);
    server.timeout_ms = change.timeout_ms.map_or(server.timeout_ms, clamped);
    server.handshake_ms = change.handshake_ms.map_or(server.handshake_ms, clamped);
    if let Some(idle) = change.idle_stop_minutes {
        server.idle_stop_minutes = idle.map(clamped);
    }
    server.use_instructions = change.use_instructions.unwrap_or(server.use_instructions);
    server.is_active = change.is_active.unwrap_or(server.is_active);
    check(server)
}

/// Whether a server that was not connected here could have been.
pub fn check(server: &McpServer) -> Result<()> {
    let mut faults = Faults::default();
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let slug = (1..=SLUG_CHARS_MAX).contains(&server.slug.len()) && server.slug.bytes().all(known);
    faults.unless(slug && id::check_slug("slug", &server.slug).is_ok(), "slug", "must be 1 to 24 of a-z, 0-9 and -");
    let name = (1..=NAME_CHARS_MAX).contains(&server.name.chars().count());
    faults.unless(name, "name", "must be 1 to 255 characters");
    faults.also(check_time("timeoutMs", server.timeout_ms));
    let handshake = (HANDSHAKE_MS_MIN..=HANDSHAKE_MS_MAX).contains(&server.handshake_ms);
    faults.unless(handshake, "handshakeMs", "must be 10000 to 300000");
    let idle = server.idle_stop_minutes.is_none_or(|minutes| (1..=IDLE_MINUTES_MAX).contains(&minutes));
    faults.unless(idle, "idleStopMinutes", "must be 1 to 10080, or null");
    match (&server.url, &server.command) {
        (Some(url), None) => {
            faults.also(place::url(url));
            faults.unless(!url.contains(['{', '}']), "url", "must hold no {…}: it is asked as it is");
            faults.also(place::check_headers(&server.headers, &server.secrets));
        }
        (None, Some(command)) => check_command(&mut faults, server, command),
        _ => faults.unless(false, "url", "required: its endpoint, such as https://mcp.example.com/mcp"),
    }
    faults.done()
}

/// The same, of one that was read in with its tools: each is called as it would have been here.
pub fn check_with_tools(server: &McpServer, tools: &[McpTool]) -> Result<()> {
    check(server)?;
    let prefix = format!("{}__", server.slug);
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_one = |name: &str| name.starts_with(&prefix) && name.len() <= TOOL_NAME_CHARS_MAX && name.bytes().all(known);
    match tools.iter().find(|tool| !is_one(&tool.name)) {
        Some(tool) => Err(Error::invalid("tools", format!("{} is no name of a tool of its server", tool.name))),
        None => tools.iter().try_for_each(|tool| check_price(tool.price)),
    }
}

fn check_command(faults: &mut Faults, server: &McpServer, command: &str) {
    let args: Vec<String> = serde_json::from_str(&server.args).unwrap_or_default();
    faults.unless(!command.is_empty(), "command", "must be the program to run");
    faults.unless(args.len() <= ARGS_MAX, "args", "must be at most 64");
    let fits = |word: &str| word.len() <= WORD_BYTES_MAX && !word.contains('\0');
    let words = [("command", command), ("cwd", server.cwd.as_deref().unwrap_or_default())];
    for (field, word) in words.into_iter().chain(args.iter().map(|arg| ("args", arg.as_str()))) {
        faults.unless(fits(word), field, "must be at most 4096 bytes, without NUL");
    }
    let secrets = Secrets::from_json(&server.secrets).unwrap_or_default();
    faults.unless(secrets.names().count() <= VARIABLES_MAX, "env", "must be at most 64 variables");
    for name in secrets.names() {
        // alm's own settings are not for those that it runs.
        let is_free = is_variable(name) && !name.starts_with("ALM_");
        faults.unless(
            is_free,
            "env",
            &format!("must not have {name}: a variable is of A-Z, a-z, 0-9 and _, and not alm's own"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn sealer() -> Sealer {
        let folder = tempfile::tempdir().unwrap();
        Sealer::open(&folder.path().join("key")).unwrap()
    }

    fn by_url(slug: &str, url: &str) -> NewServer {
        NewServer { slug: slug.into(), place: Place::Url(url.into()), more: ServerChange::default() }
    }

    fn command(words: &[&str], cwd: Option<&str>) -> NewServer {
        let args = words[1..].iter().map(|word| (*word).to_owned()).collect();
        let place = Place::Command { command: words[0].into(), args, cwd: cwd.map(Into::into) };
        NewServer { slug: "c".into(), place, more: ServerChange::default() }
    }

    fn secret(name: &str) -> Option<Vec<(String, NewSecret)>> {
        Some(vec![(name.into(), NewSecret::Text(Secret::new("x y")))])
    }

    fn fields(result: Result<impl Sized>) -> Vec<String> {
        match result {
            Err(Error::Invalid(fields)) => fields.into_iter().map(|invalid| invalid.field).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn a_server_is_called_by_its_slug_until_it_has_a_name_and_has_longer_to_begin_as_a_command() {
        let server = prepare(by_url("github", "https://h/mcp"), AddedBy::Api, &sealer()).unwrap();
        assert_eq!((&*server.name, server.handshake_ms, server.timeout_ms), ("github", HANDSHAKE_MS, TIME_MS));
        let server = prepare(command(&["npx", "-y", "x"], None), AddedBy::Operator, &sealer()).unwrap();
        assert_eq!((&*server.args, server.handshake_ms), (r#"["-y","x"]"#, COMMAND_HANDSHAKE_MS));
    }

    #[test]
    fn no_request_changes_what_is_run() {
        let sealer = sealer();
        let mut server = prepare(command(&["npx"], None), AddedBy::Operator, &sealer).unwrap();
        let url = ServerChange { url: Some("https://h/".into()), ..Default::default() };
        let headers = ServerChange { headers: Some(Vec::new()), ..Default::default() };
        let variables = ServerChange { secrets: secret("A"), ..Default::default() };
        for touching in [url, headers, variables] {
            let refused = change(&mut server, touching, AddedBy::Api, &sealer).unwrap_err();
            assert_eq!(refused.to_string(), ON_THE_MACHINE);
        }
        let off = ServerChange { is_active: Some(false), ..Default::default() };
        change(&mut server, off, AddedBy::Api, &sealer).unwrap();
        assert!(!server.is_active);
    }

    #[test]
    fn secrets_stay_with_the_host_they_were_given_for_and_a_moved_server_is_its_movers() {
        let sealer = sealer();
        let mut new = by_url("s", "http://127.0.0.1:9000/mcp");
        new.more.secrets = secret("authorization");
        let mut server = prepare(new, AddedBy::Operator, &sealer).unwrap();
        let to = |url: &str| ServerChange { url: Some(url.into()), ..Default::default() };
        assert_eq!(
            fields(change(&mut server, to("http://127.0.0.1:9001/mcp"), AddedBy::Api, &sealer)),
            ["secretHeaders"]
        );
        assert_eq!(server.added_by, AddedBy::Operator);
        change(&mut server, to("http://127.0.0.1:9000/other"), AddedBy::Api, &sealer).unwrap();
        assert_eq!(server.added_by, AddedBy::Api, "who runs the machine did not vouch for that");
    }

    #[test]
    fn what_a_server_is_made_of_is_taken_up_to_its_bounds() {
        let is_taken = |new: NewServer| fields(prepare(new, AddedBy::Operator, &sealer())).is_empty();
        let at = |max: usize, of: &dyn Fn(usize) -> NewServer| {
            assert_eq!([max - 1, max, max + 1].map(|size| is_taken(of(size))), [true, true, false], "{max}");
        };
        let with = |more: ServerChange| NewServer { more, ..by_url("s", "https://h/") };
        at(SLUG_CHARS_MAX, &|chars| by_url(&"a".repeat(chars), "https://h/"));
        at(NAME_CHARS_MAX, &|chars| with(ServerChange { name: Some("é".repeat(chars)), ..Default::default() }));
        let handshake = |ms: usize| with(ServerChange { handshake_ms: Some(ms as i64), ..Default::default() });
        at(HANDSHAKE_MS_MAX as usize, &handshake);
        let quick = [HANDSHAKE_MS_MIN - 1, HANDSHAKE_MS_MIN, HANDSHAKE_MS_MIN + 1];
        assert_eq!(quick.map(|ms| is_taken(handshake(ms as usize))), [false, true, true]);
        at(IDLE_MINUTES_MAX as usize, &|minutes| {
            with(ServerChange { idle_stop_minutes: Some(Some(minutes as i64)), ..Default::default() })
        });
        at(WORD_BYTES_MAX, &|bytes| command(&["npx", &"x".repeat(bytes)], None));
        at(WORD_BYTES_MAX, &|bytes| command(&["npx"], Some(&"x".repeat(bytes))));
        at(ARGS_MAX, &|count| command(&["npx", "x"].repeat(count)[..count + 1], None));
        let variables = |count: usize| {
            let one = |n: usize| (format!("V{n}"), NewSecret::Text(Secret::new("x")));
            let more = ServerChange { secrets: Some((0..count).map(one).collect()), ..Default::default() };
            NewServer { more, ..command(&["npx"], None) }
        };
        at(VARIABLES_MAX, &variables);
    }

    #[test]
    fn what_a_server_cannot_be_is_said_by_its_field() {
        for (new, wrong) in [
            (by_url("a b", "https://h/"), "slug"),
            (by_url("A", "https://h/"), "slug"),
            (by_url("a_b", "https://h/"), "slug"),
            (by_url("a", "https://h/{x}"), "url"),
            (by_url("a", "sse://h/"), "url"),
            (command(&[""], None), "command"),
            (command(&["a\0"], None), "command"),
        ] {
            assert_eq!(fields(prepare(new, AddedBy::Operator, &sealer())), [wrong]);
        }
        for name in ["ALM_X", "A-B", "1A"] {
            let new = NewServer {
                more: ServerChange { secrets: secret(name), ..Default::default() },
                ..command(&["npx"], None)
            };
            assert_eq!(fields(prepare(new, AddedBy::Operator, &sealer())), ["env"], "{name}");
        }
    }
}
