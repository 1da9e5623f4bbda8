//! All books as a stream, in constant memory.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mainstay_auth::Caller;
use mainstay_core::Problem;
use mainstay_http::ValidQuery;

use crate::service::Books;
use crate::transfer::Format;

mainstay_core::input! {
    /// In which form to export.
    pub struct ExportBooks {
        /// The form. Without it the `Accept` header decides; CSV if that names neither.
        format: Option<Format>,
    }
}

/// Export all books
///
/// Every book with its title, author, date of publication and ISBN, in the form
/// that `mainstay library import` takes. The answer is streamed; if it breaks
/// off, it is not complete.
#[utoipa::path(
    get,
    path = "/books/export",
    params(ExportBooks),
    responses((
        status = 200, description = "All books", content((String = "text/csv"), (String = "application/x-ndjson")),
        headers(("Content-Disposition" = String, description = "Proposes a file name")),
    )),
)]
pub(super) async fn export_books(
    State(books): State<Books>,
    caller: Caller,
    headers: HeaderMap,
    ValidQuery(ExportBooks { format }): ValidQuery<ExportBooks>,
) -> Result<Response, Problem> {
    let format = format.unwrap_or_else(|| Format::accepted(&headers));
    let mut batches = Box::pin(books.export(caller.actor()).peekable());
    // A database that is away is an honest 503; after the first batch it can only cut the answer off.
    if let Some(Err(_)) = batches.as_mut().peek().await
        && let Some(Err(error)) = batches.next().await
    {
        return Err(error.into());
    }
    let rows = batches.map(move |batch| batch.map(|books| format.rows(&books)));
    let rows = rows.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "the export broke off");
    });
    let head = stream::once(async move { Ok(format.head().to_vec()) });
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CONTENT_DISPOSITION, format.disposition()),
        (header::VARY, "accept"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(head.chain(rows))).into_response())
}
