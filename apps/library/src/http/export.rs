//! All books as a stream.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use mainstay_auth::Caller;
use mainstay_core::Problem;
use mainstay_http::ValidQuery;
use mainstay_transfer::Format;

use crate::service::Books;

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
    Ok(mainstay_transfer::export(format, books.export(caller.actor())).await?)
}
