//! Presence and typing.

use klatch_domain::presence::{Choice, Presence, Status};
use klatch_domain::{Timestamp, UserId};
use klatch_ports::api::presence::{OwnPresence, PresenceView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode::{parse, parse_option, word};
use crate::problem::Problem;

/// Most people in one query.
pub const QUERY_USERS_MAX: usize = 1_000;

/// A person's presence, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Presence)]
pub struct PresenceBody {
    /// Who.
    pub user_id: String,
    /// `online`, `away`, `dnd` (not to be disturbed) or `offline`.
    pub status: &'static str,
    /// What they say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// An emoji beside the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// When what they chose to show ends: status, words and emoji.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When they were there last, of someone who is offline, if it is known. Kept for thirty days;
    /// a restart of the server may forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

impl PresenceBody {
    /// `presence` of `user`.
    pub fn of(user: UserId, presence: &Presence) -> Self {
        let Presence { status, text, emoji, until, last_seen } = presence;
        Self {
            user_id: user.to_string(),
            status: status.as_str(),
            text: text.clone(),
            emoji: emoji.clone(),
            expires_at: until.map(|until| until.to_string()),
            last_seen: last_seen.map(|at| at.to_string()),
        }
    }
}

/// Your own presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnPresence)]
pub struct OwnPresenceBody {
    /// As others see you.
    #[serde(flatten)]
    pub seen: PresenceBody,
    /// What your devices come to, without what you chose.
    pub devices: &'static str,
    /// The status you chose; absent while it goes by your devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<&'static str>,
}

impl From<OwnPresence> for OwnPresenceBody {
    fn from(own: OwnPresence) -> Self {
        let OwnPresence { view: PresenceView { user, presence, oldest: _ }, devices, chosen } = own;
        Self {
            seen: PresenceBody::of(user, &presence),
            devices: devices.as_str(),
            chosen: chosen.map(Status::as_str),
        }
    }
}

/// What to show others from now on. Replaces all that was chosen before.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChoosePresence {
    /// `online`, `away`, `dnd` or `offline`, shown while any of your devices is connected; absent:
    /// what the devices say.
    pub status: Option<String>,
    /// Up to 140 characters.
    pub text: Option<String>,
    /// Up to 32 characters.
    pub emoji: Option<String>,
    /// When all of it ends; at most a year ahead.
    pub expires_at: Option<String>,
}

impl ChoosePresence {
    /// The choice.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_choice(self) -> Result<Choice, Problem> {
        let Self { status, text, emoji, expires_at } = self;
        let status = status.map(|status| word(&status, "status", Status::parse)).transpose()?;
        let until = parse_option(expires_at.as_deref(), "expiresAt")?;
        Ok(Choice { status, text, emoji, until, since: Timestamp::default() })
    }
}

/// Whose presence to tell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PresenceQuery {
    /// Up to 1,000.
    #[schema(max_items = 1000)]
    pub user_ids: Vec<String>,
}

impl PresenceQuery {
    /// The ids, in order.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_users(self) -> Result<Vec<UserId>, Problem> {
        if self.user_ids.len() > QUERY_USERS_MAX {
            let detail = format!("at most {QUERY_USERS_MAX} ids");
            return Err(Problem::invalid_field("userIds").detail(detail));
        }
        let read = |(index, id): (usize, &String)| parse(id, &format!("userIds/{index}"));
        self.user_ids.iter().enumerate().map(read).collect()
    }
}

/// The presence of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PresenceList {
    /// In the order asked. Ids of nobody are offline.
    pub items: Vec<PresenceBody>,
}

impl From<Vec<PresenceView>> for PresenceList {
    fn from(views: Vec<PresenceView>) -> Self {
        let items = views.iter().map(|view| PresenceBody::of(view.user, &view.presence));
        Self { items: items.collect() }
    }
}

/// You type, or have stopped.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypingWord {
    /// True when absent.
    pub is_typing: Option<bool>,
}
