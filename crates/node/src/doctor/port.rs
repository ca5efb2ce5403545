//! The address to listen on: free, a Klatch's, or somebody else's.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::Findings;
use super::probe::{Answer, Place, Trust, Unreachable};
use crate::config::Config;

pub(super) async fn look(config: &Config, out: &mut Findings) {
    let listen = config.server.listen;
    match TcpListener::bind(listen).await {
        Ok(_) => out.good("port", format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let tls = config.server.tls.as_ref();
            let trust = tls.and_then(|files| CertificateDer::from_pem_file(&files.cert).ok());
            ask(Place::here(reachable(listen), trust.map(Trust::Exactly)), out).await;
        }
        Err(error) => {
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "take a port from 1024 on, or: setcap cap_net_bind_service=+ep klatch"
                }
                ErrorKind::AddrNotAvailable => "take an address that this machine has, or 0.0.0.0",
                _ => "take another address with --listen",
            };
            out.bad("port", format!("{listen} cannot be listened on: {error}"), mend);
        }
    }
}

/// Where a server on this machine is reached that listens everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(place: Place, out: &mut Findings) {
    let address = place.authority();
    let taken = "stop what listens there, or take another address with --listen";
    match place.get("/readyz").await {
        Ok(answer) if *answer.value("ready") == true => {
            let worth = answer.text("durability");
            out.good("server", format!("a Klatch answers on {address} and is ready ({worth})"));
        }
        Ok(answer) if *answer.value("ready") == false => {
            let checks = answer.value("checks").as_object().into_iter().flatten();
            let wrong = checks.filter(|(_, told)| *told != "ok");
            let tell =
                |(name, told)| format!("{name}: {}", Value::as_str(told).unwrap_or("unknown"));
            let wrong: Vec<String> = wrong.map(tell).collect();
            let wrong = wrong.join(", ");
            let text = format!("a Klatch answers on {address} and is not ready: {wrong}");
            out.bad("server", text, "look at its log; what it says there has a line in the manual");
        }
        Ok(Answer { status, .. }) => {
            let text =
                format!("{address} is taken by something that is no Klatch (status {status})");
            out.bad("port", text, taken);
        }
        Err(Unreachable::Tls(error)) => {
            let text = format!("what listens on {address} does not show the certificate: {error}");
            out.bad(
                "port",
                text,
                "renewed a moment ago: look again; else see what the server logs",
            );
        }
        Err(Unreachable::Connect(error)) => {
            out.bad("port", format!("{address} is taken and does not answer: {error}"), taken);
        }
    }
}
