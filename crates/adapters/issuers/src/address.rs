//! Where keys are fetched from.

use std::net::IpAddr;

use http::Uri;

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// Path and query.
    pub(crate) path: String,
    /// What belongs into `Host`.
    pub(crate) authority: String,
}

/// An address that keys are not fetched from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("it is no address like https://issuer.example/keys")]
    Malformed,
    /// Whoever is on the way could put other keys in.
    #[error("keys are believed only through https, or from this machine")]
    Open,
    /// The certificates cannot be read.
    #[error("there is no certificate in it (BEGIN CERTIFICATE)")]
    Ca,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let uri: Uri = url.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        // A name and a password in it would end up in logs.
        if authority.as_str().contains('@') {
            return Err(AddressError::Malformed);
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(AddressError::Malformed),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if !tls && !here {
            return Err(AddressError::Open);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, tls, path, authority: authority.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_asked() {
        let keys = Address::parse("https://issuer.example/keys?v=2").unwrap();
        assert_eq!((keys.host.as_str(), keys.port, keys.tls), ("issuer.example", 443, true));
        assert_eq!((keys.path.as_str(), keys.authority.as_str()), ("/keys?v=2", "issuer.example"));
        let six = Address::parse("http://[::1]:8443").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.path.as_str()), ("::1", 8443, "/"));
        assert_eq!(six.authority, "[::1]:8443");
        for open in ["http://issuer.example/keys", "http://10.0.0.1/", "http://localhost.evil/"] {
            assert_eq!(Address::parse(open), Err(AddressError::Open), "{open}");
        }
        for bad in ["", "issuer.example", "/keys", "ftp://x", "file:///etc/passwd", "https://a@b/"]
        {
            assert_eq!(Address::parse(bad), Err(AddressError::Malformed), "{bad}");
        }
    }
}
