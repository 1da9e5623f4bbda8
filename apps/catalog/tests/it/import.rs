//! Files in and out.

use std::io::Cursor;

use futures_util::TryStreamExt as _;
use mainstay_catalog::domain::category::MAX_CATEGORIES;
use mainstay_catalog::domain::product::Product;
use mainstay_catalog::{Importer, demo};
use mainstay_transfer::import::{Report, import};
use mainstay_transfer::{Format, ImportCounts, Mode, Records};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::Query;
use serde_json::json;

use crate::support::{ACTOR, Fixture, catalog, catalog_of};

async fn bring_in(importer: &Importer, format: Format, text: impl Into<Vec<u8>>, mode: Mode) -> Report {
    let records = Records::open(format, Cursor::new(text.into())).unwrap();
    import(importer, &ACTOR, records, mode, |_, _| {}).await.unwrap()
}

async fn take_out(fixture: &Fixture, format: Format) -> Vec<u8> {
    let batches: Vec<_> = fixture.products.export(ACTOR).try_collect().await.unwrap();
    let rows = batches.iter().flat_map(|batch| format.rows(batch));
    format.head::<Product>().into_iter().chain(rows).collect()
}

fn counts(created: u64, updated: u64, unchanged: u64) -> ImportCounts {
    ImportCounts { created, updated, unchanged }
}

fn told(report: &Report) -> Vec<(u64, Vec<(String, String)>)> {
    let faults = |row: &mainstay_transfer::import::RefusedRow| {
        row.faults.as_slice().iter().map(|fault| (fault.field.clone(), fault.code.to_string())).collect()
    };
    report.refused.iter().map(|row| (row.line, faults(row))).collect()
}

#[tokio::test]
async fn rows_a_second_time_change_nothing() {
    let fixture = catalog_of(0).await;
    let file: String = (0..2_500).map(|place| demo::product(place).to_string() + "\n").collect();

    let dry = bring_in(&fixture.importer(), Format::Ndjson, file.as_str(), Mode::DryRun).await;
    assert_eq!((dry.counts, dry.failed), (counts(2_500, 0, 0), 0));
    let first = bring_in(&fixture.importer(), Format::Ndjson, file.as_str(), Mode::Write).await;
    assert_eq!((first.counts, first.failed), (counts(2_500, 0, 0), 0));
    let second = bring_in(&fixture.importer(), Format::Ndjson, file.as_str(), Mode::Write).await;
    assert_eq!((second.counts, second.failed), (counts(0, 0, 2_500), 0));
    assert_eq!(fixture.list(&[]).await.total, Some(2_500));
}

#[tokio::test]
async fn what_was_exported_is_imported_as_it_was() {
    for format in [Format::Csv, Format::Ndjson] {
        let (from, to) = (catalog_of(1_200).await, catalog_of(0).await);
        from.add(
            "odd",
            json!({
                "name": "A \"quoted\", one", "description": "two\nlines", "price": "1.005", "currency": "KWD",
                "tags": ["a, b", "c;d"], "attributes": {"x": 1.5, "y": "z,\"", "t": true},
            }),
        )
        .await;

        let file = take_out(&from, format).await;
        let report = bring_in(&to.importer(), format, file.clone(), Mode::Write).await;

        assert_eq!((report.counts, report.failed), (counts(1_201, 0, 0), 0), "{report:?}");
        assert!(take_out(&to, format).await == file, "{format:?}");
        assert_eq!(to.skus(&[("tags", "A, B")]).await, ["odd"]);
    }
}

#[tokio::test]
async fn bad_rows_are_told_with_line_and_every_fault_and_the_good_ones_are_in() {
    let fixture = catalog().await;
    let file = "sku,name,price,currency,category,tags,attributes\n\
                a,Lamp,12.50,EUR,,oak|new,\n\
                b,,12.505,EUR,,,[1]\n\
                c,Chair,1,EUR,nowhere,,\n\
                d,Desk,5,JPY,,,\"{\"\"w\"\":3}\"\n";

    let report = bring_in(&fixture.importer(), Format::Csv, file, Mode::Write).await;

    assert_eq!((report.counts, report.failed), (counts(2, 0, 0), 2));
    let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
    assert_eq!(
        told(&report),
        [
            (
                3,
                vec![
                    pair("name", "required"),
                    pair("price", "too_many_decimals"),
                    pair("attributes", "wrong_type")
                ]
            ),
            (4, vec![pair("category", "unknown_category")]),
        ]
    );
    assert_eq!(fixture.skus(&[("sort", "price")]).await, ["d", "a"]);
}

#[tokio::test]
async fn categories_are_made_if_that_is_asked_for() {
    let fixture = catalog().await;
    fixture.category("chairs", None).await;
    let importer = Importer::new(fixture.products.clone(), true);
    let file = "sku,name,price,currency,category\na,A,1,EUR,chairs\nb,B,1,EUR,desks\nc,C,1,EUR,desks\n";

    let dry = bring_in(&importer, Format::Csv, file, Mode::DryRun).await;
    assert_eq!((dry.counts, dry.failed), (counts(3, 0, 0), 0));
    assert!(fixture.categories.tree().await.unwrap().find("desks").is_none());

    let report = bring_in(&importer, Format::Csv, file, Mode::Write).await;
    assert_eq!((report.counts, report.failed), (counts(3, 0, 0), 0));
    assert_eq!(fixture.list(&[("category", "desks")]).await.total, Some(2));
    let tree = fixture.categories.tree().await.unwrap();
    assert_eq!((tree.all().len(), tree.find("desks").unwrap().parent), (2, None));
}

#[tokio::test]
async fn the_later_row_wins_whether_in_one_batch_or_not() {
    let fixture = catalog().await;
    let line = |sku: &str, name: &str| format!("{sku},{name},1,EUR\n");
    let filler: String = (0..1_200).map(|place| line(&format!("f{place}"), "Filler")).collect();
    let file = format!(
        "sku,name,price,currency\n{}{}{filler}{}",
        line("a", "One"),
        line("a", "Two"),
        line("a", "Three")
    );

    let report = bring_in(&fixture.importer(), Format::Csv, file, Mode::Write).await;

    assert_eq!(report.counts, counts(1_201, 2, 0));
    let [product] = &fixture.list(&[("q", "three")]).await.items[..] else { panic!() };
    assert_eq!((&*product.sku, product.version), ("a", 2));
}

#[tokio::test]
async fn the_largest_product_goes_out_and_comes_in() {
    let long = |length: usize| "\u{1F6CB}".repeat(length);
    let tags: Vec<_> = (10..30).map(|place| format!("{}{place}", long(48))).collect();
    let attributes: serde_json::Map<_, _> =
        (10..60).map(|place| (format!("{}{place}", long(48)), long(500).into())).collect();
    let largest = json!({
        "name": long(200), "description": long(5_000), "tags": tags, "attributes": attributes,
        "stock": 1_000_000_000,
    });
    for format in [Format::Csv, Format::Ndjson] {
        let (from, to) = (catalog().await, catalog().await);
        from.add(&long(64), largest.clone()).await;
        let quotes = "\"".repeat(500);
        let quoted: serde_json::Map<_, _> =
            (10..60).map(|place| (format!("{place}"), quotes.as_str().into())).collect();
        from.add("quoted", json!({"description": "\"".repeat(5_000), "attributes": quoted})).await;

        let file = take_out(&from, format).await;
        assert!(file.len() > 120_000);
        let report = bring_in(&to.importer(), format, file.clone(), Mode::Write).await;

        assert_eq!((report.counts, report.failed), (counts(2, 0, 0), 0), "{report:?}");
        assert!(take_out(&to, format).await == file, "{format:?}");
    }
}

#[tokio::test]
async fn an_import_makes_no_more_categories_than_there_can_be() {
    let fixture = catalog().await;
    let unit = fixture.db.write(&ACTOR).await.unwrap();
    for chunk in (0..MAX_CATEGORIES as i64 - 2).collect::<Vec<_>>().chunks(2_000) {
        let mut insert = Query::insert()
            .into_table("categories")
            .columns(["slug", "name", "version", "created_at", "updated_at"])
            .take();
        for place in chunk {
            let slug = format!("c{place}");
            insert.values_panic([slug.clone().into(), slug.into(), 1_i64.into(), 0_i64.into(), 0_i64.into()]);
        }
        unit.execute(&insert).await.unwrap();
    }
    unit.commit().await.unwrap();
    // The fourth row's is one too many, though it comes in another batch.
    let filler: String = (0..1_200).map(|place| format!("f{place},F,1,EUR,c7\n")).collect();
    let file = format!(
        "sku,name,price,currency,category\na,A,1,EUR,new-1\nb,B,1,EUR,new-2\nc,C,1,EUR,new-1\n{filler}\
         d,D,1,EUR,new-3\ne,E,1,EUR,new-2\n"
    );

    for mode in [Mode::DryRun, Mode::Write] {
        let importer = Importer::new(fixture.products.clone(), true);
        let report = bring_in(&importer, Format::Csv, file.as_str(), mode).await;
        assert_eq!((report.counts, report.failed), (counts(1_204, 0, 0), 1), "{mode:?}");
        let fault = ("category".to_owned(), "category_limit".to_owned());
        assert_eq!(told(&report), [(1_205, vec![fault])], "{mode:?}");
    }
    assert_eq!(fixture.categories.tree().await.unwrap().all().len(), MAX_CATEGORIES);
}
