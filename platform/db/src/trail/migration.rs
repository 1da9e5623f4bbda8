//! The outbox and the audit log.
//!
//! Both count their rows up as they are inserted. That is no order of commits (a lower
//! number may become visible later), so nobody reads them by "after the last number".

use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

use crate::dialect::{audit_log_guards, name_invalidation_log};
use crate::{Dialect, Migration, Steps};

/// The steps of the tables that every write unit writes to.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    vec![
        Migration { app: "platform", version: 20_261_121_140_000, name: "trail", up, down },
        Migration {
            app: "platform",
            version: 20_261_128_010_000,
            name: "invalidations",
            up: up_invalidations,
            down: down_invalidations,
        },
    ]
}

fn column(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("outbox"))
            .col(column("seq").big_integer().not_null().auto_increment().primary_key())
            .col(column("id").uuid().not_null())
            .col(text("kind").not_null())
            .col(text("subject").not_null())
            .col(text("actor").not_null())
            .col(text("request_id"))
            .col(column("occurred_at").big_integer().not_null())
            .col(text("data").not_null()),
    );
    steps.run(
        Table::create()
            .table(Alias::new("audit_log"))
            .col(column("seq").big_integer().not_null().auto_increment().primary_key())
            .col(column("id").uuid().not_null())
            .col(column("at").big_integer().not_null())
            .col(text("actor").not_null())
            .col(text("request_id"))
            .col(text("address"))
            .col(text("action").not_null())
            .col(text("target").not_null())
            .col(text("changes"))
            .col(text("details")),
    );
    for columns in [&["actor", "seq"][..], &["target", "seq"], &["at", "seq"], &["request_id"]] {
        let mut index = Index::create();
        index.name(format!("audit_log_{}_idx", columns.join("_"))).table(Alias::new("audit_log"));
        columns.iter().for_each(|column| {
            index.col(Alias::new(*column));
        });
        steps.run(&index);
    }
    for sql in audit_log_guards(steps.dialect()) {
        steps.raw(*sql);
    }
}

fn down(steps: &mut Steps) {
    for table in ["audit_log", "outbox"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
    if steps.dialect() == Dialect::Postgres {
        steps.raw(crate::dialect::DROP_PG_AUDIT_LOG_GUARD);
    }
}

/// What caches must no longer believe. PostgreSQL keeps the transaction's number, by which the rows
/// are read; on SQLite the row's own number is in the order of the commits.
fn up_invalidations(steps: &mut Steps) {
    let table = || Alias::new("invalidations");
    let mut create = Table::create();
    create.table(table()).col(column("id").big_integer().not_null().auto_increment().primary_key());
    if steps.dialect() == Dialect::Postgres {
        create.col(column("position").big_integer().not_null());
    }
    create.col(column("at").big_integer().not_null()).col(column("hashes").blob().not_null());
    steps.run(&create);
    if steps.dialect() == Dialect::Postgres {
        let mut index = Index::create();
        index.name("invalidations_position_idx").table(table()).col(Alias::new("position"));
        steps.run(&index);
    }
    steps.run(
        Table::create()
            .table(Alias::new("invalidation_log"))
            .col(column("id").integer().not_null().primary_key())
            .col(column("name").blob().not_null()),
    );
    steps.raw(name_invalidation_log(steps.dialect()));
}

fn down_invalidations(steps: &mut Steps) {
    for table in ["invalidation_log", "invalidations"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
