//! One page of a table, by number or by cursor.

use mainstay_core::page::Start;
use mainstay_core::{Faults, Page, Paging, Problem, Sorting};
use sea_orm::sea_query::ColumnType;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ModelTrait, PaginatorTrait as _, QuerySelect as _,
    Select, Value,
};
use serde_json::Value as Json;

use crate::DbProblem as _;

/// A page of `rows`, ordered by `sorted` and then by `id`, both never NULL and
/// each a number, a text or a UUID. Two queries; one with a cursor, which takes no count.
///
/// Give the table an index over (`sorted`, `id`), behind the columns that `rows` is
/// filtered by.
///
/// # Errors
/// 422 for a cursor that this list never gave out, or the database's.
pub async fn page<E, S>(
    connection: &impl ConnectionTrait,
    rows: Select<E>,
    paging: &Paging<S>,
    sorted: E::Column,
    id: E::Column,
) -> Result<Page<E::Model>, Problem>
where
    E: EntityTrait<Model: ModelTrait<Entity = E> + Send + Sync>,
    S: Sorting,
{
    let total = match paging.start {
        Start::Page(_) => Some(rows.clone().count(connection).await.map_err(DbErr::into_problem)?),
        Start::After { .. } => None,
    };
    page_of(connection, rows, paging, sorted, id, total).await
}

/// The same where the number of rows is known otherwise. `total` is `None` with a cursor.
///
/// # Errors
/// As [`page`].
pub async fn page_of<E, S>(
    connection: &impl ConnectionTrait,
    rows: Select<E>,
    paging: &Paging<S>,
    sorted: E::Column,
    id: E::Column,
    total: Option<u64>,
) -> Result<Page<E::Model>, Problem>
where
    E: EntityTrait<Model: ModelTrait<Entity = E> + Send + Sync>,
    S: Sorting,
{
    let mut rows = rows.offset(paging.offset()).cursor_by((sorted, id));
    if let Start::After { key: at, id: last } = &paging.start {
        let place = read(sorted, at).zip(read(id, last));
        let invalid = || Faults::one("cursor", "invalid_cursor", "is not a cursor that this list gave out");
        rows.after(place.ok_or_else(invalid)?);
    }
    if paging.descending {
        rows.desc();
    }
    // One row too many proves that there is a next page.
    let rows = rows.first(u64::from(paging.page_size) + 1).all(connection).await;
    let rows = rows.map_err(DbErr::into_problem)?;
    Ok(paging.cut(rows, total, |row| (write(row.get(sorted)), write(row.get(id)))))
}

/// A value as a cursor holds it.
fn write(value: Value) -> Json {
    match value {
        Value::Int(Some(number)) => number.into(),
        Value::BigInt(Some(number)) => number.into(),
        Value::String(Some(text)) => text.into(),
        Value::Uuid(Some(id)) => id.to_string().into(),
        other => unreachable!("no list is sorted by {other:?}"),
    }
}

/// The reverse; `None` for what [`write`] never wrote there, because a cursor comes from outside.
fn read(column: impl ColumnTrait, held: &Json) -> Option<Value> {
    match column.def().get_column_type() {
        ColumnType::Integer => Some(i32::try_from(held.as_i64()?).ok()?.into()),
        ColumnType::BigInteger => Some(held.as_i64()?.into()),
        ColumnType::Uuid => Some(held.as_str()?.parse::<sea_orm::prelude::Uuid>().ok()?.into()),
        // PostgreSQL has no NUL in its texts.
        _ => held.as_str().filter(|text| !text.contains('\0')).map(Into::into),
    }
}
