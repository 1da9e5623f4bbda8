//! Pages of products.
//!
//! A page is one statement: the ids of its rows are found and cut over narrow
//! index columns, the total is counted beside it, and only then are the whole rows
//! of that one page fetched.

use mainstay_core::page::Start;
use mainstay_core::text::SearchText;
use mainstay_core::{Currency, Decimal, Faults, Page, Paging};
use mainstay_db::Dialect;
use mainstay_db::words::{begins_a_word, line_of_words, rank, tiers_of};
use sea_orm::sea_query::{
    Alias, Asterisk, CommonTableExpression, Expr, ExprTrait as _, Func, IntoColumnRef, Order, Query,
    SelectStatement, WithClause,
};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, Statement};
use serde_json::Value;

use super::WORDS;
use super::products::select;
use crate::domain::category::CategoryId;
use crate::domain::listing::{Filter, ProductOrder};
use crate::domain::product::Product;
use crate::domain::values::Tag;
use crate::entity::{product_tags, product_words, products};
use crate::error::CatalogError;

/// What every row of a list keeps, ready for the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// Each begins a word of name or description. `None`: whatever the words.
    words: Option<Vec<String>>,
    /// In one of these. `None`: wherever.
    categories: Option<Vec<i64>>,
    min_price: Option<i64>,
    max_price: Option<i64>,
    currency: Option<Currency>,
    in_stock: Option<bool>,
    tags: Vec<String>,
}

/// Where the rows of a list come from: the fewest tables that can tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Products,
    Words,
    Both,
}

impl Conditions {
    /// Those of `filter`, whose category and all below it are `categories`.
    pub(crate) fn new(filter: &Filter, categories: Option<&[CategoryId]>) -> Self {
        let Filter { q, category: _, min_price, max_price, currency, in_stock, tags } = filter;
        Self {
            words: q.as_ref().map(SearchText::words),
            categories: categories.map(padded),
            min_price: min_price.map(Decimal::ten_thousandths),
            max_price: max_price.map(Decimal::ten_thousandths),
            currency: *currency,
            in_stock: *in_stock,
            tags: tags.iter().map(Tag::norm).collect(),
        }
    }

    fn asks_products(&self) -> bool {
        self.categories.is_some()
            || self.min_price.is_some()
            || self.max_price.is_some()
            || self.currency.is_some()
            || self.in_stock.is_some()
    }

    fn source(&self, sorted: Sorted) -> Source {
        let by_product = matches!(sorted, Sorted::By(order) if column(order).is_some());
        let by_word = matches!(sorted, Sorted::By(ProductOrder::Name | ProductOrder::Relevance));
        let is_looked_up = self.words.is_some() && self.categories.is_none();
        let needs_products = by_product || (self.asks_products() && !is_looked_up);
        match (needs_products, self.words.is_some() || by_word) {
            (true, true) => Source::Both,
            (false, true) => Source::Words,
            (_, false) => Source::Products,
        }
    }

    /// The rows that keep all conditions, with nothing selected of them yet.
    fn rows(&self, dialect: Dialect, source: Source) -> SelectStatement {
        let mut rows = match source {
            Source::Words => Query::select().from(product_words::Entity).take(),
            Source::Products => Query::select().from(products::Entity).take(),
            Source::Both => Query::select()
                .from(product_words::Entity)
                .inner_join(
                    products::Entity,
                    product(products::Column::Id)
                        .equals((product_words::Entity, product_words::Column::ProductId)),
                )
                .take(),
        };
        if let Some(words) = &self.words {
            rows.and_where(WORDS.matches(dialect, words));
        }
        if source == Source::Words && self.asks_products() {
            rows.and_where(Expr::exists(self.lookup()));
        } else {
            self.keep_products(&mut rows);
        }
        for tag in &self.tags {
            let with_tag = Query::select()
                .column((product_tags::Entity, product_tags::Column::ProductId))
                .from(product_tags::Entity)
                .and_where(product_tags::Column::TagNorm.eq(tag.as_str()))
                .take();
            rows.and_where(id(source).in_subquery(with_tag));
        }
        rows
    }

    /// Whether the product of a row of words keeps what is asked of products: one look into an index. A planner that
    /// does not know the word, as PostgreSQL's for a prepared statement, would take it for common and join with all
    /// products; it leaves alone what has an OFFSET.
    fn lookup(&self) -> SelectStatement {
        let mut lookup = Query::select()
            .expr(Expr::val(1))
            .from(products::Entity)
            .and_where(
                product(products::Column::Id)
                    .equals((product_words::Entity, product_words::Column::ProductId)),
            )
            .limit(1)
            .offset(0)
            .take();
        self.keep_products(&mut lookup);
        lookup
    }

    /// Keeps only those products for which the conditions hold that are asked of products.
    fn keep_products(&self, rows: &mut SelectStatement) {
        if let Some(categories) = &self.categories {
            rows.and_where(product(products::Column::CategoryId).is_in(categories.iter().copied()));
        }
        if let Some(price) = self.min_price {
            rows.and_where(product(products::Column::PriceOrder).gte(price));
        }
        if let Some(price) = self.max_price {
            rows.and_where(product(products::Column::PriceOrder).lte(price));
        }
        if let Some(currency) = self.currency {
            rows.and_where(product(products::Column::Currency).eq(currency.code()));
        }
        match self.in_stock {
            Some(true) => rows.and_where(product(products::Column::Stock).gt(0)),
            Some(false) => rows.and_where(product(products::Column::Stock).eq(0)),
            None => rows,
        };
    }

    /// The ids of the rows that keep all conditions. `None` if all do.
    pub(super) fn ids(&self, dialect: Dialect) -> Option<SelectStatement> {
        let all = self.words.is_none() && !self.asks_products() && self.tags.is_empty();
        (!all).then(|| {
            let source = self.source(Sorted::Not);
            self.rows(dialect, source).expr(id(source)).take()
        })
    }

    /// Rows of products, joined with their words if need be.
    pub(super) fn products(&self, dialect: Dialect) -> SelectStatement {
        self.rows(dialect, if self.words.is_some() { Source::Both } else { Source::Products })
    }

    /// How many rows keep all conditions.
    pub(super) fn count(&self, dialect: Dialect) -> SelectStatement {
        match &self.words {
            Some(words) if !self.asks_products() && self.tags.is_empty() => WORDS.count(dialect, words),
            _ => {
                let source = self.source(Sorted::Not);
                self.rows(dialect, source).expr(Func::count(Expr::col(Asterisk))).take()
            }
        }
    }
}

/// Filled up with the last one to a power of two: the database prepares one
/// statement for each number of places, so that there are few of them.
fn padded(categories: &[CategoryId]) -> Vec<i64> {
    let mut ids: Vec<i64> = categories.iter().map(|id| id.0).collect();
    if let Some(last) = ids.last().copied() {
        ids.resize(ids.len().next_power_of_two(), last);
    }
    ids
}

#[derive(Clone, Copy)]
enum Sorted {
    Not,
    By(ProductOrder),
}

fn product(column: products::Column) -> Expr {
    Expr::col((products::Entity, column))
}

fn id(source: Source) -> Expr {
    match source {
        Source::Products => product(products::Column::Id),
        Source::Words | Source::Both => Expr::col((product_words::Entity, product_words::Column::ProductId)),
    }
}

/// The column of `products` that an order goes by, if it goes by one.
fn column(order: ProductOrder) -> Option<products::Column> {
    match order {
        ProductOrder::CreatedAt => Some(products::Column::CreatedAt),
        ProductOrder::Price => Some(products::Column::PriceOrder),
        ProductOrder::Stock => Some(products::Column::Stock),
        ProductOrder::Name | ProductOrder::Relevance => None,
    }
}

fn name_words() -> Expr {
    Expr::col((product_words::Entity, product_words::Column::NameWords))
}

/// How well a product matches that has every one of `words` somewhere; 0 is best.
/// The tiers of the name, then 4: a word of the name begins with one of the words,
/// and the description has the others; 5: the description has all of them.
fn relevance(words: &[String]) -> Expr {
    let name = (product_words::Entity, product_words::Column::NameWords).into_column_ref();
    rank(tiers_of(name.clone(), words).into_iter().chain([begins_a_word(name, words)]))
}

const PAGE: &str = "page";
const FOUND: &str = "found";
const ID: &str = "id";
/// What the page is sorted by, the first before the second.
const KEYS: [&str; 2] = ["sort_key", "sort_key_2"];
const TOTAL: &str = "total";

fn of_page(name: &'static str) -> (Alias, Alias) {
    (Alias::new(PAGE), Alias::new(name))
}

/// A page of the products that keep all conditions.
pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    conditions: &Conditions,
    paging: &Paging<ProductOrder>,
) -> Result<Page<Product>, CatalogError> {
    let statement = statement(connection.get_database_backend(), dialect, conditions, paging)?;
    let rows = connection.query_all_raw(statement).await?;
    let total = match (paging.offset(), rows.first()) {
        (None, _) => None,
        (Some(_), Some(row)) => Some(row.try_get::<i64>("", TOTAL)?),
        (Some(0), None) => Some(0),
        // A page past the end says nothing of how many there are before it.
        (Some(_), None) => Some(number(connection, &conditions.count(dialect)).await?),
    };
    let products = rows.iter().map(Product::try_from).collect::<Result<Vec<_>, _>>()?;
    let total = total.and_then(|total| u64::try_from(total).ok());
    Ok(paging.cut(products, total, |product| (cursor_key(product, paging.sort), product.id.number().into())))
}

async fn number(connection: &impl ConnectionTrait, count: &SelectStatement) -> Result<i64, DbErr> {
    let row = connection.query_one(count).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

/// The one statement of a page.
pub(super) fn statement(
    backend: sea_orm::DbBackend,
    dialect: Dialect,
    conditions: &Conditions,
    paging: &Paging<ProductOrder>,
) -> Result<Statement, CatalogError> {
    let order = paging.sort;
    let source = conditions.source(Sorted::By(order));
    let mut keys = vec![match (order, &conditions.words) {
        (ProductOrder::Relevance, Some(words)) => relevance(words),
        _ => column(order).map_or_else(name_words, product),
    }];
    if order == ProductOrder::Relevance {
        keys.push(name_words());
    }
    let direction = || if paging.descending { Order::Desc } else { Order::Asc };

    // What is found: the ids and what they are sorted by.
    let mut found = conditions.rows(dialect, source);
    found.expr_as(id(source), Alias::new(ID));
    for (key, name) in keys.iter().zip(KEYS) {
        found.expr_as(key.clone(), Alias::new(name));
    }
    if let Start::After { key, id: last } = &paging.start {
        found.and_where(after(keys.swap_remove(0), id(source), (key, last), order, paging.descending)?);
    }

    // Words are looked up once, for the total and the page. What an index has in
    // order is only walked as far as the page goes.
    let by_words = conditions.words.is_some();
    let mut page = if by_words {
        Query::select()
            .columns([ID].into_iter().chain(KEYS.into_iter().take(keys_of(order))).map(Alias::new))
            .from(Alias::new(FOUND))
            .take()
    } else {
        found.clone()
    };
    for name in KEYS.into_iter().take(keys_of(order)) {
        page.order_by(Alias::new(name), direction());
    }
    page.order_by(Alias::new(ID), direction()).limit(u64::from(paging.page_size) + 1);
    if let Some(offset) = paging.offset().filter(|offset| *offset > 0) {
        page.offset(offset);
    }

    let mut rows = select();
    rows.join_subquery(
        sea_orm::JoinType::InnerJoin,
        page,
        Alias::new(PAGE),
        Expr::col(of_page(ID)).equals((products::Entity, products::Column::Id)),
    );
    if paging.offset().is_some() {
        let total = if by_words {
            Query::select().expr(Func::count(Expr::col(Asterisk))).from(Alias::new(FOUND)).take()
        } else {
            conditions.count(dialect)
        };
        rows.expr_as(Expr::SubQuery(None, Box::new(total.into())), Alias::new(TOTAL));
    }
    for name in KEYS.into_iter().take(keys_of(order)) {
        rows.order_by(of_page(name), direction());
    }
    rows.order_by(of_page(ID), direction());
    if !by_words {
        return Ok(backend.build(&rows));
    }
    let found =
        CommonTableExpression::new().query(found).table_name(Alias::new(FOUND)).materialized(true).to_owned();
    Ok(backend.build(&rows.with(WithClause::new().cte(found).to_owned())))
}

fn keys_of(order: ProductOrder) -> usize {
    if order == ProductOrder::Relevance { 2 } else { 1 }
}

/// Behind the row that a cursor names.
fn after(
    key: Expr,
    id: Expr,
    (at, last): (&Value, &Value),
    order: ProductOrder,
    descending: bool,
) -> Result<Expr, CatalogError> {
    let (Some(at), Some(last)) = (read_cursor_key(at, order), last.as_i64()) else {
        return Err(Faults::one("cursor", "invalid_cursor", "is not a cursor that this list gave out").into());
    };
    let (row, last) = (Expr::tuple([key, id]), Expr::tuple([Expr::val(at), Expr::val(last)]));
    Ok(if descending { row.lt(last) } else { row.gt(last) })
}

/// A product's place in the order, as a cursor holds it.
fn cursor_key(product: &Product, order: ProductOrder) -> Value {
    match order {
        ProductOrder::CreatedAt => product.created_at.millis().into(),
        ProductOrder::Price => product.price.ten_thousandths().into(),
        ProductOrder::Stock => product.stock.into(),
        ProductOrder::Name => line_of_words(&product.name).into(),
        // Has no cursor.
        ProductOrder::Relevance => Value::Null,
    }
}

/// The reverse; `None` for what [`cursor_key`] never wrote, because a cursor comes from outside.
fn read_cursor_key(key: &Value, order: ProductOrder) -> Option<sea_orm::Value> {
    match order {
        ProductOrder::CreatedAt | ProductOrder::Price | ProductOrder::Stock => key.as_i64().map(Into::into),
        // PostgreSQL has no NUL in its texts.
        ProductOrder::Name => key.as_str().filter(|key| !key.contains('\0')).map(Into::into),
        ProductOrder::Relevance => None,
    }
}
