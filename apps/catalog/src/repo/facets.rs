//! How the products of a list spread over categories, tags and prices.

use mainstay_core::Decimal;
use mainstay_core::input::Text as _;
use mainstay_db::Dialect;
use sea_orm::sea_query::{
    Alias, Asterisk, CaseStatement, Expr, ExprTrait as _, Func, Order, Query, SelectStatement,
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, TryGetable};

use super::list::Conditions;
use crate::domain::category::CategoryId;
use crate::domain::listing::PRICE_BANDS;
use crate::entity::{product_tags, products};

/// Tags that a facet names; the frequent ones.
const MOST_TAGS: u64 = 50;

const VALUE: &str = "value";
const TAG: &str = "tag";
const COUNT: &str = "count";

fn count() -> Expr {
    Func::count(Expr::col(Asterisk)).into()
}

async fn counts<T: TryGetable>(
    connection: &impl ConnectionTrait,
    query: &SelectStatement,
    value: &str,
) -> Result<Vec<(T, u64)>, DbErr> {
    let read = |row: &QueryResult| {
        let count: i64 = row.try_get("", COUNT)?;
        Ok((row.try_get("", value)?, u64::try_from(count).unwrap_or_default()))
    };
    connection.query_all(query).await?.iter().map(read).collect()
}

/// How many products each category has itself, those in a category only.
pub(crate) async fn categories(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    conditions: &Conditions,
) -> Result<Vec<(CategoryId, u64)>, DbErr> {
    let category = (products::Entity, products::Column::CategoryId);
    let query = conditions
        .products(dialect)
        .expr_as(Expr::col(category), Alias::new(VALUE))
        .expr_as(count(), Alias::new(COUNT))
        .and_where(Expr::col(category).is_not_null())
        .group_by_col(category)
        .take();
    let counts = counts::<i64>(connection, &query, VALUE).await?;
    Ok(counts.into_iter().map(|(id, count)| (CategoryId(id), count)).collect())
}

/// The tags that most products have, the most frequent first.
pub(crate) async fn tags(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    conditions: &Conditions,
) -> Result<Vec<(String, u64)>, DbErr> {
    let column = |column| (product_tags::Entity, column);
    let norm = column(product_tags::Column::TagNorm);
    let mut query = Query::select()
        .expr_as(Func::min(Expr::col(column(product_tags::Column::Tag))), Alias::new(TAG))
        .expr_as(count(), Alias::new(COUNT))
        .from(product_tags::Entity)
        .take();
    if let Some(ids) = conditions.ids(dialect) {
        query.and_where(Expr::col(column(product_tags::Column::ProductId)).in_subquery(ids));
    }
    query
        .group_by_col(norm)
        .order_by(Alias::new(COUNT), Order::Desc)
        .order_by(norm, Order::Asc)
        .limit(MOST_TAGS);
    counts(connection, &query, TAG).await
}

/// How many products are in each price band that has any: its place in [`PRICE_BANDS`].
pub(crate) async fn prices(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    conditions: &Conditions,
) -> Result<Vec<(usize, u64)>, DbErr> {
    let price = || Expr::col((products::Entity, products::Column::PriceOrder));
    let place = |place: usize| Expr::Constant(i32::try_from(place).unwrap_or(i32::MAX).into());
    let band = PRICE_BANDS.iter().enumerate().skip(1).fold(CaseStatement::new(), |case, (next, from)| {
        let from = Decimal::parse(from).map_or(i64::MAX, Decimal::ten_thousandths);
        case.case(price().lt(Expr::Constant(from.into())), place(next - 1))
    });
    let band: Expr = band.finally(place(PRICE_BANDS.len() - 1)).into();
    let query = conditions
        .products(dialect)
        .expr_as(band, Alias::new(VALUE))
        .expr_as(count(), Alias::new(COUNT))
        .add_group_by([Expr::col(Alias::new(VALUE))])
        .order_by(Alias::new(VALUE), Order::Asc)
        .take();
    let counts = counts::<i32>(connection, &query, VALUE).await?;
    Ok(counts.into_iter().filter_map(|(place, count)| Some((usize::try_from(place).ok()?, count))).collect())
}
