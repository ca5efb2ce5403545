//! Who may do what how often.

use std::time::Duration;

use klatch_domain::UserId;
use klatch_domain::user::ServerRole;
use klatch_ports::api::auth::Identity;

use crate::address::Address;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Send a message.
    Send,
    /// Make a room.
    CreateRoom,
    /// Open a connection.
    Connect,
    /// Begin an upload.
    Upload,
    /// Sign in; by address.
    Login,
    /// Make an account; by address.
    Register,
    /// Read or search, or ask what was missed.
    Read,
    /// Anything else.
    Other,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Send,
        Self::CreateRoom,
        Self::Connect,
        Self::Upload,
        Self::Login,
        Self::Register,
        Self::Read,
        Self::Other,
    ];

    /// Its name in headers, metrics and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::CreateRoom => "create-room",
            Self::Connect => "connect",
            Self::Upload => "upload",
            Self::Login => "login",
            Self::Register => "register",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

/// Kinds of callers who have said who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A person.
    Person,
    /// A program with a user of its own.
    Bot,
    /// An administrator of the server, person or program.
    Admin,
}

impl Class {
    /// The kind of a user.
    pub fn of(role: ServerRole, is_bot: bool) -> Self {
        match (role, is_bot) {
            (ServerRole::Admin, _) => Self::Admin,
            (_, true) => Self::Bot,
            (_, false) => Self::Person,
        }
    }
}

/// Who asks. Two callers never share a bucket; one caller's change of kind keeps theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A user, by a good token.
    User(Class, UserId),
    /// Anyone else, by where they come from.
    Address(Address),
}

impl From<&Identity> for Class {
    fn from(identity: &Identity) -> Self {
        Self::of(identity.actor.role, identity.bot)
    }
}

impl From<&Identity> for Caller {
    fn from(identity: &Identity) -> Self {
        Self::User(Class::from(identity), identity.actor.user)
    }
}

/// So many in so long; all of them at once after a pause. A count of 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

impl Window {
    /// No limit.
    pub const OPEN: Self = Self { count: 0, per: Duration::from_secs(1) };

    const fn minute(count: u32) -> Self {
        Self { count, per: Duration::from_mins(1) }
    }

    const fn hour(count: u32) -> Self {
        Self { count, per: Duration::from_hours(1) }
    }
}

/// The windows of one kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// Messages.
    pub messages: Window,
    /// New rooms.
    pub rooms: Window,
    /// Uploads.
    pub uploads: Window,
    /// Reads and searches.
    pub reads: Window,
    /// Everything else.
    pub others: Window,
    /// Attempts to connect.
    pub connects: Window,
    /// Connections that are open at a time; 0: no limit.
    pub connections: u32,
}

/// The windows of those who have not said who they are, per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAddress {
    /// Attempts to sign in.
    pub logins: Window,
    /// New accounts.
    pub registrations: Window,
    /// Everything else, wrong tokens included.
    pub others: Window,
}

/// All windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of people.
    pub person: Allowances,
    /// Of bots.
    pub bot: Allowances,
    /// Of administrators.
    pub admin: Allowances,
    /// Of those who have not said who they are.
    pub address: ByAddress,
}

impl Default for Policy {
    fn default() -> Self {
        let person = Allowances {
            messages: Window::minute(60),
            rooms: Window::hour(10),
            uploads: Window::hour(20),
            reads: Window::minute(1_200),
            others: Window::minute(300),
            connects: Window::minute(30),
            connections: 5,
        };
        let bot = Allowances {
            messages: Window::minute(600),
            rooms: Window::hour(60),
            uploads: Window::hour(200),
            reads: Window::minute(6_000),
            others: Window::minute(3_000),
            connects: Window::minute(60),
            connections: 20,
        };
        let admin = Allowances {
            messages: Window::minute(600),
            rooms: Window::hour(600),
            uploads: Window::hour(600),
            reads: Window::minute(12_000),
            others: Window::minute(12_000),
            connects: Window::minute(60),
            connections: 20,
        };
        let address = ByAddress {
            logins: Window::minute(30),
            registrations: Window::hour(60),
            others: Window::minute(600),
        };
        Self { person, bot, admin, address }
    }
}

impl Policy {
    /// Nobody is limited: for benchmarks and tests.
    pub const OPEN: Self = {
        let open = Allowances {
            messages: Window::OPEN,
            rooms: Window::OPEN,
            uploads: Window::OPEN,
            reads: Window::OPEN,
            others: Window::OPEN,
            connects: Window::OPEN,
            connections: 0,
        };
        let address =
            ByAddress { logins: Window::OPEN, registrations: Window::OPEN, others: Window::OPEN };
        Self { person: open, bot: open, admin: open, address }
    };

    /// The window of `caller` for `action`.
    pub fn window(&self, caller: Caller, action: Action) -> Window {
        let of = match caller {
            Caller::User(class, _) => self.of(class),
            Caller::Address(_) => {
                return match action {
                    Action::Login => self.address.logins,
                    Action::Register => self.address.registrations,
                    _ => self.address.others,
                };
            }
        };
        match action {
            Action::Send => of.messages,
            Action::CreateRoom => of.rooms,
            Action::Connect => of.connects,
            Action::Upload => of.uploads,
            Action::Read => of.reads,
            Action::Login | Action::Register | Action::Other => of.others,
        }
    }

    /// Connections that a kind of caller may have open at a time; 0: no limit.
    pub fn connections(&self, class: Class) -> u32 {
        self.of(class).connections
    }

    fn of(&self, class: Class) -> &Allowances {
        match class {
            Class::Person => &self.person,
            Class::Bot => &self.bot,
            Class::Admin => &self.admin,
        }
    }
}
