//! The mail server: whether it lets this server in.

use std::sync::Arc;

use klatch_domain::Clock;

use super::Findings;
use crate::config::Config;
use crate::wiring::mailer;

/// Looks when one is configured. Sends nothing.
pub(super) async fn look(config: &Config, clock: &Arc<dyn Clock>, out: &mut Findings) {
    let Some(host) = &config.mail.host else { return };
    let place = format!("{host}:{}", config.mail.port());
    let mailer = match mailer(config, clock) {
        Ok(Some(mailer)) => mailer,
        Ok(None) => return,
        Err(error) => return out.bad("mail", error.to_string(), "put right what the line names"),
    };
    match mailer.try_out().await {
        Ok(()) if config.mail.username.is_some() => {
            out.good("mail", format!("{place} takes the login"));
        }
        Ok(()) => out.good("mail", format!("{place} answers")),
        Err(error) => {
            let mend = "look at mail.host, port, security, ca, username and password; until it \
                        works letters wait, links for 20 minutes";
            out.bad("mail", format!("{place}: {error}"), mend);
        }
    }
}
