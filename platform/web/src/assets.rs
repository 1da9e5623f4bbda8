//! The stylesheet and the icon, out of the binary.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Uri, header};
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_core::problem::NOT_FOUND;
use mainstay_http::{ApiRouter, RouteGroup, Tag};

use crate::Web;

static STYLE: &str = include_str!("../assets/style.css");
static ICON: &str = include_str!("../assets/icon.svg");

/// A file under an address that changes with it.
fn address(content: &str, ending: &str) -> String {
    let hash = URL_SAFE_NO_PAD.encode(&digest(&SHA256, content.as_bytes()).as_ref()[..9]);
    format!("/console/assets/{hash}.{ending}")
}

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| address(STYLE, "css"));
static ICON_PATH: LazyLock<String> = LazyLock::new(|| address(ICON, "svg"));

pub(crate) fn stylesheet() -> &'static str {
    &STYLE_PATH
}

pub(crate) fn icon() -> &'static str {
    &ICON_PATH
}

/// One of them by its name. Of another version nothing is here.
async fn asset(uri: Uri) -> Result<impl IntoResponse, Problem> {
    let (kind, content) = match uri.path() {
        path if path == stylesheet() => ("text/css; charset=utf-8", STYLE),
        path if path == icon() => ("image/svg+xml", ICON),
        _ => return Err(NOT_FOUND.because("No file of this version has this name.")),
    };
    let kept = "public, max-age=31536000, immutable";
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], content))
}

impl Web {
    /// The routes of what pages need besides themselves.
    #[must_use]
    pub fn routes(&self) -> ApiRouter {
        const TAG: Tag = Tag { name: "Web", about: "Pages for people." };
        ApiRouter::new(TAG)
            .page("/console/assets/{file}", get(asset), Access::Public)
            .in_group(RouteGroup::Unlimited)
    }
}
