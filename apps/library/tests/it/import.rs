//! Files in and out.

use std::io::Cursor;

use futures_util::TryStreamExt as _;
use mainstay_library::domain::book::Book;
use mainstay_library::{Books, demo};
use mainstay_transfer::import::{Report, import};
use mainstay_transfer::{Format, ImportCounts, Mode, Records};

use crate::support::{ACTOR, isbn, library, library_of};

async fn bring_in(books: &Books, format: Format, text: impl Into<Vec<u8>>, mode: Mode) -> Report {
    let records = Records::open(format, Cursor::new(text.into())).unwrap();
    import(books, &ACTOR, records, mode, |_, _| {}).await.unwrap()
}

async fn take_out(books: &Books, format: Format) -> Vec<u8> {
    let batches: Vec<_> = books.export(ACTOR).try_collect().await.unwrap();
    let rows = batches.iter().flat_map(|batch| format.rows(batch));
    format.head::<Book>().into_iter().chain(rows).collect()
}

fn counts(created: u64, updated: u64, unchanged: u64) -> ImportCounts {
    ImportCounts { created, updated, unchanged }
}

#[tokio::test]
async fn ten_thousand_rows_a_second_time_change_nothing() {
    let fixture = library().await;
    let rows = demo::books(10_000).map(|book| {
        let date = book.published_date.map(|date| date.to_string()).unwrap_or_default();
        format!("\"{}\",\"{}\",{date},{}\n", book.title.replace('"', "\"\""), book.author, book.isbn)
    });
    let file: String = std::iter::once("title,author,published_date,isbn\n".to_owned()).chain(rows).collect();

    let dry = bring_in(&fixture.books, Format::Csv, file.as_str(), Mode::DryRun).await;
    assert_eq!((dry.counts, dry.failed), (counts(10_000, 0, 0), 0));
    let first = bring_in(&fixture.books, Format::Csv, file.as_str(), Mode::Write).await;
    assert_eq!((first.counts, first.failed), (counts(10_000, 0, 0), 0));
    let second = bring_in(&fixture.books, Format::Csv, file.as_str(), Mode::Write).await;
    assert_eq!((second.counts, second.failed), (counts(0, 0, 10_000), 0));
}

#[tokio::test]
async fn what_was_exported_is_imported_as_it_was() {
    for format in [Format::Csv, Format::Ndjson] {
        let (from, to) = (library_of(1_200).await, library().await);

        let file = take_out(&from.books, format).await;
        let report = bring_in(&to.books, format, file.clone(), Mode::Write).await;

        assert_eq!((report.counts, report.failed), (counts(1_200, 0, 0), 0));
        assert!(take_out(&to.books, format).await == file, "{format:?}");
    }
}

#[tokio::test]
async fn bad_rows_are_told_with_line_and_every_fault_and_the_good_ones_are_in() {
    let fixture = library().await;
    let file = format!(
        "\u{FEFF}isbn,author,title,published_date\r\n{},Anon,\"Two, or\"\" one\",\r\n\r\n\"\r\n123\",,Bad,2020-13-01\r\n{},Anon,Good,2020-01-02\r\n",
        isbn(1),
        isbn(2)
    );

    let report = bring_in(&fixture.books, Format::Csv, file, Mode::Write).await;

    assert_eq!((report.counts, report.failed), (counts(2, 0, 0), 1));
    let [row] = report.refused.as_slice() else { panic!("{report:?}") };
    let mut codes: Vec<_> = row.faults.as_slice().iter().map(|fault| (&*fault.field, &*fault.code)).collect();
    codes.sort_unstable();
    assert_eq!(
        (row.line, codes),
        (4, vec![("author", "required"), ("isbn", "isbn_length"), ("published_date", "invalid_date")])
    );
}

#[tokio::test]
async fn ndjson_rows_are_judged_line_by_line() {
    let fixture = library().await;
    let good = format!(r#"{{"title":"A","author":"B","isbn":"{}","published_date":null}}"#, isbn(1));
    let file = format!("{good}\n\n{{oops\n[]\n{{\"title\":\"A\",\"colour\":1}}\n{good}");

    let report = bring_in(&fixture.books, Format::Ndjson, file, Mode::Write).await;

    let told: Vec<_> = report
        .refused
        .iter()
        .map(|row| {
            (row.line, row.faults.as_slice().iter().map(|fault| fault.code.to_string()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, vec!["malformed".to_owned()]),
            (4, vec!["wrong_type".to_owned()]),
            (5, vec!["required".to_owned(), "required".to_owned(), "unknown_field".to_owned()]),
        ]
    );
    assert_eq!(report.counts, counts(1, 0, 1));
}

#[tokio::test]
async fn the_later_row_wins_whether_in_one_batch_or_not() {
    let fixture = library().await;
    let line = |title: &str, place| format!("{title},Anon,{}\n", isbn(place));
    let filler: String = (100..700).map(|place| line("Filler", place)).collect();
    let file = format!("title,author,isbn\n{}{}{filler}{}", line("One", 1), line("Two", 1), line("Three", 1));

    let report = bring_in(&fixture.books, Format::Csv, file, Mode::Write).await;

    assert_eq!(report.counts, counts(601, 2, 0));
    let book = fixture.books.get(&ACTOR, mainstay_library::domain::book::BookId::new(1)).await.unwrap();
    assert_eq!((&*book.title, book.version), ("Three", 2));
}

#[tokio::test]
async fn only_the_first_refused_rows_are_described_but_all_are_counted() {
    let fixture = library().await;
    let file = format!("title,author,isbn\n{}", "A,B,1\n".repeat(700));

    let report = bring_in(&fixture.books, Format::Csv, file, Mode::Write).await;

    assert_eq!((report.failed, report.refused.len(), report.rows()), (700, 50, 700));
}

#[tokio::test]
async fn a_file_that_breaks_off_keeps_what_came_before() {
    let fixture = library().await;
    let rows: String = (1..=600).map(|place| format!("T,A,{}\n", isbn(place))).collect();
    let file = format!("title,author,isbn\n{rows}\"open,A,1\n{}", "x\n".repeat(200_000));

    let records = Records::open(Format::Csv, Cursor::new(file.into_bytes())).unwrap();
    let stopped = import(&fixture.books, &ACTOR, records, Mode::Write, |_, _| {}).await.unwrap_err();

    assert_eq!(stopped.report.counts, counts(600, 0, 0));
    assert!(stopped.source.to_string().contains("quotation mark"), "{stopped:?}");
}
