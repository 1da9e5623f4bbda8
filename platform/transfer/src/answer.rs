//! All rows as the answer to a request, in constant memory.

use std::error::Error;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};

use crate::{Format, Row};

/// Streams `batches` in this form.
///
/// # Errors
/// The error of the first batch: a database that is away is an honest 503. A
/// later one can only cut the answer off; it is logged.
pub async fn export<T, E>(
    format: Format,
    batches: impl Stream<Item = Result<Vec<T>, E>> + Send + 'static,
) -> Result<Response, E>
where
    T: Row + 'static,
    E: Error + Send + Sync + 'static,
{
    let mut batches = Box::pin(batches.peekable());
    if let Some(Err(_)) = batches.as_mut().peek().await
        && let Some(Err(error)) = batches.next().await
    {
        return Err(error);
    }
    let rows = batches.map(move |batch| batch.map(|batch| format.rows(&batch)));
    let rows = rows.inspect_err(|error| {
        tracing::error!(error = error as &dyn Error, "the export broke off");
    });
    let head = stream::once(async move { Ok(format.head::<T>()) });
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CONTENT_DISPOSITION, &format.disposition::<T>()),
        (header::VARY, "accept"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(head.chain(rows))).into_response())
}
