//! One reply, from the question to the stored message.
//!
//! Rule: a turn belongs to the server. It begins in one commit (question, turn, hold), runs in a task of its own that no
//! connection owns, and ends in another (message, bill, status).
//! Reading order: `engine.rs`, `run.rs`, `running.rs`; the plain files in any order.

pub mod answers; // what is answered to calls that wait
pub mod ask; // what is asked
mod beside; // what a provider put beside a call
pub mod bill; // what it may cost
pub mod calls; // a model's calls, checked and run
pub mod chunk; // what is streamed
pub mod ending; // how a response ended, as it is kept
pub mod engine; // begins, finds, stops and drains turns
mod errand; // what one agent asks another
pub mod fold; // chunks → parts of the stored message
mod given; // a conversation that whoever asks gives whole
pub mod history; // the stored history → what a model gets
pub mod journal; // what a running turn has streamed
pub mod line; // chunks on lines that every reader takes
pub mod listener; // one reader of chunks
mod memory; // what all running turns may keep
mod metadata; // what a message says of its turn
pub mod parts; // what a client may put into a message
pub mod plan; // what a posted history means for the stored one
mod progress; // how far a running turn is
pub mod reader; // one reader of it
mod recall; // the stored history, read and made a prompt of
mod recovery; // what a crash left behind
mod replace; // a stored history that becomes what was posted
pub mod replay; // a stored message → chunks
mod resolve; // what a question names, looked up
pub mod respond; // what the input of a response means for the stored history
mod run; // one turn
pub mod running; // a running turn, as others see it
mod scribe; // writes a turn down as it happens
mod services; // what every turn uses
pub mod stats; // what turns did so far
pub mod step; // deltas of one model call → chunks
mod stored; // writes that are retried until the file takes them
mod structured; // replies of a shape
pub mod system; // one system message
pub mod whole; // a reply for those who wait for its end
mod window; // how much a model can read and say
pub mod wire; // a reply as another API's clients read it
