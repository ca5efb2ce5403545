use std::sync::Arc;
use std::time::Duration;

use klatch_mail::{Config, ConfigError, Login, Security, SmtpMailer};
use klatch_outside::Certificate;
use klatch_outside::post::{PostOffice, Settings, Tls};
use klatch_ports::ErrorKind;
use klatch_ports::mail::{Handover, Letter, Mailer as _};
use klatch_testkit::ManualClock;

const SECRET: &str = "a secret of the mail server";

fn letter(to: &str) -> Letter {
    Letter {
        id: "0123abcd".to_owned(),
        to: to.to_owned(),
        subject: "Grüße: a link".to_owned(),
        text: "Hello Zoë,\n\n.a line that begins with a dot\n\
               https://chat.example/#/reset/0123456789012345678901234567890123456789012345\n"
            .to_owned(),
    }
}

fn config(office: &PostOffice, security: Security) -> Config {
    Config {
        host: "localhost".to_owned(),
        port: office.address().port(),
        security,
        ca: None,
        login: None,
        from: "Klatch <chat@chat.example>".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

fn mailer(config: Config) -> SmtpMailer {
    SmtpMailer::new(config, Arc::new(ManualClock::default())).unwrap()
}

fn login(password: &str) -> Login {
    Login { username: "klatch".to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn a_letter_arrives_with_its_words_and_says_that_it_is_a_machines() {
    let office = PostOffice::open(Settings::default()).await.unwrap();
    let mailer = mailer(config(&office, Security::Plain));
    let sent = mailer.send(&letter("zoe@example.org")).await.unwrap();
    assert_eq!(sent, Handover::Taken);
    let mails = office.mails();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!((mail.from.as_str(), mail.secret), ("chat@chat.example", false));
    assert_eq!(mail.to, ["zoe@example.org"]);
    assert_eq!(mail.text().trim_end(), letter("").text.trim_end());
    assert_eq!(mail.header("From"), "Klatch <chat@chat.example>");
    assert_eq!(mail.header("To"), "zoe@example.org");
    assert_eq!(mail.header("Message-ID"), "<0123abcd@chat.example>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Date").starts_with("Thu, 01 Jan 2026 00:00:00"), "{}", mail.data);
    // A subject that is not ASCII is written in encoded words.
    assert!(mail.header("Subject").contains("=?utf-8?b?"), "{}", mail.data);
    assert!(mail.word("https://").unwrap().ends_with("789012345"));
}

#[tokio::test]
async fn through_starttls_and_tls_a_letter_and_a_login_arrive_in_secret() {
    let certificate = Certificate::new().unwrap();
    let acceptor = certificate.acceptor().unwrap();
    let ways = [
        (Security::StartTls, Tls::OnDemand(acceptor.clone())),
        (Security::Tls, Tls::AtOnce(acceptor)),
    ];
    for (security, tls) in ways {
        let login_wanted = Some(("klatch".to_owned(), SECRET.to_owned()));
        let settings = Settings { tls, login: login_wanted, mute: false };
        let office = PostOffice::open(settings).await.unwrap();
        let ca = Some(certificate.pem().into_bytes());
        let config = Config { ca, login: Some(login(SECRET)), ..config(&office, security) };
        mailer(config.clone()).try_out().await.unwrap();
        assert!(office.mails().is_empty(), "trying out sends nothing");
        let sent = mailer(config.clone()).send(&letter("ann@example.org")).await.unwrap();
        assert_eq!(sent, Handover::Taken);
        let mail = office.mails().remove(0);
        assert_eq!((mail.secret, mail.login.as_deref()), (true, Some("klatch")));
        // A wrong password says nothing about the letter.
        let wrong = Config { login: Some(login("guess")), ..config.clone() };
        let error = mailer(wrong).send(&letter("ann@example.org")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Misconfigured);
        assert!(error.to_string().contains("535") && !error.to_string().contains("guess"));
        // Nobody who is not believed gets a letter or a password.
        let strange = Certificate::new().unwrap().pem().into_bytes();
        let before = office.refused_logins();
        for ca in [None, Some(strange)] {
            let config = Config { ca, ..config.clone() };
            let error = mailer(config).send(&letter("ann@example.org")).await.unwrap_err();
            assert!(!error.to_string().contains(SECRET), "{error}");
        }
        assert_eq!((office.mails().len(), office.refused_logins()), (1, before));
    }
}

#[tokio::test]
async fn a_mail_server_without_starttls_gets_neither_letter_nor_password() {
    let login_wanted = Some(("klatch".to_owned(), SECRET.to_owned()));
    let settings = Settings { login: login_wanted, ..Settings::default() };
    let office = PostOffice::open(settings).await.unwrap();
    let config = Config { login: Some(login(SECRET)), ..config(&office, Security::StartTls) };
    let error = mailer(config).send(&letter("ann@example.org")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured, "{error}");
    assert_eq!((office.connections(), office.mails().len(), office.refused_logins()), (1, 0, 0));
}

#[tokio::test]
async fn refusals_are_told_apart_from_a_server_that_is_not_there() {
    let office = PostOffice::open(Settings::default()).await.unwrap();
    let plain = config(&office, Security::Plain);
    let mailer_of = |config: &Config| mailer(config.clone());
    let send = async |to: &str| mailer_of(&plain).send(&letter(to)).await;
    assert_eq!(send("busy@example.org").await.unwrap(), Handover::Later(450));
    assert_eq!(send("gone@example.org").await.unwrap(), Handover::Never(550));
    assert_eq!(send("no address").await.unwrap(), Handover::Never(553));
    // This mail server cannot take addresses beyond ASCII.
    assert_eq!(send("zoë@example.org").await.unwrap(), Handover::Never(553));
    assert_eq!(send("cut@example.org").await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(send("ann@example.org").await.unwrap(), Handover::Taken);
    let quick = Config { timeout: Duration::from_millis(200), ..plain.clone() };
    let mute = PostOffice::open(Settings { mute: true, ..Settings::default() }).await.unwrap();
    let slow = Config { port: mute.address().port(), ..quick };
    let error = mailer_of(&slow).send(&letter("ann@example.org")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    drop(office);
    assert_eq!(send("ann@example.org").await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(mailer_of(&plain).try_out().await.is_err());
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let office = PostOffice::open(Settings::default()).await.unwrap();
    let start = |config| SmtpMailer::new(config, Arc::new(ManualClock::default())).unwrap_err();
    let plain = config(&office, Security::Plain);
    let nobody = Config { from: "nobody".to_owned(), ..plain };
    assert_eq!(start(nobody), ConfigError::From("nobody".to_owned()));
    for ca in ["nothing", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"] {
        let ca = Some(ca.as_bytes().to_vec());
        let config = Config { ca, ..config(&office, Security::Tls) };
        assert_eq!(start(config), ConfigError::Ca);
    }
}
