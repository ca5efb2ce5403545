//! The routes, one file per resource.

pub(crate) mod admin;
pub(crate) mod auth;
pub(crate) mod compliance;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod meta;
pub(crate) mod passwords;
pub(crate) mod presence;
pub(crate) mod rooms;
pub(crate) mod sessions;
pub(crate) mod sync;
pub(crate) mod tokens;
pub(crate) mod users;

use axum::Router;

use crate::edge::Shared;

/// Everything under `/api/v1`.
pub(crate) fn api() -> Router<Shared> {
    Router::new()
        .merge(auth::routes())
        .merge(sessions::routes())
        .merge(passwords::routes())
        .merge(invitations::routes())
        .merge(admin::routes())
        .merge(tokens::routes())
        .merge(users::routes())
        .merge(rooms::routes())
        .merge(members::routes())
        .merge(messages::routes())
        .merge(sync::routes())
        .merge(presence::routes())
        .merge(import::routes())
        .merge(compliance::routes())
        .merge(meta::routes())
        .merge(docs::routes())
}
