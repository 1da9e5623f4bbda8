//! Deliveries, the inbox, dead letters, leases, jobs, and the seals of the audit log.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

/// The steps of the tables that deliver events and run jobs.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    vec![Migration { app: "platform", version: 20_261_121_140_001, name: "events", up, down }]
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &str| ColumnDef::new(Alias::new(name));
    let number = |name: &str| column(name).big_integer().to_owned();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    let table = |name: &str| Table::create().table(Alias::new(name)).to_owned();
    let index = |table: &str, columns: &[&str], unique: bool| {
        let kind = if unique { "key" } else { "idx" };
        let mut index = Index::create();
        index.name(format!("{table}_{}_{kind}", columns.join("_"))).table(Alias::new(table));
        columns.iter().for_each(|column| {
            index.col(Alias::new(*column));
        });
        if unique {
            index.unique();
        }
        index
    };

    steps.run(
        table("event_deliveries")
            .col(number("seq").not_null().auto_increment().primary_key())
            .col(text("consumer").not_null())
            .col(column("event_id").uuid().not_null())
            .col(text("subject").not_null())
            .col(text("event").not_null())
            .col(column("attempts").integer().not_null())
            .col(number("due_at").not_null())
            .col(text("history")),
    );
    steps.run(&index("event_deliveries", &["consumer", "event_id"], true));
    steps.run(&index("event_deliveries", &["consumer", "seq"], false));
    steps.run(&index("event_deliveries", &["consumer", "subject", "seq"], false));
    // Finds the few that wait for another try, behind which others wait, without a look at all.
    steps.run(&index("event_deliveries", &["consumer", "due_at"], false));

    steps.run(
        table("event_inbox")
            .col(text("consumer").not_null())
            .col(column("event_id").uuid().not_null())
            .col(number("seen_at").not_null())
            .primary_key(Index::create().col(Alias::new("consumer")).col(Alias::new("event_id"))),
    );
    steps.run(&index("event_inbox", &["seen_at"], false));

    steps.run(
        table("dead_letters")
            .col(column("id").uuid().not_null().primary_key())
            .col(text("consumer").not_null())
            .col(column("event_id").uuid().not_null())
            .col(text("kind").not_null())
            .col(text("subject").not_null())
            .col(text("event").not_null())
            .col(text("error").not_null())
            .col(text("history").not_null())
            .col(column("attempts").integer().not_null())
            .col(number("died_at").not_null()),
    );
    steps.run(&index("dead_letters", &["died_at", "id"], false));

    steps.run(
        table("leases")
            .col(text("name").not_null().primary_key())
            .col(text("owner").not_null())
            .col(number("fence").not_null())
            .col(number("expires_at").not_null()),
    );

    steps.run(
        table("jobs")
            .col(text("name").not_null().primary_key())
            .col(number("due_at").not_null())
            .col(number("fence").not_null())
            .col(number("leased_until"))
            .col(number("last_started_at"))
            .col(number("last_finished_at"))
            .col(text("last_error"))
            .col(number("runs").not_null())
            .col(number("failures").not_null()),
    );

    steps.run(
        table("audit_seals")
            .col(number("position").not_null().primary_key())
            .col(number("entry_seq").not_null())
            .col(text("changes_digest"))
            .col(text("hash").not_null())
            .col(number("sealed_at").not_null()),
    );
    steps.run(&index("audit_seals", &["entry_seq"], true));

    steps.run(
        table("audit_anchor")
            .col(column("id").integer().not_null().primary_key())
            .col(number("position").not_null())
            .col(text("mac").not_null()),
    );
}

fn down(steps: &mut Steps) {
    for table in
        ["audit_anchor", "audit_seals", "jobs", "leases", "dead_letters", "event_inbox", "event_deliveries"]
    {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
