//! API keys of users, and the credentials of other programs.
//!
//! Secrets are kept as their SHA-256. What is revoked stays as a row, for whoever
//! asks later which key it was.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_121_140_200, name: "credentials", up, down }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn index(steps: &mut Steps, table: &'static str, columns: &[&'static str], unique: bool) {
    let kind = if unique { "key" } else { "idx" };
    let mut index = Index::create();
    index.name(format!("{table}_{}_{kind}", columns.join("_"))).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    if unique {
        index.unique();
    }
    steps.run(&index);
}

fn up(steps: &mut Steps) {
    steps.run(
        Table::create()
            .table(Alias::new("api_keys"))
            .col(column("id").uuid().not_null().primary_key())
            .col(column("user_id").uuid().not_null())
            .col(column("name").text().not_null())
            .col(column("prefix").text().not_null())
            .col(column("key_hash").text().not_null())
            .col(column("scopes").text().not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("expires_at").big_integer())
            .col(column("last_used_at").big_integer())
            .col(column("revoked_at").big_integer())
            .foreign_key(
                ForeignKey::create()
                    .name("api_keys_user_id_fkey")
                    .from(Alias::new("api_keys"), Alias::new("user_id"))
                    .to(Alias::new("users"), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            ),
    );
    index(steps, "api_keys", &["key_hash"], true);
    index(steps, "api_keys", &["user_id", "created_at", "id"], false);

    steps.run(
        Table::create()
            .table(Alias::new("services"))
            .col(column("id").uuid().not_null().primary_key())
            .col(column("name").text().not_null())
            .col(column("client_id").text().not_null())
            .col(column("secret_hash").text().not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("revoked_at").big_integer()),
    );
    index(steps, "services", &["client_id"], true);
    index(steps, "services", &["created_at", "id"], false);
}

fn down(steps: &mut Steps) {
    for table in ["services", "api_keys"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
