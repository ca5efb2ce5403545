//! What letters say. Names are of few characters and links are ours: nothing that others wrote
//! freely gets into a letter.

use klatch_domain::Timestamp;

/// Subject and text of the letter with a link that sets a new password.
pub(super) fn reset(name: &str, place: &str, token: &str, until: Timestamp) -> (String, String) {
    let until = minute(until);
    let text = format!(
        "Hello {name},\n\n\
         somebody, hopefully you, asked for a new password for your account at {place}.\n\
         Open this link to choose it. It works once, until {until}:\n\n\
         {place}/#/reset/{token}\n\n\
         If you did not ask for it, do nothing: your password stays as it is.\n"
    );
    ("Choose a new password".to_owned(), text)
}

/// Subject and text of the notice that a password was changed.
pub(super) fn password_changed(name: &str, place: &str, at: Timestamp) -> (String, String) {
    let at = minute(at);
    let text = format!(
        "Hello {name},\n\n\
         the password of your account at {place} was changed on {at}.\n\
         Other devices were signed out by it.\n\n\
         If that was you, all is well. If it was not, ask for another one at once:\n\n\
         {place}/#/forgot\n"
    );
    ("Your password was changed".to_owned(), text)
}

/// Such as `2026-11-21 10:04 UTC`.
fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    let upto = text.get(..16).unwrap_or(&text).replace('T', " ");
    format!("{upto} UTC")
}
