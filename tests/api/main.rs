//! The API as its clients meet it: a real server on a real port, spoken to over HTTP.
//!
//! The modules mirror `src/http`; others walk the whole document, the whole table of codes or the whole file. Rule: a
//! test's name is the rule it proves. Deliberately absent: sleeps, timings, and mocks of our own types.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../src/tools/mcp/fake/mod.rs"]
#[allow(dead_code)] // the unit tests use all of it
mod fake_mcp;

#[path = "../../src/model/gguf/sample.rs"]
#[allow(dead_code)] // the unit tests use all of it
mod gguf_sample;

mod absence;
mod addresses;
mod agent_versions;
mod agents;
mod api_keys;
mod approvals;
mod ask_agent;
mod backup;
mod billing;
mod bodies;
mod bounds;
mod cassettes;
mod cassettes_record;
mod cassettes_replay;
mod chat;
mod cli;
mod cli_approvals;
mod cli_chat;
mod cli_folder;
mod cli_manual;
mod cli_mcp;
mod cli_tools;
mod doctor;
mod document;
mod edge;
mod edits;
mod errors;
mod events;
mod failures;
mod gguf;
mod history;
mod http_tools;
mod idempotency;
mod isolation;
mod ledger;
mod limits;
mod live;
mod local;
mod local_chats;
mod mcp_server;
mod mcp_servers;
mod mcp_tests;
mod mcp_turns;
mod messages;
mod models;
mod money;
mod odd_replies;
mod once;
mod openai_chat;
mod openai_chat_gone;
mod openai_chat_kept;
mod openai_chat_stored;
mod openai_chat_tools;
mod openai_completions;
mod openai_document;
mod openai_door;
mod openai_embeddings;
mod openai_kept;
mod openai_life;
mod openai_messages;
mod openai_money;
mod openai_responses;
mod openai_upstream;
mod people;
mod projects;
mod providers;
mod prune;
mod races;
mod readers;
mod recovery;
mod requests;
mod search;
mod sessions;
mod sidecar;
mod sign_in;
mod stops;
mod tool_calls;
mod tool_rules;
mod tool_tests;
mod tools;
mod tools_api;
mod transfer;
mod values;
mod versions;
