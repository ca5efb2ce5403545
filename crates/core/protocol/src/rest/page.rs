//! Pages of lists.

use klatch_ports::api::queries::Page;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageBody<T> {
    /// The items.
    pub items: Vec<T>,
    /// Goes on in the same direction when given as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> PageBody<T> {
    /// The page with each item as `show` makes it.
    pub fn of<V>(page: Page<V>, show: impl FnMut(V) -> T) -> Self {
        let Page { items, next } = page;
        Self { items: items.into_iter().map(show).collect(), next_cursor: next }
    }
}
