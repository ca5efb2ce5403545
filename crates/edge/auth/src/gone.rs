//! People whose accounts are gone.

use klatch_domain::UserId;

use crate::Auth;

impl Auth {
    /// The account of `user` was removed from the store: what is remembered of it is forgotten,
    /// letters are not sent any more, tokens are refused from now on, and connections end within a
    /// second.
    pub fn account_gone(&self, user: UserId) {
        self.letters.forget(user);
        self.verifier.lock_out(user);
    }
}
