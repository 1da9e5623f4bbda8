//! Accounts, their sessions, the keys that sign tokens, and one-time tokens.
//!
//! Addresses and names are unique as they are compared (`*_norm`), not as they
//! were typed: the databases disagree about case. Sessions end by a mark, not by
//! deletion, so that "where was I signed in" can be answered later.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_121_080_000, name: "accounts", up, down }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn index(steps: &mut Steps, table: &'static str, column: &'static str, unique: bool) {
    let kind = if unique { "key" } else { "idx" };
    let mut index = Index::create();
    index.name(format!("{table}_{column}_{kind}")).table(Alias::new(table)).col(Alias::new(column));
    if unique {
        index.unique();
    }
    steps.run(&index);
}

fn up(steps: &mut Steps) {
    steps.run(
        Table::create()
            .table(Alias::new("users"))
            .col(column("id").uuid().not_null().primary_key())
            .col(column("email").text().not_null())
            .col(column("email_norm").text().not_null())
            .col(column("username").text().not_null())
            .col(column("username_norm").text().not_null())
            .col(column("name").text())
            .col(column("password_hash").text())
            .col(column("roles").text().not_null())
            .col(column("email_verified_at").big_integer())
            .col(column("is_active").boolean().not_null())
            .col(column("version").big_integer().not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("updated_at").big_integer().not_null()),
    );
    index(steps, "users", "email_norm", true);
    index(steps, "users", "username_norm", true);

    steps.run(
        Table::create()
            .table(Alias::new("sessions"))
            .col(column("id").uuid().not_null().primary_key())
            .col(column("user_id").uuid().not_null())
            .col(column("user_agent").text())
            .col(column("address").text())
            .col(column("created_at").big_integer().not_null())
            .col(column("last_used_at").big_integer().not_null())
            .col(column("expires_at").big_integer().not_null())
            .col(column("revoked_at").big_integer())
            .foreign_key(
                ForeignKey::create()
                    .name("sessions_user_id_fkey")
                    .from(Alias::new("sessions"), Alias::new("user_id"))
                    .to(Alias::new("users"), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            ),
    );
    index(steps, "sessions", "user_id", false);

    steps.run(
        Table::create()
            .table(Alias::new("signing_keys"))
            .col(column("kid").text().not_null().primary_key())
            .col(column("algorithm").text().not_null())
            .col(column("sealed_key").text().not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("retired_at").big_integer()),
    );

    steps.run(
        Table::create()
            .table(Alias::new("one_time_tokens"))
            .col(column("id").uuid().not_null().primary_key())
            .col(column("purpose").text().not_null())
            .col(column("token_hash").text().not_null())
            .col(column("user_id").uuid())
            .col(column("created_at").big_integer().not_null())
            .col(column("expires_at").big_integer().not_null())
            .col(column("used_at").big_integer())
            .foreign_key(
                ForeignKey::create()
                    .name("one_time_tokens_user_id_fkey")
                    .from(Alias::new("one_time_tokens"), Alias::new("user_id"))
                    .to(Alias::new("users"), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            ),
    );
    index(steps, "one_time_tokens", "token_hash", true);
    index(steps, "one_time_tokens", "user_id", false);
}

fn down(steps: &mut Steps) {
    for table in ["one_time_tokens", "signing_keys", "sessions", "users"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
