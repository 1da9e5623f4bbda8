//! Refresh tokens, locks against guessing, and when a signing key serves.
//!
//! A session is the family of its refresh tokens: they go with it. Counters of
//! failures have no foreign key, because names that nobody has are counted too.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_121_140_100, name: "sign_ins", up, down }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn up(steps: &mut Steps) {
    steps.run(
        Table::create()
            .table(Alias::new("refresh_tokens"))
            .col(column("token_hash").text().not_null().primary_key())
            .col(column("session_id").uuid().not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("expires_at").big_integer().not_null())
            .col(column("rotated_at").big_integer())
            .foreign_key(
                ForeignKey::create()
                    .name("refresh_tokens_session_id_fkey")
                    .from(Alias::new("refresh_tokens"), Alias::new("session_id"))
                    .to(Alias::new("sessions"), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            ),
    );
    steps.run(
        Index::create()
            .name("refresh_tokens_session_id_idx")
            .table(Alias::new("refresh_tokens"))
            .col(Alias::new("session_id")),
    );
    steps.run(
        Index::create()
            .name("sessions_user_id_last_used_at_id_idx")
            .table(Alias::new("sessions"))
            .col(Alias::new("user_id"))
            .col(Alias::new("last_used_at"))
            .col(Alias::new("id")),
    );
    steps.run(
        Table::create()
            .table(Alias::new("login_locks"))
            .col(column("key").text().not_null().primary_key())
            .col(column("recent").text().not_null())
            .col(column("locks").integer().not_null())
            .col(column("locked_until").big_integer())
            .col(column("updated_at").big_integer().not_null()),
    );
    steps.run(
        Index::create()
            .name("login_locks_updated_at_idx")
            .table(Alias::new("login_locks"))
            .col(Alias::new("updated_at")),
    );
    // Keys that are there already have always served.
    steps.run(
        Table::alter()
            .table(Alias::new("signing_keys"))
            .add_column(column("active_from").big_integer().not_null().default(0_i64)),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::alter().table(Alias::new("signing_keys")).drop_column(Alias::new("active_from")));
    steps.run(Table::drop().table(Alias::new("login_locks")));
    steps.run(Index::drop().name("sessions_user_id_last_used_at_id_idx").table(Alias::new("sessions")));
    steps.run(Table::drop().table(Alias::new("refresh_tokens")));
}
