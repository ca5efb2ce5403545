//! Requests that end other than well.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use klatch_domain::Rejection;
use klatch_ports::api::ServiceError;
use klatch_ports::api::auth::{SignInError, TokenError};
use klatch_protocol::problem::{Code, Problem};

/// A problem on its way out. The outermost layer makes the document, because it alone knows the
/// request's id; this way no route can answer with another one.
#[derive(Clone, Debug)]
pub(crate) struct Fault(Box<Problem>);

impl Fault {
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Problem::new(code).into()
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Problem::from(rejection).into()
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        let problem = Problem::from(&error);
        note(&problem, &error);
        problem.into()
    }
}

impl From<SignInError> for Fault {
    fn from(error: SignInError) -> Self {
        let problem = Problem::from(&error);
        note(&problem, &error);
        problem.into()
    }
}

/// A failure is logged once, here, with its cause; the client is told the request's id, which is in
/// the span around this.
fn note(problem: &Problem, cause: &dyn std::error::Error) {
    match problem.code {
        Code::Internal => tracing::error!(error = %cause, "a request failed"),
        _ if problem.is_server_fault() => tracing::warn!(error = %cause, "a request failed"),
        _ => {}
    }
}
