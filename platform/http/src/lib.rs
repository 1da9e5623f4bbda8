#![doc = include_str!("../README.md")]

mod admit;
mod compress;
mod conditional;
mod context;
pub mod cookies;
mod docs;
pub mod extract;
pub mod idempotency;
mod limit;
mod openapi;
mod ops;
mod proxies;
pub mod respond;
mod router;
mod same_origin;
pub mod server;
mod settings;
mod shape;
mod stack;

pub use conditional::{ETag, IfMatch, IfNoneMatch};
pub use context::RequestContext;
pub use docs::errors_markdown;
pub use extract::{Id, Valid, ValidForm, ValidQuery};
pub use idempotency::{Idempotency, IdempotencyKey, Idempotent, migrations, purge_idempotency_keys};
pub use limit::{RateLimits, RouteGroup};
pub use openapi::OpenApi;
pub use ops::{Probe, ops_router};
pub use proxies::TrustedProxies;
pub use respond::{Created, Listing, PublicCache, Tagged, WrittenListing, WrittenResource};
pub use router::{ApiRouter, RouteInfo, Tag};
pub use same_origin::{CROSS_SITE, PROBLEMS};
pub use settings::HttpSettings;
pub use shape::{ErrorShape, PlacedShape};
pub use stack::{ErrorPage, Failed, Stack, StackOptions};
pub use utoipa_axum::routes;
