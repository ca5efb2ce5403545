//! A server with a certificate: https and wss, and what it does to those who cannot shake hands.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use klatch_e2e::hostile::Hostile;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Exit, Server, Settings, quiet, run};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use klatch_e2e::tunnel::{self, Certificate};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const CERT: &str = "KLATCH_SERVER__TLS__CERT";
const KEY: &str = "KLATCH_SERVER__TLS__KEY";

/// A server with TLS, and a plain address that leads to it.
struct Secret {
    server: Server,
    certificate: Certificate,
    near: SocketAddr,
    files: TempDir,
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

impl Secret {
    async fn start(settings: Settings) -> Self {
        let (certificate, files) = (Certificate::new().unwrap(), tempfile::tempdir().unwrap());
        let cert = write(files.path(), "cert.pem", &certificate.cert_pem());
        let key = write(files.path(), "key.pem", &certificate.key_pem());
        let mut server = Server::stopped(settings.with(CERT, &cert).with(KEY, &key)).unwrap();
        let near = tunnel::open(server.address(), &certificate).await.unwrap();
        server.spawn().unwrap();
        let (rest, begun) = (Rest::new(near, None), Instant::now());
        while !rest.get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
            assert!(begun.elapsed() < Duration::from_mins(1), "not ready\n{}", server.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { server, certificate, near, files }
    }

    fn rest_as(&self, name: &str) -> Rest {
        Rest::new(self.near, Some(token::of(name)))
    }

    async fn room(&self, name: &str) -> String {
        let wish = json!({ "type": "channel", "name": "talk" });
        let made = self.rest_as(name).post("/api/v1/rooms", &wish).await.unwrap();
        made.success().unwrap().text("roomId").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_answers_with_secure_cookies_and_nothing_else_is_spoken() {
    let _turn = quiet::beside_others().await.unwrap();
    let secret = Secret::start(Settings::default()).await;
    let address = secret.server.address();
    // It answers before it has told where.
    let told = async {
        while !secret.server.output().contains(&format!("https://{address}")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.expect("it never tells its address");
    let body = json!({
        "username": "ann", "email": "ann@example.org",
        "password": "correct horse battery staple", "cookie": true,
    });
    let answer = Rest::new(secret.near, None).post("/api/v1/auth/register", &body).await.unwrap();
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!((answer.status, cookies.len()), (201, 3));
    assert!(cookies.iter().all(|cookie| cookie.to_str().unwrap().contains("; Secure")));
    // A client that speaks plainly is hung up on at once.
    let mut plain = Hostile::connect(address).await.unwrap();
    plain.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    assert!(plain.hangs_up_within(SOON).await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Someone who trusts another certificate does not get in.
    let other = Certificate::new().unwrap().connector().unwrap();
    assert!(tunnel::connect(address, &other).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_delivers_resumes_after_a_break_and_tells_a_slow_reader_of_the_hole() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default().with("KLATCH_REALTIME__QUEUE_KIB", "128");
    let secret = Secret::start(settings).await;
    let room = secret.room("ann").await;
    let ann = token::of("ann");
    let say = |text: String| json!({ "roomId": room, "content": text });
    let (mut sender, mut receiver) = socket::connect(secret.near, &ann, "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let mut position = String::new();
    for n in 0..20 {
        sender.send("message", say(format!("{n}")), &n.to_string()).await.unwrap();
        let event = receiver.next_of("message", SOON).await.unwrap();
        assert_eq!(event["payload"]["content"], n.to_string());
        event["payload"]["position"].as_str().unwrap().clone_into(&mut position);
    }
    // The line breaks; something is said meanwhile.
    drop((sender, receiver));
    let path = format!("/api/v1/rooms/{room}/messages");
    for n in 0..3 {
        let content = json!({ "content": format!("missed {n}") });
        secret.rest_as("ann").post(&path, &content).await.unwrap().success().unwrap();
    }
    let query = format!("?position={position}");
    let (sender, mut receiver) = socket::connect(secret.near, &ann, &query).await.unwrap();
    let mut resumed_seq = 0;
    for n in 0..3 {
        let event = receiver.next_of("message", SOON).await.unwrap();
        assert_eq!(event["payload"]["content"], format!("missed {n}"));
        resumed_seq = event["payload"]["seq"].as_u64().unwrap();
    }
    let resumed = receiver.next_of("resumed", SOON).await.unwrap();
    assert_eq!(resumed["payload"]["tier"], "replay");
    // From here on nothing is read for a while; then all comes that is due, or word of the hole.
    let content = json!({ "content": "x".repeat(30_000) });
    let rest = secret.rest_as("ann");
    let first = resumed_seq;
    for _ in 0..300 {
        rest.post(&path, &content).await.unwrap().success().unwrap();
    }
    let (mut last, mut told) = (first, 0);
    while last < first + 300 {
        let Ok(Incoming::Frame(_, frame)) = timeout(SOON, receiver.next()).await else {
            panic!("the connection ended at {last}")
        };
        if let Some(head) = frame["payload"]["headSeq"].as_u64() {
            assert!(head > last, "{head} after {last}");
            (last, told) = (head, told + 1);
        } else if let Some(seq) = frame["payload"]["seq"].as_u64() {
            assert_eq!(seq, last + 1);
            last = seq;
        }
    }
    assert!(told > 0, "all of 9 MB were kept for one who did not read");
    drop(sender);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_handshakes_are_hung_up_on_within_ten_seconds_and_leave_nothing_behind() {
    let _turn = quiet::alone().await.unwrap();
    let secret = Secret::start(Settings::default()).await;
    let address = secret.server.address();
    let resident = || secret.server.process().unwrap().resident_bytes().unwrap();
    // The first ones warm up what is kept for the next.
    for _ in 0..20 {
        drop(tunnel::connect(address, &secret.certificate.connector().unwrap()).await.unwrap());
    }
    let before = resident();
    // What a client says first, cut off; nothing at all; something else; a record too long.
    let hello = [&[0x16, 3, 1, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 3, 3][..], &[7; 100]].concat();
    let beginnings =
        [&hello[..], b"", b"\x16\x03", b"SSH-2.0-OpenSSH\r\n", &[0x16, 3, 1, 255, 255]];
    let mut bad = Vec::new();
    for round in 0..300 {
        let mut hostile = Hostile::connect(address).await.unwrap();
        hostile.send(beginnings[round % beginnings.len()]).await.unwrap();
        bad.push(hostile);
    }
    let begun = Instant::now();
    for hostile in &mut bad {
        assert!(hostile.hangs_up_within(Duration::from_secs(20)).await.unwrap());
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(12), "hung up after {took:?}");
    drop(bad);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    assert_eq!(Rest::new(secret.near, None).get("/readyz").await.unwrap().status, 200);
}

/// Waits until the server shows `certificate`.
async fn shows(server: SocketAddr, certificate: &Certificate) {
    let (connector, begun) = (certificate.connector().unwrap(), Instant::now());
    while tunnel::connect(server, &connector).await.is_err() {
        assert!(begun.elapsed() < SOON, "the certificate is not shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not_while_connections_go_on() {
    let _turn = quiet::beside_others().await.unwrap();
    let secret = Secret::start(Settings::default()).await;
    let (address, files) = (secret.server.address(), secret.files.path());
    let room = secret.room("ann").await;
    let (mut sender, mut receiver) =
        socket::connect(secret.near, &token::of("ann"), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let mut still_talks = async |text: &str| {
        sender.send("message", json!({ "roomId": room, "content": text }), text).await.unwrap();
        let event = receiver.next_of("message", SOON).await.unwrap();
        assert_eq!(event["payload"]["content"], text);
    };
    let renewed = Certificate::new().unwrap();
    write(files, "cert.pem", &renewed.cert_pem());
    write(files, "key.pem", &renewed.key_pem());
    let process = secret.server.process().unwrap();
    process.hang_up().unwrap();
    shows(address, &renewed).await;
    let old = secret.certificate.connector().unwrap();
    assert!(tunnel::connect(address, &old).await.is_err(), "nobody is shown the old one");
    still_talks("one").await;
    // From here on by way of the new one.
    let rest = Rest::new(tunnel::open(address, &renewed).await.unwrap(), None);
    let note = async || {
        rest.get("/readyz").await.unwrap().value().unwrap()["checks"]["certificate"].clone()
    };
    assert_eq!(note().await, "ok");
    // Half of a renewal is there, and stays.
    write(files, "key.pem", &Certificate::new().unwrap().key_pem());
    process.hang_up().unwrap();
    let begun = Instant::now();
    while note().await == "ok" {
        assert!(begun.elapsed() < SOON, "a broken pair is not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = note().await.as_str().unwrap().to_owned();
    assert!(told.contains("cannot be used") && told.contains("the log says"), "{told}");
    assert!(!told.contains('/') && !told.contains(".pem"), "strangers read it: {told}");
    assert_eq!(rest.get("/readyz").await.unwrap().status, 200);
    let metrics = rest.get("/metrics").await.unwrap().body;
    let metrics = std::str::from_utf8(&metrics).unwrap();
    for line in ["klatch_certificate_broken 1", "klatch_certificate_renewals_total 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(secret.server.output().contains("key.pem: the key does not belong"));
    shows(address, &renewed).await;
    still_talks("two").await;
    // It is put right.
    write(files, "key.pem", &renewed.key_pem());
    process.hang_up().unwrap();
    let begun = Instant::now();
    while note().await != "ok" {
        assert!(begun.elapsed() < SOON, "it is right again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    still_talks("three").await;
}

#[test]
fn files_that_are_missing_or_do_not_fit_are_named_before_anything_is_opened() {
    let here = tempfile::tempdir().unwrap();
    let (one, other) = (Certificate::new().unwrap(), Certificate::new().unwrap());
    let cert = write(here.path(), "cert.pem", &one.cert_pem());
    let key = write(here.path(), "key.pem", &one.key_pem());
    let foreign = write(here.path(), "foreign.pem", &other.key_pem());
    let missing = here.path().join("missing.pem").to_str().unwrap().to_owned();
    let cases = [
        (&missing, &key, "`server.tls.cert`", "missing.pem"),
        (&cert, &missing, "`server.tls.key`", "missing.pem"),
        (&key, &key, "`server.tls.cert`", "BEGIN CERTIFICATE"),
        (&cert, &cert, "`server.tls.key`", "BEGIN PRIVATE KEY"),
        (&cert, &foreign, "`server.tls.key`", "does not belong"),
    ];
    for (cert, key, setting, problem) in cases {
        let variables = [(CERT.to_owned(), cert.clone()), (KEY.to_owned(), key.clone())];
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "check"]] {
            let said = run(command, &variables, here.path()).unwrap();
            let told = said.err.contains(setting) && said.err.contains(problem);
            assert!(said.exit == Exit::Code(64) && told, "{said:?}");
        }
    }
    assert!(!here.path().join("data").exists());
    // One that has ended still serves those who look away; it is said, and nothing is refused.
    let ended = Certificate::ending(Duration::from_hours(24 * 365 * 20)).unwrap();
    let pair = [(CERT, "old.pem", ended.cert_pem()), (KEY, "old-key.pem", ended.key_pem())];
    let variables = pair.map(|(key, name, text)| (key.to_owned(), write(here.path(), name, &text)));
    let said = run(&["config", "check"], &variables, here.path()).unwrap();
    let told = said.err.contains("`server.tls.cert`") && said.err.contains("has ended");
    assert!(said.exit == Exit::Code(0) && told, "{said:?}");
    let alone = run(&["config", "check"], &[(CERT.to_owned(), cert)], here.path()).unwrap();
    assert!(alone.exit == Exit::Code(64) && alone.err.contains("`key`"), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_through_tls_costs_little_more_than_its_keys() {
    let _turn = quiet::alone().await.unwrap();
    let secret = Secret::start(Settings::default()).await;
    let resident = || secret.server.process().unwrap().resident_bytes().unwrap();
    let connect = async |count: usize| {
        let mut all = Vec::new();
        for n in 0..count {
            let ann = token::of(&format!("idle{}", n % 50));
            let (mut sender, mut receiver) = socket::connect(secret.near, &ann, "").await.unwrap();
            receiver.next_of("hello", SOON).await.unwrap();
            sender.send("ping", json!({}), "p").await.unwrap();
            receiver.next_of("pong", SOON).await.unwrap();
            all.push((sender, receiver));
        }
        all
    };
    let first = connect(200).await;
    let before = resident();
    let count = 300;
    let all = connect(count).await;
    // What the handshakes left behind is given back within moments; the least that is seen counts.
    let mut each = u64::MAX;
    for _ in 0..20 {
        each = each.min(resident().saturating_sub(before) / count as u64);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{each} bytes of resident memory per idle connection with TLS");
    assert!(each < 24 * 1024, "{each} bytes for each");
    drop((first, all));
}
