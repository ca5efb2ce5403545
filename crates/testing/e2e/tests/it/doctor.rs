//! `klatch doctor` before things that are really broken: ports, servers, proxies, certificates.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use klatch_e2e::server::{Exit, Said, Server, Settings, quiet, run};
use klatch_e2e::token;
use klatch_e2e::tunnel::Certificate;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

/// How a proxy is broken.
#[derive(Clone, Copy, Debug)]
enum Proxy {
    /// It is not.
    Good,
    /// It asks the server without the headers of an upgrade.
    Strips,
    /// It keeps what the server says after the first answer.
    Keeps,
    /// It ends connections soon.
    Ends,
}

/// A proxy before `server`.
async fn proxy(server: SocketAddr, kind: Proxy) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, kind));
        }
    });
    address
}

async fn pass(mut client: TcpStream, server: SocketAddr, kind: Proxy) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let head = head(&mut client).await;
    let asks = head.to_lowercase().contains("upgrade: websocket");
    let keeps = |line: &&str| !matches!(kind, Proxy::Strips) || !is_upgrade(line);
    let lines: Vec<&str> = head.split("\r\n").filter(keeps).collect();
    server.write_all(lines.join("\r\n").as_bytes()).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let there = copy(&mut from_client, &mut to_server);
    let back = async {
        if asks && matches!(kind, Proxy::Keeps) {
            let mut bytes = [0; 4096];
            let read = from_server.read(&mut bytes).await.unwrap();
            let end = bytes[..read].windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            to_client.write_all(&bytes[..end]).await.unwrap();
            let mut kept = Vec::new();
            let _ = from_server.read_to_end(&mut kept).await;
        } else {
            let _ = copy(&mut from_server, &mut to_client).await;
        }
    };
    let life = if asks && matches!(kind, Proxy::Ends) { 700 } else { 60_000 };
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        () = tokio::time::sleep(Duration::from_millis(life)) => {}
    }
}

fn is_upgrade(line: &str) -> bool {
    let line = line.to_lowercase();
    line.starts_with("upgrade:") || line.starts_with("connection:")
}

/// A request up to its empty line.
async fn head(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// The words of the doctor with these arguments, as people and as programs read them.
async fn doctor(here: &Path, arguments: &[&str]) -> (Said, Value) {
    let ask = |json: &'static [&'static str]| {
        let words = ["doctor"].iter().chain(arguments).chain(json);
        let words: Vec<String> = words.map(|&word| word.to_owned()).collect();
        let here = here.to_owned();
        // The proxies run on this thread.
        tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&words, &[], &here).unwrap()
        })
    };
    // One after the other: each tries the port, and would find it taken by the other.
    let said = ask(&[]).await.unwrap();
    let json = ask(&["--json"]).await.unwrap();
    assert_eq!(said.exit, json.exit, "{said:?} {json:?}");
    let report = serde_json::from_str(&json.out).unwrap();
    (said, report)
}

fn level<'a>(report: &'a Value, check: &str) -> &'a str {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.map_or("none", |finding| finding["level"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_a_server_is_well_and_a_port_that_somebody_else_has_is_not() {
    let here = tempfile::tempdir().unwrap();
    let free = klatch_e2e::server::free_address().unwrap().to_string();
    let (said, report) = doctor(here.path(), &["--listen", &free]).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    assert!(said.out.contains("✓ port"), "{}", said.out);
    assert_eq!((level(&report, "port"), report["well"].as_bool()), ("good", Some(true)));
    for check in ["space", "sync", "clock", "durability", "open files"] {
        assert_ne!(level(&report, check), "none", "{check}: {report}");
    }
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "nothing is made by looking");

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let deaf = tokio::spawn(async move {
        while let Ok((mut client, _)) = taken.accept().await {
            let _ = client.write_all(b"SSH-2.0-other\r\n").await;
        }
    });
    let (said, report) = doctor(here.path(), &["--listen", &address]).await;
    deaf.abort();
    assert_eq!((said.exit, level(&report, "port")), (Exit::Code(1), "bad"), "{said:?}");
    assert!(said.out.contains("✗ port") && said.out.contains("→ "), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_is_well_until_others_can_read_its_keys() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (dir, address) = (server.data_dir(), server.address().to_string());
    let here = tempfile::tempdir().unwrap();
    let arguments = ["--listen", &address, "--data-dir", dir.to_str().unwrap()];
    let (said, report) = doctor(here.path(), &arguments).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    for check in ["server", "permissions", "log", "clock"] {
        assert_eq!(level(&report, check), "good", "{check}: {}", said.out);
    }
    let ready = server.rest().get("/readyz").await.unwrap().success().unwrap();
    assert!(said.out.contains(&ready.text("durability").unwrap()), "{}", said.out);
    for path in [dir.clone(), dir.join("keys"), dir.join("keys/server.key")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (said, report) = doctor(here.path(), &arguments).await;
    assert_eq!((said.exit, level(&report, "permissions")), (Exit::Code(1), "bad"), "{said:?}");
    assert!(said.out.contains("chmod -R go-rwx"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_break_websockets_are_told_apart() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let free = klatch_e2e::server::free_address().unwrap().to_string();
    let ada = token::of("ada");
    for (kind, token, check, expected, words) in [
        (Proxy::Good, None, "websocket", "good", "reaches the server"),
        (Proxy::Strips, None, "websocket", "bad", "Upgrade header does not reach"),
        (Proxy::Good, Some("nonsense"), "websocket", "bad", "the token is not taken"),
        (Proxy::Good, Some(ada.as_str()), "quiet connection", "good", "stays open"),
        (Proxy::Strips, Some(ada.as_str()), "websocket", "bad", "proxy_set_header Upgrade"),
        (Proxy::Keeps, Some(ada.as_str()), "websocket", "bad", "no frame comes"),
        (Proxy::Ends, Some(ada.as_str()), "quiet connection", "bad", "proxy_read_timeout"),
    ] {
        let url = format!("http://{}", proxy(server.address(), kind).await);
        let mut arguments = vec!["--listen", &free, "--url", &url, "--idle", "2s"];
        arguments.extend(token.iter().flat_map(|token| ["--token", token]));
        let (said, report) = doctor(here.path(), &arguments).await;
        assert_eq!(level(&report, check), expected, "{kind:?} {check}: {}", said.out);
        assert!(said.out.contains(words), "{kind:?}: {}", said.out);
        let exit = Exit::Code(i32::from(expected == "bad"));
        assert_eq!(said.exit, exit, "{kind:?}: {}", said.out);
    }
    let nobody = format!("http://{free}");
    let (said, report) = doctor(here.path(), &["--listen", &free, "--url", &nobody]).await;
    assert_eq!((said.exit, level(&report, "address")), (Exit::Code(1), "bad"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_the_served_certificate_is_held_against_the_file_and_the_system() {
    let _turn = quiet::beside_others().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let (cert, key) = (here.path().join("cert.pem"), here.path().join("key.pem"));
    let write = |certificate: &Certificate| {
        std::fs::write(&cert, certificate.cert_pem()).unwrap();
        std::fs::write(&key, certificate.key_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&Certificate::new().unwrap());
    let settings = Settings::default()
        .with("KLATCH_SERVER__TLS__CERT", cert.to_str().unwrap())
        .with("KLATCH_SERVER__TLS__KEY", key.to_str().unwrap());
    let mut server = Server::stopped(settings).unwrap();
    server.spawn().unwrap();
    while TcpStream::connect(server.address()).await.is_err() {
        assert!(server.is_running(), "{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let file = here.path().join("klatch.toml");
    let address = server.address();
    let text = format!(
        "[server]\nlisten = \"{address}\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
        cert.display(),
        key.display()
    );
    std::fs::write(file, text).unwrap();
    let (said, report) = doctor(here.path(), &[]).await;
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    assert_eq!((level(&report, "server"), level(&report, "certificate")), ("good", "good"));
    // Nobody but this file vouches for it.
    let url = format!("https://localhost:{}", address.port());
    let (said, report) = doctor(here.path(), &["--url", &url]).await;
    assert_eq!(said.exit, Exit::Code(1), "{said:?}");
    assert!(said.out.contains("is not believed by this system"), "{}", said.out);
    assert_eq!(level(&report, "server"), "good");
    // Renewed on the disk, not yet in the process.
    write(&Certificate::new().unwrap());
    let (said, report) = doctor(here.path(), &[]).await;
    assert_eq!((said.exit, level(&report, "port")), (Exit::Code(1), "bad"), "{said:?}");
    assert!(said.out.contains("renewed a moment ago: look again"), "{}", said.out);
    // And then an unusable one.
    std::fs::write(&key, "nothing").unwrap();
    let (said, report) = doctor(here.path(), &[]).await;
    assert_eq!((said.exit, level(&report, "certificate")), (Exit::Code(1), "bad"), "{said:?}");
}
