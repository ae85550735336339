//! What our own reader says of the files, beside what llama.cpp says of them.

use alm::model::gguf::{Header, open};

use super::program::{Llama, Model};

/// What one token of a conversation takes: 2 × layers × KV heads × head size × 2 bytes.
const SMOLLM2_TOKEN_BYTES: u64 = 2 * 30 * 3 * 64 * 2;
const GEMMA3_TOKEN_BYTES: u64 = 2 * 18 * 256 * 2;

/// What both say of a file.
fn read(model: Model) -> Header {
    let header = open(&model.path()).unwrap();
    let models = Llama::start(model, 2_048, &[]).get("/v1/models").1;
    let said = &models["data"][0]["meta"];
    assert_eq!(said["n_params"].as_u64(), Some(header.parameters), "{said}");
    assert_eq!(said["n_ctx_train"].as_u64(), Some(header.window.into()), "{said}");
    let ftype = said["ftype"].as_str().unwrap();
    assert!(header.quantisation.as_deref().is_some_and(|name| ftype.starts_with(&name[..4])), "{said} {header:?}");
    let weights = said["size"].as_u64().unwrap();
    assert!(weights < header.tensor_end && header.tensor_end <= header.bytes, "{said} {header:?}");
    header
}

#[test]
fn a_model_that_answers_is_read_as_llama_cpp_reads_it() {
    let header = read(Model::Smollm2);
    assert_eq!((header.kv_bytes_per_token, header.may_use_tools()), (SMOLLM2_TOKEN_BYTES, false));
    header.vet(&Model::Smollm2.path(), false).unwrap();
}

#[test]
fn a_base_model_is_read_as_llama_cpp_reads_it_and_refused() {
    let (header, file) = (read(Model::Gemma3), Model::Gemma3.path());
    assert_eq!((header.kv_bytes_per_token, &header.template), (GEMMA3_TOKEN_BYTES, &None));
    assert!(header.vet(&file, false).unwrap_err().to_string().contains("has no chat template"));
    header.vet(&file, true).unwrap();
}
