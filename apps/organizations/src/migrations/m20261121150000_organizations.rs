//! Organizations, their websites, who belongs to them and who is invited.
//!
//! What belongs to an organization goes with it (`ON DELETE CASCADE`). Accounts are another app's, so
//! nothing refers to their table. `roster` is written first by every change of members, websites and
//! invitations: it is what makes those of one organization wait for each other. At most one
//! invitation of an address is pending for one place: two partial indexes, because the website of an
//! invitation to the organization is NULL, and no NULL equals another.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{
    Alias, ColumnDef, ConditionalStatement as _, Expr, ExprTrait as _, ForeignKey, ForeignKeyAction,
    ForeignKeyCreateStatement, Index, IndexCreateStatement, Table,
};

pub(super) const MIGRATION: Migration =
    Migration { app: "organizations", version: 20_261_121_150_000, name: "organizations", up, down };

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).not_null().to_owned()
}

fn uuid(name: &'static str) -> ColumnDef {
    column(name).uuid().to_owned()
}

fn time(name: &'static str) -> ColumnDef {
    column(name).big_integer().to_owned()
}

fn index(table: &'static str, columns: &[&'static str], unique: bool) -> IndexCreateStatement {
    let kind = if unique { "key" } else { "idx" };
    let mut index = Index::create();
    index.name(format!("{table}_{}_{kind}", columns.join("_"))).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    if unique {
        index.unique();
    }
    index
}

fn belongs_to(table: &'static str, column: &'static str, owner: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_{column}_fkey"))
        .from(Alias::new(table), Alias::new(column))
        .to(Alias::new(owner), Alias::new("id"))
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let text = |name: &'static str| column(name).text().extra(by_code_point).to_owned();

    steps.run(
        Table::create()
            .table(Alias::new("organizations"))
            .col(uuid("id").primary_key())
            .col(text("name"))
            .col(text("name_norm"))
            .col(uuid("created_by"))
            .col(column("roster").big_integer())
            .col(column("version").big_integer())
            .col(time("created_at"))
            .col(time("updated_at")),
    );

    steps.run(
        Table::create()
            .table(Alias::new("websites"))
            .col(uuid("id").primary_key())
            .col(uuid("organization_id"))
            .col(text("name"))
            .col(text("name_norm"))
            .col(text("url"))
            .col(ColumnDef::new(Alias::new("description")).text())
            .col(uuid("created_by"))
            .col(column("version").big_integer())
            .col(time("created_at"))
            .col(time("updated_at"))
            .foreign_key(&mut belongs_to("websites", "organization_id", "organizations")),
    );
    steps.run(&index("websites", &["organization_id", "url"], true));
    steps.run(&index("websites", &["organization_id", "name_norm", "id"], false));
    steps.run(&index("websites", &["organization_id", "created_at", "id"], false));

    for (table, place, owner) in [
        ("organization_members", "organization_id", "organizations"),
        ("website_members", "website_id", "websites"),
    ] {
        steps.run(
            Table::create()
                .table(Alias::new(table))
                .col(uuid(place))
                .col(uuid("user_id"))
                .col(text("role"))
                .col(time("joined_at"))
                .primary_key(Index::create().col(Alias::new(place)).col(Alias::new("user_id")))
                .foreign_key(&mut belongs_to(table, place, owner)),
        );
        steps.run(&index(table, &["user_id"], false));
        steps.run(&index(table, &[place, "joined_at", "user_id"], false));
    }

    steps.run(
        Table::create()
            .table(Alias::new("invitations"))
            .col(uuid("id").primary_key())
            .col(uuid("organization_id"))
            .col(ColumnDef::new(Alias::new("website_id")).uuid())
            .col(text("email"))
            .col(text("email_norm"))
            .col(text("role"))
            .col(text("status"))
            .col(text("token_hash"))
            .col(column("sendings").big_integer())
            .col(uuid("invited_by"))
            .col(time("created_at"))
            .col(time("expires_at"))
            .col(ColumnDef::new(Alias::new("decided_at")).big_integer())
            .col(column("version").big_integer())
            .foreign_key(&mut belongs_to("invitations", "organization_id", "organizations"))
            .foreign_key(&mut belongs_to("invitations", "website_id", "websites")),
    );
    steps.run(&index("invitations", &["token_hash"], true));
    let pending = || Expr::col(Alias::new("status")).eq("pending");
    let website = || Expr::col(Alias::new("website_id"));
    steps.run(
        index("invitations", &["organization_id", "email_norm"], true)
            .and_where(pending().and(website().is_null())),
    );
    steps.run(index("invitations", &["website_id", "email_norm"], true).and_where(pending()));
    steps.run(&index("invitations", &["organization_id", "website_id", "created_at", "id"], false));
    steps.run(&index("invitations", &["email_norm"], false));
}

fn down(steps: &mut Steps) {
    for table in ["invitations", "website_members", "organization_members", "websites", "organizations"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
