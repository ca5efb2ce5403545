//! Letters through a real mail server: links, notices, and a mail server that is away.

use std::path::Path;
use std::time::{Duration, Instant};

use klatch_e2e::rest::{Answer, Rest};
use klatch_e2e::server::{Exit, Server, Settings, free_address, quiet, run};
use klatch_outside::Certificate;
use klatch_outside::post::{self, Mail, PostOffice, Tls};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a long password";
const OTHER_PASSWORD: &str = "quite another one";
const MAIL_SECRET: &str = "secret-of-the-mail-server";

/// A server whose letters go to `port`, in plain text.
fn plainly(port: u16) -> Settings {
    Settings::default()
        .with("KLATCH_MAIL__HOST", "127.0.0.1")
        .with("KLATCH_MAIL__PORT", &port.to_string())
        .with("KLATCH_MAIL__SECURITY", "none")
        .with("KLATCH_MAIL__FROM", "Klatch <chat@chat.example>")
}

/// A server that logs in through STARTTLS, with its password in a file.
fn in_secret(port: u16, certificate: &Certificate, files: &Path) -> Settings {
    let (ca, password) = (files.join("ca.pem"), files.join("password"));
    std::fs::write(&ca, certificate.pem()).unwrap();
    std::fs::write(&password, format!("{MAIL_SECRET}\n")).unwrap();
    Settings::default()
        .with("KLATCH_MAIL__HOST", "localhost")
        .with("KLATCH_MAIL__PORT", &port.to_string())
        .with("KLATCH_MAIL__CA", ca.to_str().unwrap())
        .with("KLATCH_MAIL__USERNAME", "klatch")
        .with("KLATCH_MAIL__PASSWORD_FILE", password.to_str().unwrap())
        .with("KLATCH_MAIL__FROM", "chat@chat.example")
}

async fn strict_office() -> (PostOffice, Certificate) {
    let certificate = Certificate::new().unwrap();
    let settings = post::Settings {
        tls: Tls::OnDemand(certificate.acceptor().unwrap()),
        login: Some(("klatch".to_owned(), MAIL_SECRET.to_owned())),
        mute: false,
    };
    (PostOffice::open(settings).await.unwrap(), certificate)
}

async fn register(server: &Server, name: &str) -> Rest {
    let email = format!("{name}@example.org");
    let body = json!({"username": name, "email": email, "password": PASSWORD});
    let answer = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    let token = answer.success().unwrap().text("accessToken").unwrap();
    Rest::new(server.address(), Some(token))
}

async fn post_json(server: &Server, path: &str, body: &Value) -> Answer {
    server.rest().post(path, body).await.unwrap()
}

async fn ask(server: &Server, login: &str) -> Answer {
    post_json(server, "/api/v1/auth/reset/request", &json!({ "login": login })).await
}

async fn log_in(server: &Server, password: &str) -> Answer {
    let body = json!({"login": "ann", "password": password});
    post_json(server, "/api/v1/auth/login", &body).await
}

fn token_in(server: &Server, mail: &Mail) -> String {
    let start = format!("http://{}/#/reset/", server.address());
    let link = mail.word(&start).unwrap_or_else(|| panic!("no link in {}", mail.data));
    link.strip_prefix(&start).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_password_comes_back_by_a_letter_whose_link_works_once() {
    let _turn = quiet::beside_others().await.unwrap();
    let (office, certificate) = strict_office().await;
    let files = tempfile::tempdir().unwrap();
    let settings = in_secret(office.address().port(), &certificate, files.path());
    let server = Server::start(settings).await.unwrap();
    let ann = register(&server, "ann").await;
    // The answer does not tell who is there, and nobody else gets a letter.
    let (known, unknown) = (ask(&server, "ann@example.org").await, ask(&server, "nobody").await);
    assert_eq!((known.status, &known.body), (202, &unknown.body));
    let mail = office.wait_for(1, SOON).await.expect("no letter").remove(0);
    assert_eq!((mail.secret, mail.login.as_deref()), (true, Some("klatch")));
    assert_eq!(mail.to, ["ann@example.org"]);
    let token = token_in(&server, &mail);
    let set = json!({"token": token, "newPassword": OTHER_PASSWORD});
    assert_eq!(post_json(&server, "/api/v1/auth/reset", &set).await.status, 204);
    let again = post_json(&server, "/api/v1/auth/reset", &set).await;
    again.problem(403, "invalid_reset_token").unwrap();
    // The old password and every session are gone.
    ann.get("/api/v1/users/me").await.unwrap().problem(401, "session_revoked").unwrap();
    log_in(&server, PASSWORD).await.problem(401, "invalid_credentials").unwrap();
    log_in(&server, OTHER_PASSWORD).await.success().unwrap();
    let mails = office.wait_for(2, SOON).await.expect("no notice");
    assert_eq!(mails[1].header("Subject"), "Your password was changed");
    assert_eq!(mails.len(), 2);
    for secret in [token.as_str(), MAIL_SECRET, "ann@example.org"] {
        assert!(!server.output().contains(secret), "{secret} is in the log");
    }
    let metrics = server.rest().get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("klatch_letters_total{outcome=\"sent\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_wait_for_a_mail_server_that_is_away_and_arrive_once() {
    let _turn = quiet::beside_others().await.unwrap();
    let away = free_address().unwrap();
    let server = Server::start(plainly(away.port())).await.unwrap();
    register(&server, "ann").await;
    let begun = Instant::now();
    for login in ["ann", "ann", "nobody"] {
        assert_eq!(ask(&server, login).await.status, 202);
    }
    // Whoever asks does not wait for the mail server.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let warned = async {
        while !server.output().contains("letters wait until the mail server takes them") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, warned).await.expect("nothing was tried");
    let office = PostOffice::open_at(away, post::Settings::default()).await.unwrap();
    let mails = office.wait_for(1, SOON).await.expect("no letter");
    let set = json!({"token": token_in(&server, &mails[0]), "newPassword": OTHER_PASSWORD});
    assert_eq!(post_json(&server, "/api/v1/auth/reset", &set).await.status, 204);
    // The link's letter came once: the next is the notice.
    let mails = office.wait_for(2, SOON).await.expect("no notice");
    assert_eq!(mails[1].header("Subject"), "Your password was changed");
    assert_eq!(mails.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_tries_the_mail_server_and_config_check_names_what_is_wrong_with_it() {
    let _turn = quiet::beside_others().await.unwrap();
    let (office, certificate) = strict_office().await;
    let files = tempfile::tempdir().unwrap();
    let here = files.path();
    let settings = in_secret(office.address().port(), &certificate, here);
    let address = free_address().unwrap().to_string();
    let doctor = async |variables: Vec<(String, String)>| {
        let (here, address) = (here.to_owned(), address.clone());
        let look = move || {
            let arguments = ["doctor", "--json", "--listen", &address, "--data-dir", "data"];
            run(&arguments, &variables, &here)
        };
        let said = tokio::task::spawn_blocking(look).await.unwrap().unwrap();
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|it| it["check"] == "mail").expect("nothing about mail")
    };
    assert_eq!(doctor(settings.variables.clone()).await["level"], "good");
    std::fs::write(here.join("password"), "wrong").unwrap();
    let found = doctor(settings.variables.clone()).await;
    assert_eq!(found["level"], "bad");
    assert!(found["text"].as_str().unwrap().contains("535"), "{found}");
    assert!(office.mails().is_empty());
    let variables = settings.with("KLATCH_MAIL__CA", "nowhere.pem").variables;
    let said = run(&["config", "check"], &variables, here).unwrap();
    assert_eq!(said.exit, Exit::Code(64), "{}", said.err);
    assert!(said.err.contains("mail.ca") && said.err.contains("nowhere.pem"), "{}", said.err);
}
