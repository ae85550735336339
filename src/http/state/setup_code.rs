//! The first minute of a server: who holds the code that it printed makes its organization and is its owner.
//!
//! Rule: a code ends with its use, with time, and with the process. There is never a default password.
//! The link carries it as a fragment, which browsers send nowhere, so that it is in no log of a proxy.

use std::time::{Duration, Instant};

use crate::{
    error::{Error, Result},
    key,
};

/// How long a code works.
pub const SETUP_CODE_LIFE: Duration = Duration::from_secs(30 * 60);

/// What is kept of the code that was printed.
pub struct SetupCode {
    hash: [u8; 32],
    made: Instant,
}

impl SetupCode {
    /// A new one, and its text, to be printed once.
    pub fn generate() -> Result<(Self, String)> {
        let text = key::generate_token()?;
        Ok((SetupCode { hash: key::hash(&text), made: Instant::now() }, text))
    }

    /// Accepts the code itself while it lasts. Hashes are compared, so the time it takes tells nothing of the code.
    fn check(&self, code: &str, now: Instant) -> Result<()> {
        if now.duration_since(self.made) < SETUP_CODE_LIFE && key::hash(code) == self.hash {
            return Ok(());
        }
        Err(wrong())
    }
}

/// Accepts the code that was printed, if one was.
pub fn check(printed: Option<&SetupCode>, code: &str) -> Result<()> {
    printed.map_or_else(|| Err(wrong()), |printed| printed.check(code, Instant::now()))
}

fn wrong() -> Error {
    Error::forbidden("this setup code is wrong or has expired: restart alm and open the link it prints")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_works_for_half_an_hour_and_no_other_does() {
        let (kept, code) = SetupCode::generate().unwrap();
        let at = |minutes: u64| kept.made + Duration::from_secs(60 * minutes);
        kept.check(&code, at(29)).unwrap();
        kept.check(&code, at(30)).unwrap_err();
        kept.check(&code[1..], at(0)).unwrap_err();
        kept.check(&SetupCode::generate().unwrap().1, at(0)).unwrap_err();
        check(None, &code).unwrap_err();
    }
}
