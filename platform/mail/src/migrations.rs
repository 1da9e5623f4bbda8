//! The queue of mails, which is also the mailbox.
//!
//! One mail for one event, template and address: the unique index decides, not the program.
//! Addresses are compared as `address_norm`, because the databases disagree about case. The
//! other indexes serve the sender (what is due) and the mailbox (newest first, of all or of one
//! address).

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

/// The steps of the mail tables, oldest first.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    vec![Migration { app: "mail", version: 20_261_121_140_002, name: "mails", up, down }]
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let optional = |name: &str| ColumnDef::new(Alias::new(name));
    let column = |name: &str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("mails"))
            .col(column("id").uuid().primary_key())
            .col(column("cause").uuid())
            .col(text("template"))
            .col(column("address").text())
            .col(text("address_norm"))
            .col(optional("name").text())
            .col(optional("reference").uuid())
            .col(column("confidential").boolean())
            .col(column("subject").text())
            .col(optional("sealed_content").text())
            .col(text("status"))
            .col(column("attempts").big_integer())
            .col(column("due_at").big_integer())
            .col(optional("last_error").text())
            .col(column("created_at").big_integer())
            .col(optional("sent_at").big_integer()),
    );
    for (columns, is_unique) in [
        (&["cause", "template", "address_norm"][..], true),
        (&["status", "due_at", "id"], false),
        (&["created_at", "id"], false),
        (&["address_norm", "created_at", "id"], false),
    ] {
        let kind = if is_unique { "key" } else { "idx" };
        let mut index = Index::create();
        index.name(format!("mails_{}_{kind}", columns.join("_"))).table(Alias::new("mails"));
        for column in columns {
            index.col(Alias::new(*column));
        }
        if is_unique {
            index.unique();
        }
        steps.run(&index);
    }
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("mails")));
}
