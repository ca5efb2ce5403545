//! The `OpenAPI` document.

use klatch_protocol::rest;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::answers;
use crate::routes::{
    admin, auth, compliance, docs, health, import, invitations, members, messages, meta, passwords,
    presence, rooms, sessions, sync, tokens, users,
};

/// The `OpenAPI` 3.1 document of the REST interface: what `GET /api/v1/openapi.json` answers.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    answers::complete(&mut document);
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Klatch",
        description = "REST interface of a Klatch server. Commands answer 202 once they are \
            durable, with the `position` at which reads see them: send it as `X-Klatch-Position`. \
            Errors are problem documents with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        auth::register, auth::login, auth::refresh, auth::logout, sessions::list, sessions::end,
        sessions::end_all, passwords::change, passwords::request, passwords::reset,
        invitations::list, invitations::make, invitations::take_back, invitations::look,
        invitations::accept,
        admin::users, admin::user, admin::change, admin::reset, admin::audit, admin::rotate,
        tokens::own, tokens::make_own, tokens::end_own, tokens::make_user, tokens::make_bot,
        tokens::of_bot, tokens::make_of_bot, tokens::end_of_bot,
        users::me, users::one, users::find,
        rooms::list, rooms::create, rooms::one, rooms::update, rooms::remove,
        members::list, members::add, members::change, members::remove,
        members::join, members::leave,
        messages::history, messages::send, messages::one, messages::edit, messages::remove,
        presence::own, presence::choose, presence::query, presence::typing,
        sync::sync, import::import, compliance::export, compliance::erase,
        meta::meta, docs::document, docs::reference, docs::problems, docs::problem,
        health::healthz, health::readyz, health::metrics,
    ),
    components(schemas(rest::message::ReactionBody)),
    modifiers(&Security),
    tags(
        (name = "auth", description = "Accounts, tokens, sessions"),
        (name = "invitations", description = "Links that let people in"),
        (name = "users"), (name = "rooms"), (name = "members"), (name = "messages"),
        (name = "sync", description = "What was missed"),
        (name = "presence", description = "Who is there, and who types; nothing of it is durable"),
        (name = "admin", description = "For administrators"),
        (name = "server", description = "The server itself"),
    )
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The access token"))
            .build();
        let cookie = ApiKeyValue::with_description(
            "klatch_access",
            "Set by signing in with `cookie: true`; changes also need `X-Klatch-CSRF`",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    }
}
