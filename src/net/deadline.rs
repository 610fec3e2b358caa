//! Waiting with an end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Waits for `future` until `deadline`, which is asked for only when there is something to wait for: most
/// writes, and most reads of what has come already, are done at once and need neither clock nor timer.
///
/// # Errors
/// The deadline passed first.
pub(crate) async fn by<F: Future>(
    deadline: impl FnOnce() -> Instant,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(deadline(), future).await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn what_is_done_at_once_asks_for_no_deadline() {
        assert_eq!(by(|| unreachable!(), async { 7 }).await.ok(), Some(7));
    }

    #[tokio::test]
    async fn what_is_not_done_at_once_is_waited_for_until_the_deadline() {
        let far = || Instant::now() + Duration::from_secs(60);
        assert_eq!(by(far, yield_now()).await.ok(), Some(()));
        assert!(by(Instant::now, std::future::pending::<()>()).await.is_err());
    }
}
