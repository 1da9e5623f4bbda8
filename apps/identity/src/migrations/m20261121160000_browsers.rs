//! Sessions of browsers: their cookie, as its SHA-256. Other sessions have none.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_121_160_000, name: "browsers", up, down }
}

fn up(steps: &mut Steps) {
    steps.run(
        Table::alter()
            .table(Alias::new("sessions"))
            .add_column(ColumnDef::new(Alias::new("cookie_hash")).text()),
    );
    steps.run(
        Index::create()
            .name("sessions_cookie_hash_key")
            .table(Alias::new("sessions"))
            .col(Alias::new("cookie_hash"))
            .unique(),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Index::drop().name("sessions_cookie_hash_key").table(Alias::new("sessions")));
    steps.run(Table::alter().table(Alias::new("sessions")).drop_column(Alias::new("cookie_hash")));
}
