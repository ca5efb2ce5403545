//! Keeps a worker's panic from taking the loop with it.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// The outcome of `work`, or what it said when it panicked.
///
/// The loop drops everything the work borrowed and starts the next attempt from the stores, so
/// nothing half-changed is looked at again.
pub(crate) async fn contain<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| words(panic.as_ref()))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the worker panicked: {}", text.unwrap_or("without words"))
}
