//! Invitations to register, and accounts that were removed.
//!
//! A removed account keeps its row, without anything of the person: what they wrote stays, and
//! names it.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_121_140_400, name: "people", up, down }
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    steps.run(
        Table::alter()
            .table(Alias::new("one_time_tokens"))
            .add_column(ColumnDef::new(Alias::new("email_norm")).text().extra(by_code_point)),
    );
    steps.run(
        Index::create()
            .name("one_time_tokens_email_norm_idx")
            .table(Alias::new("one_time_tokens"))
            .col(Alias::new("email_norm")),
    );
    steps.run(
        Table::alter()
            .table(Alias::new("users"))
            .add_column(ColumnDef::new(Alias::new("deleted_at")).big_integer()),
    );
    for column in ["created_at", "username_norm"] {
        steps.run(
            Index::create()
                .name(format!("users_{column}_id_idx"))
                .table(Alias::new("users"))
                .col(Alias::new(column))
                .col(Alias::new("id")),
        );
    }
}

fn down(steps: &mut Steps) {
    for index in ["users_username_norm_id_idx", "users_created_at_id_idx"] {
        steps.run(Index::drop().name(index).table(Alias::new("users")));
    }
    steps.run(Table::alter().table(Alias::new("users")).drop_column(Alias::new("deleted_at")));
    steps.run(Index::drop().name("one_time_tokens_email_norm_idx").table(Alias::new("one_time_tokens")));
    steps.run(Table::alter().table(Alias::new("one_time_tokens")).drop_column(Alias::new("email_norm")));
}
