//! What a caller may do, as types.
//!
//! Rule: a value of one of these types is a proof. Nothing else makes one, so a handler that asks for it cannot be reached without.

use crate::{
    error::{Error, Result},
    key::Scope,
    store::sign_ins::Role,
};

/// What a caller has shown of themselves.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// A key of these scopes.
    Key(&'a [Scope]),
    /// A person at a browser.
    Person {
        role: Role,
        /// Whether their password was given lately.
        stepped_up: bool,
    },
}

/// A kind of access: who has it.
pub trait Access: Sized + Send {
    /// Whether there is a key that has it.
    const BY_KEY: bool = true;
    /// The proof that who has shown this has it.
    fn prove(shown: Shown<'_>) -> Result<Self>;
}

/// Reading anything.
pub struct Read;
/// Reading what a chat is about: sessions, and the agents and models there are.
pub struct ReadOrChat;
/// Sessions and chat.
pub struct Chat;
/// Changing agents and projects.
pub struct Write;
/// What a program may do with a key: read, or chat, or both.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub reads: bool,
    pub chats: bool,
}
/// What a person does at a browser and no key does, after giving their password lately: their own keys.
pub struct SteppedUp;
/// What the organization's owner does at a browser.
pub struct Owner;
/// What the owner does after giving their password lately: money and providers.
pub struct OwnerSteppedUp;

impl Access for Read {
    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.has_one_of(&[Scope::Read]).map(|()| Read)
    }
}

impl Access for ReadOrChat {
    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.has_one_of(&[Scope::Read, Scope::Chat]).map(|()| ReadOrChat)
    }
}

impl Access for Chat {
    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.has_one_of(&[Scope::Chat]).map(|()| Chat)
    }
}

impl Access for Write {
    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.has_one_of(&[Scope::Write]).map(|()| Write)
    }
}

impl Access for Program {
    fn prove(shown: Shown<'_>) -> Result<Self> {
        let Shown::Key(scopes) = shown else {
            return Err(Error::Unauthorized("send an API key: `Authorization: Bearer alm_…`"));
        };
        shown.has_one_of(&[Scope::Read, Scope::Chat])?;
        Ok(Program { reads: scopes.contains(&Scope::Read), chats: scopes.contains(&Scope::Chat) })
    }
}

impl Access for SteppedUp {
    const BY_KEY: bool = false;

    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.has_stepped_up().map(|()| SteppedUp)
    }
}

impl Access for Owner {
    const BY_KEY: bool = false;

    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.is_owner().map(|()| Owner)
    }
}

impl Access for OwnerSteppedUp {
    const BY_KEY: bool = false;

    /// The role first: who will never be let in is not asked for a password.
    fn prove(shown: Shown<'_>) -> Result<Self> {
        shown.is_owner().and_then(|()| shown.has_stepped_up()).map(|()| OwnerSteppedUp)
    }
}

impl Shown<'_> {
    /// A person needs no scope: their organization is theirs to use.
    fn has_one_of(self, needed: &[Scope]) -> Result<()> {
        let Shown::Key(scopes) = self else { return Ok(()) };
        if needed.iter().any(|scope| scopes.contains(scope)) {
            return Ok(());
        }
        let words: Vec<_> = needed.iter().map(|scope| scope.as_str()).collect();
        Err(Error::forbidden(format!("this key lacks the scope {}", words.join(" or "))))
    }

    fn is_owner(self) -> Result<()> {
        match self {
            Shown::Key(_) => Err(keys_refused()),
            Shown::Person { role: Role::Owner, .. } => Ok(()),
            Shown::Person { role: Role::Member, .. } => Err(owners_alone()),
        }
    }

    fn has_stepped_up(self) -> Result<()> {
        match self {
            Shown::Key(_) => Err(keys_refused()),
            Shown::Person { stepped_up: true, .. } => Ok(()),
            Shown::Person { stepped_up: false, .. } => Err(Error::Forbidden {
                message: "enter your password again at POST /api/v1/auth/step-up, then try again".into(),
                step_up: true,
            }),
        }
    }
}

/// Why a key is turned away where only a person may go.
pub fn keys_refused() -> Error {
    Error::forbidden("API keys cannot do this: sign in with a browser")
}

/// Why a member is turned away where only an owner may go.
pub fn owners_alone() -> Error {
    Error::forbidden("only the organization's owner may do this")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_a_signed_in_person() {
        let key = Shown::Key(&Scope::ALL);
        assert!(SteppedUp::prove(key).is_err() && Owner::prove(key).is_err() && OwnerSteppedUp::prove(key).is_err());
        assert!(Read::prove(Shown::Key(&[Scope::Chat])).is_err());
        assert!(ReadOrChat::prove(Shown::Key(&[Scope::Chat])).is_ok());
    }

    #[test]
    fn a_program_is_a_key_and_has_its_scopes() {
        let of = |scopes: &[Scope]| Program::prove(Shown::Key(scopes)).ok().map(|it| (it.reads, it.chats));
        assert_eq!(of(&Scope::ALL), Some((true, true)));
        assert_eq!((of(&[Scope::Read]), of(&[Scope::Chat])), (Some((true, false)), Some((false, true))));
        assert_eq!(of(&[Scope::Write]), None);
        let person = Shown::Person { role: Role::Owner, stepped_up: true };
        assert!(matches!(Program::prove(person), Err(Error::Unauthorized(_))));
    }

    #[test]
    fn a_person_is_asked_for_their_password_only_where_it_would_let_them_in() {
        let person = |role, stepped_up| Shown::Person { role, stepped_up };
        let asks = |result: Result<()>| matches!(result, Err(Error::Forbidden { step_up: true, .. }));
        for role in [Role::Owner, Role::Member] {
            assert!(Write::prove(person(role, false)).is_ok());
            assert!(SteppedUp::prove(person(role, true)).is_ok());
            assert!(asks(SteppedUp::prove(person(role, false)).map(drop)));
        }
        assert!(Owner::prove(person(Role::Owner, false)).is_ok());
        assert!(OwnerSteppedUp::prove(person(Role::Owner, true)).is_ok());
        assert!(asks(OwnerSteppedUp::prove(person(Role::Owner, false)).map(drop)));
        assert!(!asks(OwnerSteppedUp::prove(person(Role::Member, false)).map(drop)));
        assert!(OwnerSteppedUp::prove(person(Role::Member, true)).is_err());
    }
}
