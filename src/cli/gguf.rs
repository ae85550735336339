//! `alm gguf`: models in files, kept in the data folder.
//!
//! Rule: a file's header is read before it is copied. What is linked is never deleted.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    globals::Globals,
    output::complain,
    text::{size_text, table},
};
use crate::{
    error::Result,
    model::gguf::{
        Header,
        shelf::{How, Shelf, Shelved, name_of},
    },
};

/// The conversation whose memory is shown, in tokens.
const SHOWN_CONTEXT: u32 = 8_192;
/// The cache of prompts that it is shown with, in bytes: what `alm serve` gives a model.
const SHOWN_CACHE_BYTES: u64 = 512 * 1_024 * 1_024;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Gguf {
    /// Check a model's file and copy it into the data folder
    Add {
        /// The GGUF file; of several parts the first
        file: PathBuf,
        /// What it is called: lower-case words joined by hyphens; by default after its file
        #[arg(long)]
        name: Option<String>,
        /// Leave the file where it is
        #[arg(long)]
        link: bool,
    },
    /// List the models in the data folder, and the memory that each takes
    List,
    /// Show what a model says of itself
    Show {
        /// Its name
        name: String,
    },
    /// Compare a model, byte by byte, with what was added
    Verify {
        /// Its name
        name: String,
    },
    /// Remove a model; a linked file stays where it is
    Remove {
        /// Its name
        name: String,
    },
}

impl Gguf {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let shelf = Shelf::new(&globals.folder()?);
        match self {
            Gguf::Add { file, name, link } => {
                let name = name.unwrap_or_else(|| name_of(&file));
                let model = shelf.add(&file, &name, if link { How::Linked } else { How::Copied })?;
                let mut serve = format!("serve --gguf {name}");
                if let Err(warning) = model.header.vet(&file, false) {
                    complain(&warning.to_string());
                    serve.push_str(" --gguf-template FILE");
                }
                let serve = globals.command(&serve)?;
                globals.report(|| to_json(&model), || format!("{name}: {serve} answers with it"));
            }
            Gguf::List => {
                let names = shelf.names()?;
                let models: Vec<_> = names.iter().map(|name| (name, shelf.get(name))).collect();
                let json = |(name, model): &(&String, Result<Shelved>)| match model {
                    Ok(model) => to_json(model),
                    Err(error) => json!({ "name": name, "error": error.to_string() }),
                };
                globals.print(|| models.iter().map(json).collect(), || to_table(&models))?;
                // Said aside, so that the table keeps its columns.
                models.iter().filter_map(|(_, model)| model.as_ref().err()).for_each(|e| complain(&e.to_string()));
            }
            Gguf::Show { name } => {
                let model = shelf.get(&name)?;
                globals.print(|| with_template(&model), || to_text(&model))?;
            }
            Gguf::Verify { name } => {
                let model = shelf.verify(&name)?;
                let text = || format!("{name}: {}, as they were added", size_text(model.header.bytes));
                globals.print(|| json!({ "name": name, "bytes": model.header.bytes, "sha256": model.sha256 }), text)?;
            }
            Gguf::Remove { name } => {
                shelf.remove(&name)?;
                globals.report(|| json!({ "removed": name }), || format!("{name} is removed"));
            }
        }
        Ok(())
    }
}

/// What it takes with a conversation of the shown size, or of its own if that is smaller.
fn memory_bytes(header: &Header) -> u64 {
    header.memory_bytes(header.window.min(SHOWN_CONTEXT), 1, SHOWN_CACHE_BYTES)
}

fn to_json(model: &Shelved) -> Value {
    let header = &model.header;
    json!({
        "name": model.name, "file": model.file, "linkedTo": model.linked_to, "addedAt": model.added_at.to_string(),
        "bytes": header.bytes, "modelName": header.name, "architecture": header.architecture, "licence": header.licence,
        "parameters": header.parameters, "quantisation": header.quantisation, "contextWindow": header.window,
        "kvBytesPerToken": header.kv_bytes_per_token, "memoryBytes": memory_bytes(header),
        "hasTemplate": header.template.is_some(), "mayUseTools": header.may_use_tools(), "sha256": model.sha256,
    })
}

fn with_template(model: &Shelved) -> Value {
    let mut json = to_json(model);
    json["template"] = json!(model.header.template);
    json
}

fn to_table(models: &[(&String, Result<Shelved>)]) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let row = |(name, model): &(&String, Result<Shelved>)| {
        let Ok(Shelved { header, .. }) = model else {
            return [(*name).clone()].into_iter().chain(vec!["-".to_owned(); 8]).collect();
        };
        vec![
            (*name).clone(),
            size_text(header.bytes),
            header.architecture.clone(),
            count_text(header.parameters),
            header.quantisation.clone().unwrap_or_else(|| "-".into()),
            header.window.to_string(),
            yes(header.template.is_some()),
            if header.may_use_tools() { "likely" } else { "no" }.to_owned(),
            size_text(memory_bytes(header)),
        ]
    };
    let head =
        ["NAME", "SIZE", "ARCHITECTURE", "PARAMETERS", "QUANTISATION", "WINDOW", "TEMPLATE", "TOOLS", "MEMORY AT 8K"];
    table(&head, &models.iter().map(row).collect::<Vec<_>>())
}

fn to_text(model: &Shelved) -> String {
    let header = &model.header;
    let unsaid = || "not said".to_owned();
    let kept = match &model.linked_to {
        Some(file) => format!("{} (linked)", file.display()),
        None => model.file.display().to_string(),
    };
    let rows = [
        ("name", header.name.clone().unwrap_or_else(unsaid)),
        ("licence", header.licence.clone().unwrap_or_else(unsaid)),
        ("architecture", header.architecture.clone()),
        ("parameters", count_text(header.parameters)),
        ("quantisation", header.quantisation.clone().unwrap_or_else(unsaid)),
        ("window", format!("{} tokens", header.window)),
        ("template", header.template.as_ref().map_or("none".to_owned(), |text| size_text(text.len() as u64))),
        ("tools", if header.may_use_tools() { "likely" } else { "no" }.to_owned()),
        ("size", size_text(header.bytes)),
        ("memory", format!("{} with a conversation of 8k", size_text(memory_bytes(header)))),
        ("file", kept),
        ("added", model.added_at.to_string()),
        ("SHA-256", model.sha256.join(" ")),
    ];
    rows.map(|(what, text)| format!("{what:<13} {text}")).join("\n")
}

/// A count of weights, for people: `135M`, `1.5B`.
fn count_text(count: u64) -> String {
    match count {
        0..1_000_000 => count.to_string(),
        1_000_000..999_500_000 => format!("{:.0}M", count as f64 / 1e6),
        _ => format!("{:.1}B", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counted_as_people_do() {
        for (count, text) in
            [(0, "0"), (999_999, "999999"), (134_515_008, "135M"), (999_499_999, "999M"), (1_543_714_304, "1.5B")]
        {
            assert_eq!(count_text(count), text);
        }
    }
}
