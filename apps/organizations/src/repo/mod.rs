//! Queries. They take a connection and never begin a transaction; those on what belongs to an
//! organization take a proof from [`access`] besides.

pub(crate) mod access;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod websites;

use sea_orm::ColumnTrait;
use sea_orm::sea_query::{Expr, ExprTrait as _};

/// A counter's next value.
fn next(counter: impl ColumnTrait) -> Expr {
    Expr::col(counter).add(1)
}
