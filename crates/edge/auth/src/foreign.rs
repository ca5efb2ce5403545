//! Tokens of trusted issuers, and the users they name.

use hmac::{Hmac, KeyInit as _, Mac as _};
use klatch_domain::scope::Scopes;
use klatch_domain::{Timestamp, UserId};
use klatch_ports::accounts::{Claim, ClaimKind, Claimed};
use klatch_ports::api::auth::{Credential, NewUser, Provisioner as _, TokenError};
use klatch_ports::api::{ServiceError, ServiceResult};
use sha2::Sha256;

use crate::Auth;
use crate::accounts::folded;
use crate::config::{TrustedIssuer, TrustedKeys};
use crate::jwt::{self, Claims, Unproven};
use crate::published::Signed;
use crate::verify::{LEEWAY_MS, Proven, check_begin};

/// Longer subjects are refused.
const SUBJECT_BYTES_MAX: usize = 256;

impl Auth {
    pub(crate) async fn prove_foreign(
        &self,
        token: &Unproven<'_>,
        now: Timestamp,
    ) -> Result<Proven, TokenError> {
        let Unproven { claims, .. } = token;
        let issuer = self.config.trusted.iter().find(|issuer| issuer.issuer == claims.iss);
        let issuer = issuer.ok_or(TokenError::Invalid)?;
        self.check_signature(token, issuer).await?;
        check_begin(token, now)?;
        let for_us = issuer.audience.as_deref().is_none_or(|wanted| {
            claims.aud.as_ref().is_some_and(|audience| audience.holds(wanted))
        });
        if !for_us || !(1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len()) {
            return Err(TokenError::Invalid);
        }
        // The issuer's clock may be a little behind.
        let expires_at = jwt::time(claims.exp).plus_ms(LEEWAY_MS);
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        let user = self.subject(issuer, claims, now).await.map_err(|error| {
            tracing::warn!(%error, "the subject of a trusted issuer's token could not be found");
            TokenError::Unavailable
        })?;
        let user = user.ok_or(TokenError::Invalid)?;
        Ok(Proven { user, credential: Credential::Issuer, scopes: Scopes::ALL, expires_at })
    }

    /// What the signature is checked with follows from who the issuer is; a token has no say in it.
    async fn check_signature(
        &self,
        token: &Unproven<'_>,
        issuer: &TrustedIssuer,
    ) -> Result<(), TokenError> {
        let kind_fits = token
            .header
            .typ
            .as_deref()
            .is_none_or(|typ| ["jwt", "at+jwt"].contains(&typ.to_ascii_lowercase().as_str()));
        if !kind_fits {
            return Err(TokenError::Invalid);
        }
        let signed = match &issuer.keys {
            TrustedKeys::Secret(secret) if is_signed(token, secret) => Signed::Yes,
            TrustedKeys::Secret(_) => Signed::No,
            TrustedKeys::Published(keys) => self.is_published(token, keys).await,
        };
        match signed {
            Signed::Yes => Ok(()),
            Signed::No => Err(TokenError::Invalid),
            Signed::Unsure => Err(TokenError::Unavailable),
        }
    }

    /// The user a subject names: one provisioned for it, else the one of that user name, else a
    /// new one if the issuer may bring its own.
    async fn subject(
        &self,
        issuer: &TrustedIssuer,
        claims: &Claims,
        now: Timestamp,
    ) -> ServiceResult<Option<UserId>> {
        let name = subject_name(issuer, claims);
        if let Some(user) = self.named(&name, claims).await? {
            return Ok(Some(user));
        }
        if !issuer.provision {
            return Ok(None);
        }
        let _one_at_a_time = self.first_sight.lock().await;
        if let Some(user) = self.named(&name, claims).await? {
            return Ok(Some(user));
        }
        let wanted = claims.preferred_username.as_deref().unwrap_or(&claims.sub);
        let wish = NewUser {
            username: wanted.to_owned(),
            display_name: claims.name.clone().unwrap_or_else(|| wanted.to_owned()),
            email: None,
            bot: false,
            created_at: now,
            external: None,
        };
        let (user, _) = match self.provision(vec![wish]).await?.into_iter().next() {
            Some(made) => made?,
            None => return Ok(None),
        };
        let claim = Claim { kind: ClaimKind::Subject, name, holder: user.bits() };
        match self.parts.stores.claims.claim(std::slice::from_ref(&claim), now).await? {
            Ok(()) => {
                self.parts.stores.claims.confirm(&[claim]).await?;
                Ok(Some(user))
            }
            // Another instance was first; its user counts, and ours stays without a subject.
            Err((_, Claimed::Taken { holder, .. })) => Ok(Some(UserId::from_bits(holder))),
            Err((_, Claimed::Held)) => Ok(Some(user)),
        }
    }

    async fn named(&self, subject: &str, claims: &Claims) -> Result<Option<UserId>, ServiceError> {
        let name = folded(&claims.sub);
        for (kind, name) in [(ClaimKind::Subject, subject), (ClaimKind::Username, &name)] {
            let Some(holder) = self.parts.stores.claims.holder(kind, name).await? else { continue };
            let user = UserId::from_bits(holder);
            // A name may be held for an account that is only just being made.
            if self.parts.stores.accounts.get(user).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }
}

/// Subjects are unique per issuer. A line break cannot be in an issuer's configured name.
fn subject_name(issuer: &TrustedIssuer, claims: &Claims) -> String {
    format!("{}\n{}", issuer.issuer, claims.sub)
}

/// HS256 with the issuer's own secret, nothing else.
fn is_signed(token: &Unproven<'_>, secret: &[u8]) -> bool {
    let Unproven { header, signed, signature, .. } = token;
    let mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| header.alg == "HS256");
    mac.is_some_and(|mac| mac.chain_update(signed).verify_slice(signature).is_ok())
}
