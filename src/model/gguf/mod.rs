//! The header of a GGUF file: what a model is, before any program loads it.
//!
//! Rule: files are foreign. No number in one decides how much memory is taken, every count has a bound, and what is wrong
//! is said in a sentence that names the file. Deliberately absent: tensors' data, and whether the weights are any good.

mod bytes; // values, one after another
mod copied; // a copy, and its SHA-256
mod fault; // what is wrong with a file, in words
mod file; // opening one, with its parts
mod header; // what is kept of it
mod keys; // the keys that are read
pub mod shelf; // models in the data folder
mod tensors; // how many weights, and where they end
mod vet; // whether it can answer

#[cfg(any(test, fuzzing))]
pub(crate) mod sample; // a small file that a test writes

#[cfg(test)]
mod tests;

pub use self::{
    fault::Fault,
    file::{files, open},
    header::{Header, read},
};
