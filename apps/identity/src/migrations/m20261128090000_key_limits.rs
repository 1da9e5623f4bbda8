//! API keys: the rate limit that an administrator gave one, by its name in the settings. Most have none.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "identity", version: 20_261_128_090_000, name: "key_limits", up, down }
}

fn up(steps: &mut Steps) {
    steps.run(
        Table::alter()
            .table(Alias::new("api_keys"))
            .add_column(ColumnDef::new(Alias::new("limit_policy")).text()),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::alter().table(Alias::new("api_keys")).drop_column(Alias::new("limit_policy")));
}
