//! What a server under test must not write into its log: whatever clients here sent and got that
//! nobody else may read. Noted only for servers that are watched.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::SET_COOKIE;
use serde_json::Value;

/// Members of JSON that are secrets, whoever says them.
const SECRET: [&str; 8] = [
    "password",
    "newPassword",
    "currentPassword",
    "accessToken",
    "refreshToken",
    "token",
    "link",
    "content",
];
/// Shorter ones may stand in a log by chance.
const BYTES_MIN: usize = 12;
/// Longer ones are looked for by their beginning.
const BYTES_MAX: usize = 256;
/// Noted for a server; what comes later is like what was before.
const NOTED_MAX: usize = 4_000;

type Noted = HashMap<String, HashSet<String>>;

static NOTED: LazyLock<Mutex<Noted>> = LazyLock::new(Mutex::default);

fn noted() -> MutexGuard<'static, Noted> {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on secrets that go to or come from `host` are noted.
pub fn watch(host: &str) {
    noted().entry(host.to_owned()).or_default();
}

/// Ends watching; the first line of `log` that holds a secret of `host`.
pub fn found_in(host: &str, log: &str) -> Option<String> {
    let secrets = noted().remove(host)?;
    let found = secrets.iter().find(|secret| log.contains(secret.as_str()))?;
    log.lines().find(|line| line.contains(found.as_str())).map(str::to_owned)
}

/// Notes one secret.
pub(crate) fn note(host: &str, secret: &str) {
    if let Some(secrets) = noted().get_mut(host) {
        add(secrets, secret);
    }
}

/// Notes the secrets in a body, if it is JSON.
pub(crate) fn note_body(host: &str, body: &[u8]) {
    let mut noted = noted();
    let Some(secrets) = noted.get_mut(host) else { return };
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        add_all(secrets, &value);
    }
}

/// Notes the values of cookies that are set.
pub(crate) fn note_cookies(host: &str, headers: &HeaderMap) {
    for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
        let value = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        note(host, value.map_or("", |(_, value)| value));
    }
}

fn add_all(secrets: &mut HashSet<String>, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_| SECRET.contains(&name.as_str())) {
                    Some(secret) => add(secrets, secret),
                    None => add_all(secrets, value),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_all(secrets, item)),
        _ => {}
    }
}

fn add(secrets: &mut HashSet<String>, secret: &str) {
    if secret.len() >= BYTES_MIN && secrets.len() < NOTED_MAX {
        let end = secret.floor_char_boundary(BYTES_MAX);
        secrets.insert(secret.get(..end).unwrap_or(secret).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_a_watched_server_is_found_in_its_log_and_others_are_not_looked_for() {
        let body = br#"{"items": [{"token": "a token of somebody", "name": "no secret at all"}]}"#;
        for host in ["one", "two"] {
            watch(host);
        }
        note_body("one", body);
        note_body("nobody watches", body);
        let log = "all is well\nrefused: a token of somebody\nno secret at all\n";
        assert_eq!(found_in("two", log), None);
        assert_eq!(found_in("nobody watches", log), None);
        assert_eq!(found_in("one", log).as_deref(), Some("refused: a token of somebody"));
        assert_eq!(found_in("one", log), None, "no longer watched");
    }
}
