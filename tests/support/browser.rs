//! A browser that someone signs in with.

use std::sync::LazyLock;

use alm::password;
use serde_json::json;

use super::{
    client::{Client, Reply},
    harness::{App, wait},
};

/// Every person's password.
pub const PASSWORD: &str = "correct horse battery staple";

impl App {
    /// A browser that the owner of an organization has just signed in with.
    #[track_caller]
    pub fn browser(&self, name: &str) -> Client {
        self.anonymous().sign_in(&self.email(name), PASSWORD)
    }

    /// The e-mail address of an organization's owner, who has a password from the first mention on.
    pub fn email(&self, name: &str) -> String {
        static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD).unwrap());
        let owner = self.tenant(name).user_id;
        let email = self.store().org_by_slug(&self.slug(name)).unwrap().owner_email;
        if self.store().credentials(&email).unwrap().unwrap().password_hash.is_none() {
            wait(self.store().person(&owner).set_password(HASH.clone(), None)).unwrap();
        }
        email
    }
}

impl Client {
    /// A browser on a page of the server.
    pub fn on_a_page(&self) -> Self {
        self.header("origin", &self.url)
    }

    /// The same browser with the cookie that a reply gave it.
    #[track_caller]
    pub fn with_cookie_of(&self, reply: &Reply) -> Self {
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap();
        self.header("cookie", cookie)
    }

    /// The browser of someone who signs in.
    #[track_caller]
    pub fn sign_in(&self, email: &str, password: &str) -> Self {
        let browser = self.on_a_page();
        let reply = browser.post("/auth/login", json!({ "email": email, "password": password }));
        reply.ok(200);
        browser.with_cookie_of(&reply)
    }
}
