//! Letters that hold a link to set a new password: written and sent behind the answer to whoever
//! asked, so that neither the answer nor its time tells whether there is an account.

use klatch_domain::UserId;
use klatch_ports::api::ServiceResult;
use klatch_ports::mail::Letter;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::Auth;

/// Letters that may wait; more are dropped: whoever waits in vain asks again.
const WAITING_MAX: usize = 256;

/// Who is to get a letter.
pub(crate) struct Letters {
    ask: Sender<UserId>,
    asked: Mutex<Option<Receiver<UserId>>>,
}

impl Default for Letters {
    fn default() -> Self {
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        Self { ask, asked: Mutex::new(Some(asked)) }
    }
}

impl Letters {
    /// Only where there is a mailer: without one nobody takes them out.
    pub(crate) fn ask(&self, user: UserId) {
        if self.ask.try_send(user).is_err() {
            tracing::warn!("too many letters wait already: one is not sent");
        }
    }
}

impl Auth {
    /// Writes and sends letters until the future is dropped. Run it once; without it, and without
    /// a mailer, nobody gets any.
    pub async fn run_letters(&self) {
        let Some(mut asked) = self.letters.asked.lock().take() else { return };
        while let Some(user) = asked.recv().await {
            if let Err(error) = self.send_reset(user).await {
                tracing::warn!(%error, user.id = %user, "a letter could not be sent");
            }
        }
    }

    async fn send_reset(&self, user: UserId) -> ServiceResult<()> {
        let Some(mailer) = &self.parts.mailer else { return Ok(()) };
        let Some(account) = self.parts.accounts.get(user).await? else { return Ok(()) };
        let profile = self.profile(&account).await?;
        let Some((email, name)) =
            profile.and_then(|profile| Some((profile.email?, profile.username)))
        else {
            return Ok(());
        };
        let token = self.make_reset(user).await?;
        let address = self.config.public_url.trim_end_matches('/');
        let text = format!(
            "Hello {name},\n\nwhoever opens this link within 30 minutes sets a new password for \
             your account at\n{address}:\n\n{address}/#/reset/{}\n\nIf you did not ask for it, do \
             nothing: your password stays as it is.\n",
            token.0
        );
        let subject = "Set a new password".to_owned();
        Ok(mailer.send(Letter { to: email, subject, text }).await?)
    }
}
