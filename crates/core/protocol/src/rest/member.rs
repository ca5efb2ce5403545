//! Members of rooms.

use klatch_domain::UserId;
use klatch_domain::member::{MemberRole, Membership};
use klatch_ports::api::commands::Changed;
use klatch_ports::api::queries::{MemberView, UserView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode::{parse, word};
use crate::problem::Problem;

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
pub struct MemberBody {
    /// Who.
    pub user_id: String,
    /// Unique name; empty once the person was erased.
    pub username: String,
    /// Shown name.
    pub display_name: String,
    /// Address of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// `owner`, `admin` or `member`.
    pub role: &'static str,
    /// When they came.
    pub joined_at: String,
    /// Whether a program acts under this name.
    pub bot: bool,
}

impl From<MemberView> for MemberBody {
    fn from(view: MemberView) -> Self {
        let MemberView { membership, user } = view;
        let Membership { user: id, role, joined_at, joined_seq: _, left_seq: _, read_floor: _ } =
            membership;
        let bot = user.as_ref().is_some_and(|view| view.user.bot);
        let profile = user.map(|UserView { user: _, profile }| profile);
        let (username, display_name, avatar) =
            profile.map_or_else(Default::default, |it| (it.username, it.display_name, it.avatar));
        Self {
            user_id: id.to_string(),
            username,
            display_name,
            avatar,
            role: role.as_str(),
            joined_at: joined_at.to_string(),
            bot,
        }
    }
}

/// A wish to bring a user in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddMember {
    /// Who.
    pub user_id: String,
    /// `owner`, `admin` or `member` (default).
    pub role: Option<String>,
}

impl AddMember {
    /// Who, and as what.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<(UserId, MemberRole), Problem> {
        let Self { user_id, role } = self;
        let role = role.map_or(Ok(MemberRole::Member), |role| read_role(&role))?;
        Ok((parse(&user_id, "userId")?, role))
    }
}

/// A wish to change a member's role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeMember {
    /// `owner`, `admin` or `member`.
    pub role: String,
}

impl ChangeMember {
    /// The new role.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_role(self) -> Result<MemberRole, Problem> {
        read_role(&self.role)
    }
}

fn read_role(text: &str) -> Result<MemberRole, Problem> {
    word(text, "role", MemberRole::parse)
}

/// An accepted change of a membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberChanged {
    /// Where.
    pub room_id: String,
    /// Who.
    pub user_id: String,
    /// Role now; absent when they are not in the room any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The change's number in the room.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Where on the log.
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: String,
}

impl MemberChanged {
    /// The answer about `user`, who has `role` now.
    pub fn of(changed: &Changed, user: UserId, role: Option<MemberRole>) -> Self {
        let Changed { room, seq, at, position } = changed;
        Self {
            room_id: room.to_string(),
            user_id: user.to_string(),
            role: role.map(MemberRole::as_str),
            seq: seq.0,
            at: at.to_string(),
            position: position.to_string(),
        }
    }
}
