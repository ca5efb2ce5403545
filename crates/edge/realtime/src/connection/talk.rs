//! What a client says, and what is done about it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use klatch_domain::RoomId;
use klatch_domain::scope::Scope;
use klatch_limits::{Action, Asked};
use klatch_ports::Position;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::auth::TokenError;
use klatch_ports::api::commands::{Changed, SendMessage, Sent};
use klatch_protocol::problem::{Code, Problem};
use klatch_protocol::ws::client::{ClientFrame, FrameError, Request, parse};
use klatch_protocol::ws::close::CloseCode;
use klatch_protocol::ws::server;

use super::strikes::{Allowance, Rate, Strikes};
use super::{Connection, Phase, Waiting};
use crate::config::RealtimeConfig;
use crate::framing::{Flow, Incoming, pong_frame};
use crate::resume::resume;

/// Words beyond the allowance within a minute that close a connection.
const IGNORED_MAX: u8 = 10;

type Pending = Pin<Box<dyn Future<Output = Option<Admitted>> + Send>>;

/// A request whose turn came after its sender's bucket was asked.
struct Admitted {
    request_id: Option<String>,
    request: Request,
}

/// The conversation with one client.
pub(super) struct Talk {
    connection: Arc<Connection>,
    /// What must be done before the client is listened to again.
    pending: Option<Pending>,
    misunderstood: Strikes,
    allowance: Allowance,
    /// Words beyond the allowance.
    ignored: Strikes,
    /// Whether the client has said something, so that live events need not be held any longer.
    spoke: bool,
}

impl Talk {
    pub(super) fn new(connection: Arc<Connection>, resume_from: Option<Vec<Position>>) -> Self {
        let spoke = resume_from.is_some();
        let pending = resume_from.map(|positions| {
            let connection = Arc::clone(&connection);
            // What a resume needs is made when it begins: after a storm thousands wait for `hello`.
            after(async { Box::pin(resume(connection, None, positions)).await })
        });
        let shared = &connection.shared;
        let allowance = Allowance::full(rate(&shared.config), shared.tick());
        let (misunderstood, ignored) = (Strikes::default(), Strikes::default());
        Self { connection, pending, misunderstood, allowance, ignored, spoke }
    }

    /// Ready when nothing has to be waited for.
    pub(super) fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(pending) = &mut self.pending {
            // A resume from the address begins with `hello`.
            if self.connection.phase() == Phase::Arriving {
                return Poll::Pending;
            }
            let admitted = std::task::ready!(pending.as_mut().poll(cx));
            self.pending = None;
            if let Some(Admitted { request_id, request }) = admitted {
                self.perform(request_id, request);
            }
        }
        Poll::Ready(())
    }

    /// Nothing that was begun matters any more.
    pub(super) fn give_up(&mut self) {
        self.pending = None;
    }

    pub(super) fn take(&mut self, incoming: Incoming<'_>) -> Flow {
        let closing = matches!(self.connection.phase(), Phase::Closing { .. });
        match incoming {
            Incoming::Close(code) => {
                self.peer_closes(code);
                return Flow::Stop;
            }
            _ if closing => return Flow::Go,
            Incoming::Text(text) => self.text(text),
            Incoming::Ping(payload) => {
                if self.is_allowed(|| None) {
                    self.connection.answer(pong_frame(payload));
                }
            }
            Incoming::Pong => {}
        }
        let wait = self.pending.is_some() || self.connection.is_saturated();
        if wait { Flow::Stop } else { Flow::Go }
    }

    fn peer_closes(&mut self, code: Option<u16>) {
        tracing::debug!(connection.id = %self.connection.id, code, "the peer closes");
        self.connection.close_in_kind(code);
    }

    fn text(&mut self, text: &str) {
        self.connection.stats().frame_in();
        let frame = parse(text);
        let resumes = matches!(&frame, Ok(ClientFrame { request: Request::Resume(_), .. }));
        let first = !std::mem::replace(&mut self.spoke, true);
        if first && !resumes {
            self.connection.release(|_| false);
        }
        let id = |frame: &Result<ClientFrame, FrameError>| match frame {
            Ok(frame) => frame.request_id.clone(),
            Err(error) => error.request_id.clone(),
        };
        if !self.is_allowed(|| id(&frame)) {
            return;
        }
        let ClientFrame { request_id, request } = match frame {
            Ok(frame) => frame,
            Err(error) => return self.not_understood(&error),
        };
        if !self.connection.scopes().has(scope_of(&request)) {
            let problem = Problem::new(Code::InsufficientScope);
            return self.connection.answer(refusal(request_id.as_deref(), &problem));
        }
        if is_deed(&request) {
            self.connection.act();
        }
        let Some(action) = counted_as(&request) else { return self.perform(request_id, request) };
        let connection = &self.connection;
        let caller = connection.caller();
        match connection.shared.deps.limits.ask(caller, action) {
            Asked::Free => self.perform(request_id, request),
            Asked::Known(standing) => match standing.refused {
                None => self.perform(request_id, request),
                Some(wait) => connection.refuse_for_now(request_id.as_deref(), wait),
            },
            Asked::Unknown => {
                let connection = Arc::clone(connection);
                self.pending = Some(Box::pin(async move {
                    let standing = connection.shared.deps.limits.take(caller, action).await;
                    if let Some(wait) = standing.and_then(|standing| standing.refused) {
                        connection.refuse_for_now(request_id.as_deref(), wait);
                        return None;
                    }
                    Some(Admitted { request_id, request })
                }));
            }
        }
    }

    fn perform(&mut self, request_id: Option<String>, request: Request) {
        match request {
            Request::Ping => {
                let positions = self.connection.shared.positions();
                self.connection.answer(server::pong(request_id.as_deref(), &positions));
            }
            Request::Subscribe(subscription) => {
                let positions = self.connection.shared.positions();
                let answer = server::subscribed(request_id.as_deref(), &positions);
                self.connection.subscribe(subscription, answer);
                if let Some(ask) = self.connection.ask() {
                    self.wait_for(|connection| async move { connection.ask_later(ask).await });
                }
            }
            // Nobody is told yet how far others have got.
            Request::Ack(..) => {}
            Request::Message(room, message) => self.send(request_id, room, message),
            Request::Edit(room, message, content) => self.wait_for(|connection| async move {
                let commands = Arc::clone(&connection.shared.deps.commands);
                let actor = connection.actor();
                let outcome = commands.edit_message(actor, room, message, content).await;
                connection.answer(changed(request_id.as_deref(), outcome, message));
            }),
            Request::Delete(room, message) => self.wait_for(|connection| async move {
                let commands = Arc::clone(&connection.shared.deps.commands);
                let outcome = commands.delete_message(connection.actor(), room, message).await;
                connection.answer(changed(request_id.as_deref(), outcome, message));
            }),
            Request::Resume(positions) => {
                self.wait_for(|connection| resume(connection, request_id, positions));
            }
            Request::Typing(room, is_typing) => self.wait_for(|connection| async move {
                connection.type_word(request_id.as_deref(), room, is_typing).await;
            }),
            Request::Presence(status, words) => self.wait_for(|connection| async move {
                connection.presence_word(request_id.as_deref(), status, words).await;
            }),
            Request::Auth(token) => self.wait_for(|connection| auth(connection, request_id, token)),
        }
    }

    fn wait_for<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        make: impl FnOnce(Arc<Connection>) -> F,
    ) {
        self.pending = Some(after(make(Arc::clone(&self.connection))));
    }

    fn send(&mut self, request_id: Option<String>, room: RoomId, message: SendMessage) {
        let connection = Arc::clone(&self.connection);
        let key = message.client_key.clone();
        connection.begin_command();
        let reply = Box::new(move |outcome| {
            let answer = sent(request_id.as_deref(), outcome, key.as_deref());
            connection.end_command(answer);
        });
        let connection = &self.connection;
        connection.shared.deps.commands.submit_message(connection.actor(), room, message, reply);
    }

    /// Whether the client may say one more word now; if not, it is told so, until it is too often.
    fn is_allowed(&mut self, request_id: impl FnOnce() -> Option<String>) -> bool {
        let connection = &self.connection;
        let shared = &connection.shared;
        if self.allowance.take(rate(&shared.config), shared.tick()) {
            return true;
        }
        shared.stats.rate_limited();
        let problem = Problem::new(Code::RateLimited).detail("too many frames at once");
        connection.answer(refusal(request_id().as_deref(), &problem));
        if self.ignored.one_more(shared.tick(), IGNORED_MAX) {
            let reason = "too many frames, again and again";
            connection.close(CloseCode::RateLimited, reason, Waiting::Keep);
        }
        false
    }

    fn not_understood(&mut self, error: &FrameError) {
        let code = Code::ALL.iter().copied().find(|code| code.as_str() == error.code);
        let problem = Problem::new(code.unwrap_or(Code::InvalidPayload)).detail(&error.detail);
        let connection = &self.connection;
        connection.answer(refusal(error.request_id.as_deref(), &problem));
        let shared = &connection.shared;
        if self.misunderstood.one_more(shared.tick(), shared.config.bad_frames_max) {
            let reason = "too many frames that are not understood";
            connection.close(CloseCode::BadFrames, reason, Waiting::Keep);
        }
    }
}

fn after(work: impl Future<Output = ()> + Send + 'static) -> Pending {
    Box::pin(async move {
        work.await;
        None
    })
}

/// The window that a request counts in, over and above that all frames count. Presence and typing
/// have their own.
fn counted_as(request: &Request) -> Option<Action> {
    match request {
        Request::Message(..) => Some(Action::Send),
        Request::Edit(..) | Request::Delete(..) => Some(Action::Other),
        Request::Resume(_) => Some(Action::Read),
        Request::Typing(..)
        | Request::Presence(..)
        | Request::Subscribe(_)
        | Request::Ack(..)
        | Request::Auth(_)
        | Request::Ping => None,
    }
}

fn rate(config: &RealtimeConfig) -> Rate {
    Rate { per_second: config.frames_per_second, burst: config.frames_burst }
}

/// Whether a person did this, rather than their client by itself.
fn is_deed(request: &Request) -> bool {
    match request {
        Request::Message(..) | Request::Edit(..) | Request::Delete(..) | Request::Typing(..) => {
            true
        }
        Request::Presence(..)
        | Request::Subscribe(_)
        | Request::Ack(..)
        | Request::Resume(_)
        | Request::Auth(_)
        | Request::Ping => false,
    }
}

/// What a program's token must be good for.
fn scope_of(request: &Request) -> Scope {
    match request {
        Request::Message(..)
        | Request::Edit(..)
        | Request::Delete(..)
        | Request::Typing(..)
        | Request::Presence(..)
        | Request::Ack(..) => Scope::Write,
        Request::Subscribe(_) | Request::Resume(_) | Request::Auth(_) | Request::Ping => {
            Scope::Read
        }
    }
}

/// Takes a new token of the same user.
async fn auth(connection: Arc<Connection>, request_id: Option<String>, token: String) {
    let refused = match connection.shared.deps.tokens.verify(&token).await {
        Ok(identity) if !identity.scopes.has(Scope::Read) => {
            "the token may not be used to read".to_owned()
        }
        Ok(identity) if identity.actor.user == connection.user => {
            connection.answer(server::renewed(request_id.as_deref(), identity.expires_at));
            connection.set_identity(identity);
            return;
        }
        // The old token still holds; the client may try again.
        Err(error @ TokenError::Unavailable) => {
            connection.answer(refusal(request_id.as_deref(), &error.into()));
            return;
        }
        Ok(_) => "the token is of another user".to_owned(),
        Err(error) => error.to_string(),
    };
    connection.close(CloseCode::AuthenticationFailed, &refused, Waiting::Keep);
}

fn sent(request_id: Option<&str>, outcome: ServiceResult<Sent>, key: Option<&str>) -> Bytes {
    match outcome {
        Ok(sent) => server::sent(request_id, &sent, key),
        Err(error) => refusal(request_id, &Problem::from(&error)),
    }
}

fn changed(
    request_id: Option<&str>,
    outcome: ServiceResult<Changed>,
    message: klatch_domain::MessageId,
) -> Bytes {
    match outcome {
        Ok(changed) => server::changed(request_id, &changed, message),
        Err(error) => refusal(request_id, &Problem::from(&error)),
    }
}

/// An `error` frame with the words of the problem.
pub(super) fn refusal(request_id: Option<&str>, problem: &Problem) -> Bytes {
    let payload = server::ErrorPayload {
        code: problem.code.as_str(),
        title: problem.code.title(),
        detail: problem.detail.as_deref(),
        retry_after_ms: problem.retry_after_ms(),
    };
    server::error(request_id, &payload)
}
