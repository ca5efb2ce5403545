//! Close codes and what a client should do about each.

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client closed; answered in kind.
    Normal,
    /// 1001: the server leaves.
    Leaving,
    /// 1002: the frames are not RFC 6455.
    ProtocolError,
    /// 1003: binary data.
    Unsupported,
    /// 1007: text that is not UTF-8.
    InvalidUtf8,
    /// 1009: a message above the limit.
    TooBig,
    /// 1012: restart; come back.
    Restart,
    /// 4001: the access token ended.
    TokenExpired,
    /// 4002: too slow; resumable.
    SlowConsumer,
    /// 4003: not a frame of this protocol, again and again.
    BadFrames,
    /// 4004: the token is not accepted.
    AuthenticationFailed,
    /// 4008: limits were ignored.
    RateLimited,
    /// 4012: draining; reconnect elsewhere after the delay in the reason.
    Draining,
    /// 4020: the session was ended.
    SessionRevoked,
}

impl CloseCode {
    /// All of them, by number.
    pub const ALL: [Self; 14] = [
        Self::Normal,
        Self::Leaving,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::Restart,
        Self::TokenExpired,
        Self::SlowConsumer,
        Self::BadFrames,
        Self::AuthenticationFailed,
        Self::RateLimited,
        Self::Draining,
        Self::SessionRevoked,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Leaving => 1001,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Restart => 1012,
            Self::TokenExpired => 4001,
            Self::SlowConsumer => 4002,
            Self::BadFrames => 4003,
            Self::AuthenticationFailed => 4004,
            Self::RateLimited => 4008,
            Self::Draining => 4012,
            Self::SessionRevoked => 4020,
        }
    }
}
