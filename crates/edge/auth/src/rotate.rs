//! New keys sign access tokens; older ones go on to be known by what they have signed.

use std::sync::Arc;

use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_domain::permission::ServerAction;
use klatch_ports::api::ServiceResult;
use klatch_ports::{ErrorKind, PortError};

use crate::Auth;
use crate::signing::SigningKeys;

/// Most keys that are kept. A session's refresh token is of the key it was made with until it is
/// used: rotate more often than this in a session's life, and people sign in again.
const KEYS_MAX: usize = 8;

impl Auth {
    pub(crate) fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys.read())
    }

    /// A fresh key signs from now on. With `forget` the older ones are gone at once, and with them
    /// every session; else what they signed stays good until it ends.
    pub(crate) async fn rotate_signing_keys(&self, by: By, forget: bool) -> ServiceResult<()> {
        by.check(ServerAction::RotateKeys)?;
        let one_at_a_time = self.rotating.lock().await;
        let fresh = SigningKeys::generate(&*self.parts.entropy);
        let older = if forget { Vec::new() } else { self.keys().secrets() };
        let secrets: Vec<_> = std::iter::once(fresh).chain(older).take(KEYS_MAX).collect();
        let failed = |error| PortError::new(ErrorKind::Unavailable, "keys", "keep").because(error);
        self.note(AuditEntry::new(self.parts.clock.now(), by, Act::KeysRotated)).await?;
        let (keep, kept) = (Arc::clone(&self.parts.keep_keys), secrets.clone());
        let written = tokio::task::spawn_blocking(move || keep(&kept)).await;
        written.unwrap_or_else(|error| Err(error.into())).map_err(failed)?;
        let Some(keys) = SigningKeys::of(&secrets) else { return Ok(()) };
        *self.keys.write() = Arc::new(keys);
        if forget {
            self.verifier.forget_proofs();
        }
        drop(one_at_a_time);
        tracing::info!(forget, "new keys sign access tokens");
        Ok(())
    }
}
