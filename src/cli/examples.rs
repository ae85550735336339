//! What people type first: examples below the help of the commands that they meet first.
//!
//! Rule: every line is one that the command line takes, as the test here sees to.

use clap::Command;

/// Commands, as they are typed, with their examples.
const EXAMPLES: [(&str, &str); 10] = [
    (
        "serve",
        "alm serve
alm serve --listen 0.0.0.0:2560 --org acme
alm serve --gguf qwen3-0.6b.gguf",
    ),
    (
        "demo",
        "alm demo
alm demo --once",
    ),
    (
        "chat",
        "alm chat
alm chat --org acme --agent ala \"What can you do?\"
alm chat --continue",
    ),
    (
        "keys create",
        "alm keys create --org acme --name ci
alm keys create --org acme --name app --scopes chat --expires 90d --monthly-limit 10.00",
    ),
    (
        "providers add",
        "alm providers add --org acme --slug ollama --base-url http://127.0.0.1:11434/v1 --model llama3.2
alm providers add --org acme --slug openai --base-url https://api.openai.com/v1 --api-key-env OPENAI_API_KEY --model gpt-4o-mini --price 0.15/0.60",
    ),
    (
        "org create",
        "alm org create acme --owner you@example.com --password-file -
alm org create acme --owner you@example.com --password-file password.txt",
    ),
    (
        "backup",
        "alm backup alm-backup.db
alm backup --force /var/backups/alm.db",
    ),
    (
        "tools add",
        "alm tools add --org acme weather.json
alm tools add --org acme -",
    ),
    (
        "mcp add",
        "alm mcp add --org acme docs https://mcp.example.com/mcp
alm mcp add --org acme files -- npx -y @modelcontextprotocol/server-filesystem /srv/files",
    ),
    (
        "logs",
        "alm logs --org acme
alm logs --org acme --failed --follow",
    ),
];

/// Puts the examples below the help of their commands.
pub fn with_examples(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (path, lines)| {
        let words: Vec<_> = path.split(' ').collect();
        below(command, &words, lines)
    })
}

fn below(command: Command, path: &[&'static str], lines: &str) -> Command {
    match path {
        [] => command.after_help(format!("Examples:\n  {}", lines.replace('\n', "\n  "))),
        [first, rest @ ..] => command.mut_subcommand(first, |inner| below(inner, rest, lines)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    /// The words of a line; what stands in quotes is one.
    fn words(line: &str) -> Vec<String> {
        let pieces = line.split('"').enumerate().flat_map(|(at, piece)| match at % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        });
        pieces.collect()
    }

    #[test]
    fn every_example_is_a_line_of_its_command() {
        for (path, lines) in EXAMPLES {
            for line in lines.lines() {
                assert!(line.starts_with(&format!("alm {path}")), "{line}");
                Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
        assert_eq!(words("a \"b c\" d"), ["a", "b c", "d"]);
        assert!(Cli::try_parse_from(["alm", "serve", "--lissen"]).is_err());
    }

    #[test]
    fn examples_stand_below_the_help_of_their_command() {
        let mut command = with_examples(Cli::command());
        for (path, lines) in EXAMPLES {
            let found = path.split(' ').fold(&mut command, |command, name| command.find_subcommand_mut(name).unwrap());
            let help = found.render_help().to_string();
            assert!(lines.lines().all(|line| help.contains(&format!("\n  {line}\n"))), "{help}");
        }
    }
}
