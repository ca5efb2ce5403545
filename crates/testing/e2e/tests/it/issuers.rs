//! Tokens of an issuer that publishes its keys, on a real server that fetches them by HTTP.

use std::time::Duration;

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet, run};
use klatch_e2e::{socket, token};
use klatch_outside::Certificate;
use klatch_outside::issuer::{Issuer, Kind, Manner, SigningKey};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const NAME: &str = "https://login.example";

fn key(id: &str, kind: Kind) -> SigningKey {
    SigningKey::new(id, kind).unwrap()
}

fn trusting(more: &str) -> Settings {
    let value = format!("[{{name=\"{NAME}\", audience=\"chat\", provision=true, {more}}}]");
    Settings::default().with("KLATCH_AUTH__ISSUERS", &value)
}

fn claims(subject: &str) -> Value {
    let exp = token::unix_millis() / 1_000 + 3_600;
    json!({"iss": NAME, "sub": subject, "aud": ["chat"], "exp": exp, "name": "Zoë"})
}

async fn code(server: &Server, token: &str) -> (u16, String) {
    let rest = Rest::new(server.address(), Some(token.to_owned()));
    let answer = rest.get("/api/v1/users/me").await.unwrap();
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_keys_let_people_in_change_while_serving_and_stay_when_the_issuer_is_away() {
    let _turn = quiet::beside_others().await.unwrap();
    let certificate = Certificate::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, certificate.pem()).unwrap();
    let (one, two) = (key("one", Kind::Rsa(0)), key("two", Kind::P256));
    let issuer = Issuer::open(&[&one], Some(certificate.acceptor().unwrap())).await.unwrap();
    let settings = trusting(&format!("jwks_url=\"{}\", ca=\"{}\"", issuer.url(), ca.display()));
    let server = Server::start(settings).await.unwrap();
    let zoe = one.token(&claims("zoe")).unwrap();
    assert_eq!(code(&server, &zoe).await, (200, String::new()));
    let (_sender, mut receiver) = socket::connect(server.address(), &zoe, "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    // The issuer goes over to another key; its users are let in as soon as the server may ask.
    issuer.publish(&[&one, &two]);
    let again = two.token(&claims("zoe")).unwrap();
    let let_in = async {
        while code(&server, &again).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), let_in).await.expect("never let in");
    let me = async |token: &str| {
        let rest = Rest::new(server.address(), Some(token.to_owned()));
        rest.get("/api/v1/users/me").await.unwrap().success().unwrap().text("userId").unwrap()
    };
    assert_eq!(me(&zoe).await, me(&again).await);
    // Nothing, too much, or nonsense where keys were: those that are known stay.
    for manner in [
        Manner::Says(500, String::new()),
        Manner::Says(200, "x".repeat(1_000_000)),
        Manner::Says(200, json!({"keys": [{"kty": "oct", "kid": "two", "k": "AAAA"}]}).to_string()),
    ] {
        issuer.behave(manner);
        let fresh = two.token(&claims("yan")).unwrap();
        assert_eq!(code(&server, &fresh).await.0, 200);
    }
    drop(issuer);
    assert_eq!(code(&server, &one.token(&claims("xia")).unwrap()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_a_published_issuer_are_refused_on_every_surface() {
    let _turn = quiet::beside_others().await.unwrap();
    let (good, other) = (key("good", Kind::Rsa(0)), key("good", Kind::Rsa(1)));
    let issuer = Issuer::open(&[&good], None).await.unwrap();
    let server = Server::start(trusting(&format!("jwks_url=\"{}\"", issuer.url()))).await.unwrap();
    let (claims, public) = (claims("ann"), good.public());
    let head = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let modulus = public["n"].as_str().unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        good.token(&claims).unwrap()
    };
    assert_eq!(code(&server, &good.token(&claims).unwrap()).await.0, 200);
    let none = good.signed(&head("none", "good"), &claims).unwrap();
    let bad = [
        ("another's key", other.token(&claims).unwrap()),
        ("the public key as a secret", token::signed(&head("HS256", "good"), &claims, modulus)),
        ("the whole set as one", {
            let set = json!({"keys": [public]}).to_string();
            token::signed(&head("HS256", "good"), &claims, &set)
        }),
        ("no algorithm", format!("{}.", none.rsplit_once('.').unwrap().0)),
        ("an algorithm of another kind", good.signed(&head("ES256", "good"), &claims).unwrap()),
        ("a name that climbs", good.signed(&head("RS256", "../../good"), &claims).unwrap()),
        ("a name of a query", good.signed(&head("RS256", "' or 1=1 --"), &claims).unwrap()),
        ("for somebody else", with("aud", json!("shop"))),
        ("for nobody", with("aud", Value::Null)),
        ("of another issuer", with("iss", json!("https://evil.example"))),
        ("without an end", with("exp", Value::Null)),
        ("not begun", with("nbf", json!(token::unix_millis() / 1_000 + 600))),
    ];
    for (what, token) in bad {
        assert_eq!(code(&server, &token).await, (401, "invalid_token".to_owned()), "{what}");
        let refused = socket::connect(server.address(), &token, "").await.expect_err(what);
        assert!(refused.to_string().contains("401"), "{what}: {refused}");
    }
    let ended = with("exp", json!(token::unix_millis() / 1_000 - 60));
    assert_eq!(code(&server, &ended).await, (401, "token_expired".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_a_file_serve_as_well_and_an_issuer_that_is_not_there_refuses_nobody_for_good() {
    let _turn = quiet::beside_others().await.unwrap();
    let (files, good) = (tempfile::tempdir().unwrap(), key("good", Kind::Ed25519));
    let file = files.path().join("keys.json");
    std::fs::write(&file, json!({"keys": [good.public()]}).to_string()).unwrap();
    let settings = trusting(&format!("jwks_file=\"{}\"", file.display()));
    let server = Server::start(settings).await.unwrap();
    assert_eq!(code(&server, &good.token(&claims("ann")).unwrap()).await.0, 200);
    // Nobody is there to be asked: a client is to come again, not to sign its user out.
    let away = Issuer::open(&[], None).await.unwrap().url();
    let server = Server::start(trusting(&format!("jwks_url=\"{away}\""))).await.unwrap();
    assert_eq!(code(&server, &good.token(&claims("ann")).unwrap()).await.0, 503);
    let open = trusting("jwks_url=\"http://issuer.example/keys\"").variables;
    let said = run(&["config", "check"], &open, files.path()).unwrap();
    assert_eq!(said.exit, Exit::Code(64), "{}", said.err);
    assert!(said.err.contains("https"), "{}", said.err);
}
