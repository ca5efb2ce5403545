//! Settings: defaults, then `klatch.toml`, then `KLATCH_SECTION__KEY`, then flags.

mod error;
mod limits;
pub(crate) mod mail;
mod sections;
mod span;

use std::path::Path;
use std::sync::Arc;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};

use klatch_domain::Clock;

use crate::cli::{ConfigArgs, ServeArgs};
use crate::host::SystemClock;
use crate::wiring::Certificate;

pub(crate) use error::ConfigError;
pub(crate) use sections::{Config, Issuer, LogFormat, TlsFiles};
pub(crate) use span::Keep;

/// The file read when none is named.
const DEFAULT_FILE: &str = "klatch.toml";
/// What the variables begin with.
const PREFIX: &str = "KLATCH_";

/// Reads and checks all sources.
pub(crate) fn load(args: &ConfigArgs) -> Result<Config, ConfigError> {
    let figment = Figment::from(Serialized::defaults(Config::default()));
    let figment = match &args.config {
        // Whatever can be read: also a pipe.
        Some(file) if !file.exists() || file.is_dir() => {
            return Err(ConfigError::NoFile(file.clone()));
        }
        Some(file) => figment.merge(Toml::file_exact(file)),
        None if Path::new(DEFAULT_FILE).is_file() => figment.merge(Toml::file_exact(DEFAULT_FILE)),
        None => figment,
    };
    let variables = Env::prefixed(PREFIX)
        // Variables of the test suites are not settings.
        .filter(|key| key.as_str().contains("__"))
        .split("__");
    let config: Config = figment.merge(variables).extract().map_err(ConfigError::from_figment)?;
    config.validate()?;
    Ok(config)
}

/// [`load`], with the flags of `serve` on top.
pub(crate) fn for_serve(args: &ServeArgs) -> Result<Config, ConfigError> {
    let mut config = load(&args.config)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(dir) = &args.data_dir {
        config.server.data_dir.clone_from(dir);
    }
    Ok(config)
}

/// `klatch config check`.
pub(crate) fn check(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if let Some(trouble) = Certificate::read(&config, &clock)?.and_then(|it| it.trouble()) {
        crate::host::remark(&format!("the setting `server.tls.cert`: {trouble}"));
    }
    crate::wiring::trusted_issuers(&config)?;
    crate::wiring::mailer(&config, &clock)?;
    crate::host::say(&toml::to_string_pretty(&config)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::result_large_err, reason = "figment's jail wants its own error")]

    use klatch_testkit::ManualClock;

    use super::*;

    fn load_here() -> Result<Config, ConfigError> {
        load(&ConfigArgs { config: None })
    }

    #[test]
    fn later_sources_win() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(DEFAULT_FILE, "[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"a\"")?;
            assert_eq!(load_here().unwrap().server.listen.port(), 1);
            jail.set_env("KLATCH_SERVER__LISTEN", "127.0.0.1:2");
            let config = load_here().unwrap();
            assert_eq!(config.server.listen.port(), 2);
            assert_eq!(config.server.data_dir, Path::new("a"));
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(DEFAULT_FILE, "[server]\nlisten_on = \"127.0.0.1:1\"")?;
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("listen_on") && told.contains("did you mean `listen`"), "{told}");
            jail.create_file(DEFAULT_FILE, "[sever]\nlisten = \"127.0.0.1:1\"")?;
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("did you mean `server`"), "{told}");
            Ok(())
        });
    }

    #[test]
    fn an_unknown_variable_is_an_error_too() {
        figment::Jail::expect_with(|jail| {
            jail.set_env("KLATCH_SERVER__LISTN", "127.0.0.1:1");
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("did you mean `listen`"), "{told}");
            Ok(())
        });
    }

    #[test]
    fn values_that_do_not_fit_name_their_place() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(DEFAULT_FILE, "[server]\nlisten = 5")?;
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("server.listen") && told.contains("klatch.toml"), "{told}");
            Ok(())
        });
    }

    #[test]
    fn tls_wants_both_files_and_they_must_be_there() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(DEFAULT_FILE, "[server.tls]\ncert = \"cert.pem\"")?;
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("server.tls") && told.contains("`key`"), "{told}");
            jail.create_file(DEFAULT_FILE, "[server.tls]\ncert = \"cert.pem\"\nkeys = \"x\"")?;
            let told = load_here().unwrap_err().to_string();
            assert!(told.contains("did you mean `key`"), "{told}");
            jail.set_env("KLATCH_SERVER__TLS__CERT", "cert.pem");
            jail.create_file(DEFAULT_FILE, "[server.tls]\nkey = \"key.pem\"")?;
            let config = load_here().unwrap();
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
            let told = Certificate::read(&config, &clock).unwrap_err().to_string();
            let names = told.contains("`server.tls.cert`") && told.contains("cert.pem");
            assert!(names && told.contains("No such file"), "{told}");
            jail.create_file("cert.pem", "nothing")?;
            let told = Certificate::read(&config, &clock).unwrap_err().to_string();
            assert!(told.contains("`server.tls.key`") && told.contains("key.pem"), "{told}");
            jail.create_file("key.pem", "nothing")?;
            let told = Certificate::read(&config, &clock).unwrap_err().to_string();
            assert!(told.contains("BEGIN CERTIFICATE"), "{told}");
            Ok(())
        });
    }

    #[test]
    fn secrets_are_hidden_when_shown() {
        figment::Jail::expect_with(|jail| {
            let issuers = r#"[{name="x", secret="0123456789012345678901234567890123456789"}]"#;
            jail.set_env("KLATCH_AUTH__ISSUERS", issuers);
            let config = load_here().unwrap();
            assert_eq!(config.auth.issuers.len(), 1);
            let shown = toml::to_string_pretty(&config).unwrap();
            assert!(!shown.contains("0123456789") && shown.contains("***"), "{shown}");
            for (variable, key) in [
                ("KLATCH_AUTH__SETUP_TOKEN", "auth.setup_token"),
                ("KLATCH_TELEMETRY__METRICS_TOKEN", "telemetry.metrics_token"),
            ] {
                jail.set_env(variable, "fifteen letters");
                let told = load_here().unwrap_err().to_string();
                assert!(told.contains(key) && !told.contains("fifteen"), "{told}");
                jail.set_env(variable, "sixteen letters.");
                let shown = toml::to_string_pretty(&load_here().unwrap()).unwrap();
                assert!(!shown.contains("sixteen"), "{shown}");
            }
            Ok(())
        });
    }
}
