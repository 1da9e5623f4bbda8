//! All products as a stream.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use mainstay_auth::Caller;
use mainstay_core::Problem;
use mainstay_http::ValidQuery;
use mainstay_transfer::Format;

use crate::service::Products;

mainstay_core::input! {
    /// In which form to export.
    pub struct ExportProducts {
        /// The form. Without it the `Accept` header decides; CSV if that names neither.
        format: Option<Format>,
    }
}

/// Export all products
///
/// Every product with all that is said of it, in the form that `mainstay catalog
/// import` takes. The answer is streamed; if it breaks off, it is not complete.
#[utoipa::path(
    get,
    path = "/products/export",
    params(ExportProducts),
    responses((
        status = 200, description = "All products", content((String = "text/csv"), (String = "application/x-ndjson")),
        headers(("Content-Disposition" = String, description = "Proposes a file name")),
    )),
)]
pub(super) async fn export_products(
    State(products): State<Products>,
    caller: Caller,
    headers: HeaderMap,
    ValidQuery(ExportProducts { format }): ValidQuery<ExportProducts>,
) -> Result<Response, Problem> {
    let format = format.unwrap_or_else(|| Format::accepted(&headers));
    Ok(mainstay_transfer::export(format, products.export(caller.actor())).await?)
}
