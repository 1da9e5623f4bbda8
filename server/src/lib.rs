#![doc = include_str!("../README.md")]

mod apps;
mod backend;
mod cli;
mod config;
mod limiting;
mod serve;

pub use apps::apps;
pub use backend::{Backend, Surface};
pub use cli::run;
pub use config::{Config, RootSettings};

pub use {
    mainstay_app as app, mainstay_auth as auth, mainstay_blog as blog, mainstay_cache as cache,
    mainstay_catalog as catalog, mainstay_core as core, mainstay_db as db, mainstay_events as events,
    mainstay_feed as feed, mainstay_http as http, mainstay_identity as identity, mainstay_library as library,
    mainstay_limits as limits, mainstay_mail as mail, mainstay_operations as operations,
    mainstay_organizations as organizations, mainstay_telemetry as telemetry,
};

/// What a program of your own, or an app, usually needs.
pub mod prelude {
    pub use mainstay_app::{App, Command, Platform};
    pub use mainstay_auth::{Access, Caller, Role, Roles};
    pub use mainstay_blog::Blog;
    pub use mainstay_cache::{Cached, LoadError, Loaded, Namespace};
    pub use mainstay_catalog::Catalog;
    pub use mainstay_core::{
        Actor, AuditEntry, Event, EventData, Faults, Ids, Invalid, Page, Paging, Patch, Problem, ProblemKind,
        Sorting, Timestamp, UserId, input, problems, settings, text_type, uuid_ids,
    };
    pub use mainstay_db::{Db, DbProblem, Dialect, Migration, Steps, UnitWork, WriteUnit, unique_violation};
    pub use mainstay_events::{Consumer, Handle, Job, Schedule, Worker};
    pub use mainstay_feed::Feed;
    pub use mainstay_http::{
        ApiRouter, Created, ETag, Id, IdempotencyKey, Idempotent, IfMatch, IfNoneMatch, Listing, PublicCache,
        RouteGroup, Tag, Tagged, Valid, ValidForm, ValidQuery, routes,
    };
    pub use mainstay_identity::Identity;
    pub use mainstay_library::Library;
    pub use mainstay_mail::{Body, Letter, NewMail, Recipient};
    pub use mainstay_operations::Operations;
    pub use mainstay_organizations::Organizations;

    pub use crate::{Backend, Config};
}
