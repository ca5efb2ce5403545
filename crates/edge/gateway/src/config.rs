//! Settings of the role.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Settings of the role.
#[derive(Clone, Debug)]
pub struct Config {
    /// Version of the software, for `GET /api/v1/meta`.
    pub version: String,
    /// What an acknowledgement is worth, in one word: `fsync`, or `volatile` when a loss of power
    /// takes what was acknowledged with it.
    pub durability: &'static str,
    /// Whether browsers may send the cookies over TLS only. Set it unless the server is reached
    /// by plain HTTP.
    pub secure_cookies: bool,
    /// How long a browser keeps the refresh token; the life of a session.
    pub session_life: Duration,
    /// Origins whose pages may call the interface (with tokens, never with cookies). Empty: none
    /// but the server's own.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// What whoever reads `GET /metrics` has to show as a bearer token; nothing when absent.
    pub metrics_token: Option<String>,
    /// How long a body, or the next piece of an import, may be on its way.
    pub body_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            durability: "fsync",
            secure_cookies: false,
            session_life: Duration::from_hours(30 * 24),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics_token: None,
            body_timeout: Duration::from_secs(30),
        }
    }
}

/// A range of addresses, written `10.0.0.0/8`, `2001:db8::/32` or as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a range of addresses like 10.0.0.0/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |text| text.parse().map_err(|_| NetworkError))?;
        if prefix > longest { Err(NetworkError) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    /// Whether `address` lies in the range. Addresses of version 4 written in version 6 are meant
    /// as version 4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                shares(own.to_bits().into(), other.to_bits().into(), self.prefix, 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                shares(own.to_bits(), other.to_bits(), self.prefix, 128)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn shares(one: u128, other: u128, prefix: u8, bits: u8) -> bool {
    (one ^ other).checked_shr(u32::from(bits - prefix)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(holds("0.0.0.0/0", "198.51.100.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:ff::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("::/0", "::1"));
        for bad in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }
}
