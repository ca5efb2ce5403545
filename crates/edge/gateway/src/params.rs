//! Parameters of the query. Unknown ones are left alone; known ones must fit and come once.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use klatch_domain::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use klatch_ports::api::queries::PageRequest;
use klatch_protocol::problem::{Code, Problem};

use crate::edge::Shared;
use crate::fault::Fault;

/// Longer cursors were never given out.
const CURSOR_BYTES_MAX: usize = 1_024;

/// The parameters of a request's query.
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<Shared> for Params {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _edge: &Shared) -> Result<Self, Fault> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::InvalidParameter).detail("the query cannot be read"))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// The value of a parameter that may come once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = values.next().map(String::as_str);
        if values.next().is_some() { Err(Problem::invalid_parameter(name)) } else { Ok(value) }
    }

    /// The values of a parameter that may come again and again.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A yes or no: `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        let read = |text: &str| text.parse().map_err(|_| Problem::invalid_parameter(name));
        self.one(name)?.map(read).transpose()
    }

    /// Items of a page: 1–200.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(PAGE_ITEMS_DEFAULT) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit));
        limit.filter(|_| digits).ok_or_else(|| Problem::invalid_parameter("limit"))
    }

    /// A cursor of an earlier page.
    pub(crate) fn cursor(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.one(name)? {
            Some(text) if text.is_empty() || text.len() > CURSOR_BYTES_MAX => {
                Err(Problem::new(Code::InvalidCursor).at(format!("?{name}")))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// Which part of a list is wanted.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        Ok(PageRequest { cursor: self.cursor("cursor")?, limit: self.limit()? })
    }
}
