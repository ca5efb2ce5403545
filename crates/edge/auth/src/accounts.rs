//! Accounts and the names they hold.

use klatch_domain::user::Profile;
use klatch_domain::{Rejection, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, Claim, ClaimKind, Claimed};
use klatch_ports::api::ServiceResult;

use crate::Auth;

/// A claim without an account is given up after this long: its registration was cut short between
/// the two writes. (The holder's id tells when it began.)
const ABANDONED_MS: u64 = 60_000;

/// The names an account holds.
pub(crate) fn claims_of(user: UserId, username: &str, email: Option<&str>) -> Vec<Claim> {
    let holder = user.bits();
    let name = Claim { kind: ClaimKind::Username, name: username.to_owned(), holder };
    let email = email.map(|email| Claim { kind: ClaimKind::Email, name: folded(email), holder });
    std::iter::once(name).chain(email).collect()
}

/// Addresses and names are unique whatever their letters' case.
pub(crate) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

fn word(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Username => "username",
        ClaimKind::Email => "email",
        ClaimKind::ChannelName => "name",
        ClaimKind::DirectPair => "pair",
        ClaimKind::Subject => "subject",
    }
}

impl Auth {
    /// The account that signs in as `login`, a user name or an e-mail address.
    pub(crate) async fn find(&self, login: &str) -> PortResult<Option<Account>> {
        let kind = if login.contains('@') { ClaimKind::Email } else { ClaimKind::Username };
        match self.parts.stores.claims.holder(kind, &folded(login)).await? {
            Some(holder) => self.parts.stores.accounts.get(UserId::from_bits(holder)).await,
            None => Ok(None),
        }
    }

    /// What the account's person told about themselves; `None` once their key is destroyed.
    pub(crate) async fn profile(&self, account: &Account) -> PortResult<Option<Profile>> {
        self.parts.ring.open_profile(&account.profile).await
    }

    /// Takes all of `claims`, or none.
    ///
    /// # Errors
    /// [`Rejection::Taken`] naming the field.
    pub(crate) async fn claim(&self, claims: &[Claim]) -> ServiceResult<()> {
        loop {
            let now = self.parts.clock.now();
            let Err((index, taken)) = self.parts.stores.claims.claim(claims, now).await? else {
                return Ok(());
            };
            let (Some(claim), Claimed::Taken { holder, confirmed }) = (claims.get(index), taken)
            else {
                return Ok(());
            };
            if confirmed || !self.is_abandoned(UserId::from_bits(holder)).await? {
                return Err(Rejection::Taken(word(claim.kind)).into());
            }
            tracing::info!(user.id = %UserId::from_bits(holder), "gives up an abandoned claim");
            self.parts.stores.claims.release(&[Claim { holder, ..claim.clone() }]).await?;
        }
    }

    /// Refuses early what [`Auth::claim`] would refuse, before anything is made.
    pub(crate) async fn check_free(&self, claims: &[Claim]) -> ServiceResult<()> {
        for claim in claims {
            let Some(holder) = self.parts.stores.claims.holder(claim.kind, &claim.name).await?
            else {
                continue;
            };
            if !self.is_abandoned(UserId::from_bits(holder)).await? {
                return Err(Rejection::Taken(word(claim.kind)).into());
            }
        }
        Ok(())
    }

    async fn is_abandoned(&self, holder: UserId) -> PortResult<bool> {
        let age = self.parts.clock.now().ms_since(holder.time());
        Ok(age > ABANDONED_MS && self.parts.stores.accounts.get(holder).await?.is_none())
    }
}
