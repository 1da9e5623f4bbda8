use mainstay_core::{Currency, Money, Timestamp};
use mainstay_db::PointRow;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::entity::prelude::*;
use sea_orm::{QueryResult, TryGetable};
use serde_json::{Map, Value};

use crate::domain::category::{CategoryId, CategoryRef};
use crate::domain::product::{Details, Product, ProductId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "products")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) category_id: Option<i64>,
    pub(crate) price_order: i64,
    pub(crate) price_minor: i64,
    pub(crate) stock: i64,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) currency: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    /// A JSON array of texts; `product_tags` is the index of it.
    pub(crate) tags: String,
    /// A JSON object.
    pub(crate) attributes: String,
    pub(crate) description: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns that make a product, with those of its category's slug joined.
pub(crate) const COLUMNS: [Column; 13] = [
    Column::Id,
    Column::CategoryId,
    Column::PriceMinor,
    Column::Stock,
    Column::Version,
    Column::CreatedAt,
    Column::UpdatedAt,
    Column::Currency,
    Column::Sku,
    Column::Name,
    Column::Tags,
    Column::Attributes,
    Column::Description,
];

/// Under which name a query gives the slug of the category.
pub(crate) const CATEGORY_SLUG: &str = "category_slug";

/// The row of a product that is added now.
pub(crate) fn row(details: &Details, now: Timestamp) -> ActiveModel {
    let Details { sku, name, description, category, price, stock, tags, attributes } = details;
    ActiveModel {
        id: NotSet,
        category_id: Set(category.as_ref().map(|category| category.id.0)),
        price_order: Set(price.ten_thousandths()),
        price_minor: Set(price.minor()),
        stock: Set(*stock),
        version: Set(1),
        created_at: Set(now.millis()),
        updated_at: Set(now.millis()),
        currency: Set(price.currency().code().to_owned()),
        sku: Set(sku.clone()),
        name: Set(name.clone()),
        tags: Set(serde_json::to_string(tags).expect("texts are JSON")),
        attributes: Set(serde_json::to_string(attributes).expect("an object is JSON")),
        description: Set(description.clone()),
    }
}

/// A row, whichever way it was read.
trait Row {
    fn number(&self, column: &str) -> Result<i64, DbErr>;
    fn maybe_number(&self, column: &str) -> Result<Option<i64>, DbErr>;
    fn text(&self, column: &str) -> Result<String, DbErr>;
    fn maybe_text(&self, column: &str) -> Result<Option<String>, DbErr>;
}

impl Row for PointRow {
    fn number(&self, column: &str) -> Result<i64, DbErr> {
        self.get(column)
    }

    fn maybe_number(&self, column: &str) -> Result<Option<i64>, DbErr> {
        self.get(column)
    }

    fn text(&self, column: &str) -> Result<String, DbErr> {
        self.get(column)
    }

    fn maybe_text(&self, column: &str) -> Result<Option<String>, DbErr> {
        self.get(column)
    }
}

fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T, DbErr> {
    row.try_get("", column)
}

impl Row for QueryResult {
    fn number(&self, column: &str) -> Result<i64, DbErr> {
        get(self, column)
    }

    fn maybe_number(&self, column: &str) -> Result<Option<i64>, DbErr> {
        get(self, column)
    }

    fn text(&self, column: &str) -> Result<String, DbErr> {
        get(self, column)
    }

    fn maybe_text(&self, column: &str) -> Result<Option<String>, DbErr> {
        get(self, column)
    }
}

impl TryFrom<&PointRow> for Product {
    type Error = DbErr;

    fn try_from(row: &PointRow) -> Result<Self, DbErr> {
        product(row)
    }
}

impl TryFrom<&QueryResult> for Product {
    type Error = DbErr;

    fn try_from(row: &QueryResult) -> Result<Self, DbErr> {
        product(row)
    }
}

fn product(row: &impl Row) -> Result<Product, DbErr> {
    let currency = row.text("currency")?;
    let unknown = || DbErr::Type(format!("{currency} is no currency that this program knows"));
    let currency = Currency::of(&currency).ok_or_else(unknown)?;
    let category = row.maybe_number("category_id")?.zip(row.maybe_text(CATEGORY_SLUG)?);
    let unreadable = |error: serde_json::Error| DbErr::Json(error.to_string());
    let tags: Vec<String> = serde_json::from_str(&row.text("tags")?).map_err(unreadable)?;
    let attributes: Map<String, Value> =
        serde_json::from_str(&row.text("attributes")?).map_err(unreadable)?;
    Ok(Product {
        id: ProductId::new(row.number("id")?),
        sku: row.text("sku")?,
        name: row.text("name")?,
        description: row.text("description")?,
        category: category.map(|(id, slug)| CategoryRef { id: CategoryId(id), slug }),
        price: Money::new(row.number("price_minor")?, currency),
        stock: row.number("stock")?,
        tags,
        attributes,
        version: row.number("version")?,
        created_at: Timestamp::from_millis(row.number("created_at")?),
        updated_at: Timestamp::from_millis(row.number("updated_at")?),
    })
}
