//! Owns the conformance suites: one per port, each promise a named case, run on every adapter.
//! Must not contain: an engine, or a case that only one engine could pass.
#![warn(missing_docs)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a case fails by panicking"
)]

pub mod accounts;
pub mod activity;
pub mod api_tokens;
pub mod bus;
pub mod invitations;
pub mod key_index;
pub mod keys;
pub mod kv;
pub mod log;
pub mod messages;
pub mod metadata;
pub mod random;
pub mod sample;
pub mod whereabouts;

/// Makes each named case of a module a `#[test]` of the same name.
///
/// `$open` is evaluated anew inside each test, where `.await` and `?`-less code may be used, and
/// gives `(adapter, guard)`; the guard (a directory, or `()`) is dropped after the case.
#[macro_export]
macro_rules! suite {
    ($module:ident, $open:expr, [$($case:ident),* $(,)?]) => {$(
        #[test]
        fn $case() {
            $crate::run(async {
                let (adapter, _guard) = $open;
                $crate::$module::$case(&adapter).await;
            });
        }
    )*};
}

/// Runs `case` on a runtime of two workers, as the server has; panics when it takes over a minute.
///
/// # Panics
/// When the case does, or hangs.
pub fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let minute = std::time::Duration::from_mins(1);
    runtime
        .block_on(async { tokio::time::timeout(minute, case).await })
        .expect("the case ends within a minute")
}
