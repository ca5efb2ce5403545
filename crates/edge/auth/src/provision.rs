//! Users that the server makes itself: imported ones, bots, and those of trusted issuers.

use std::collections::HashSet;

use async_trait::async_trait;
use klatch_domain::user::{self, Profile, ServerRole};
use klatch_domain::{Rejection, UserId};
use klatch_ports::accounts::{Account, Claim, ClaimKind, Claimed};
use klatch_ports::api::auth::{NewUser, Provisioner};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::position::Position;

use crate::accounts::{claims_of, folded};
use crate::{Auth, names};

/// Users that share each sync.
const BATCH: usize = 1_000;
/// How many numbers are tried behind a name before letters at random are.
const NUMBERS_TRIED: usize = 20;
/// How often names that others took meanwhile are chosen again.
const CLAIMS_TRIED: usize = 64;

#[async_trait]
impl Provisioner for Auth {
    async fn provision(
        &self,
        users: Vec<NewUser>,
    ) -> ServiceResult<Vec<Result<(UserId, Position), Rejection>>> {
        let mut made = Vec::with_capacity(users.len());
        let mut users = users.into_iter();
        loop {
            let batch: Vec<NewUser> = users.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(made);
            }
            made.extend(self.provision_batch(batch).await?.into_iter().map(Ok));
        }
    }
}

/// A user with the names found for it.
struct Planned {
    user: UserId,
    wish: NewUser,
    profile: Profile,
}

impl Planned {
    fn claims(&self) -> Vec<Claim> {
        claims_of(self.user, &self.profile.username, self.profile.email.as_deref())
    }
}

impl Auth {
    async fn provision_batch(&self, users: Vec<NewUser>) -> ServiceResult<Vec<(UserId, Position)>> {
        let mut planned = self.plan(users).await?;
        let ids: Vec<UserId> = planned.iter().map(|planned| planned.user).collect();
        self.parts.keys.create(&ids).await?;
        self.claim_planned(&mut planned).await?;
        let mut accounts = Vec::with_capacity(planned.len());
        for Planned { user, wish, profile } in planned {
            accounts.push(Account {
                user,
                password_hash: None,
                role: ServerRole::Member,
                bot: wish.bot,
                banned: false,
                created_at: wish.created_at,
                profile: self.seal(user, &profile).await?,
                external: wish.external,
                announced: false,
            });
        }
        self.parts.stores.accounts.put(&accounts).await?;
        let positions = self.announce(accounts).await?;
        // Should a sweeper have been faster with one of them, a later place shows it as well.
        let newest = positions.iter().flatten().copied().max_by_key(|position| position.offset);
        let newest = newest.ok_or(ServiceError::Busy)?;
        let positions = positions.into_iter().map(|position| position.unwrap_or(newest));
        Ok(ids.into_iter().zip(positions).collect())
    }

    async fn plan(&self, users: Vec<NewUser>) -> ServiceResult<Vec<Planned>> {
        let mut taken = HashSet::new();
        let mut planned = Vec::with_capacity(users.len());
        for wish in users {
            let username = self.free_name(&wish.username, &mut taken).await?;
            let email = self.free_email(wish.email.as_deref(), &mut taken).await?;
            let display_name = names::shown(&wish.display_name, &username);
            let profile = Profile { username, display_name, email, avatar: None };
            let user = UserId::fresh(&*self.parts.clock, &*self.parts.entropy);
            planned.push(Planned { user, wish, profile });
        }
        Ok(planned)
    }

    /// A name like `wanted` that nobody holds and that is not in `taken`.
    async fn free_name(
        &self,
        wanted: &str,
        taken: &mut HashSet<(ClaimKind, String)>,
    ) -> ServiceResult<String> {
        let numbers = (2..NUMBERS_TRIED + 2).map(|number| Some(number.to_string()));
        let letters = std::iter::repeat_with(|| Some(self.letters()));
        for suffix in std::iter::once(None).chain(numbers).chain(letters) {
            let name = names::fitting(wanted, suffix.as_deref());
            if self.take(ClaimKind::Username, &name, taken).await? {
                return Ok(name);
            }
        }
        Err(ServiceError::Busy)
    }

    /// The address if it is one and nobody has it: an import must not fail over a field that only
    /// serves signing in, and must not take it from its owner.
    async fn free_email(
        &self,
        wanted: Option<&str>,
        taken: &mut HashSet<(ClaimKind, String)>,
    ) -> ServiceResult<Option<String>> {
        let Some(email) = wanted.and_then(|text| user::email(text).ok()) else { return Ok(None) };
        let free = self.take(ClaimKind::Email, &folded(&email), taken).await?;
        Ok(free.then_some(email))
    }

    async fn take(
        &self,
        kind: ClaimKind,
        name: &str,
        taken: &mut HashSet<(ClaimKind, String)>,
    ) -> ServiceResult<bool> {
        let free = !taken.contains(&(kind, name.to_owned()))
            && self.parts.stores.claims.holder(kind, name).await?.is_none();
        if free {
            taken.insert((kind, name.to_owned()));
        }
        Ok(free)
    }

    /// Six letters and digits at random.
    fn letters(&self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bytes = self.parts.entropy.bytes16();
        let letter = |byte: &u8| LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'x');
        bytes.iter().take(6).map(|byte| char::from(letter(byte))).collect()
    }

    /// Claims all names together. Whoever lost one to somebody else meanwhile gets another.
    async fn claim_planned(&self, planned: &mut [Planned]) -> ServiceResult<()> {
        for _ in 0..CLAIMS_TRIED {
            let claims: Vec<Claim> = planned.iter().flat_map(Planned::claims).collect();
            let now = self.parts.clock.now();
            let Err((index, Claimed::Taken { .. })) =
                self.parts.stores.claims.claim(&claims, now).await?
            else {
                return Ok(());
            };
            let Some(lost) = claims.get(index) else { return Err(ServiceError::Busy) };
            let mut taken = claims.iter().map(|claim| (claim.kind, claim.name.clone())).collect();
            for loser in planned.iter_mut().filter(|planned| planned.user.bits() == lost.holder) {
                match lost.kind {
                    ClaimKind::Username => {
                        let name = self.free_name(&loser.wish.username, &mut taken).await?;
                        loser.profile.username = name;
                    }
                    ClaimKind::Email
                    | ClaimKind::ChannelName
                    | ClaimKind::DirectPair
                    | ClaimKind::Subject => loser.profile.email = None,
                }
            }
        }
        Err(ServiceError::Busy)
    }
}
