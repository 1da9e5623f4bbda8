//! Books in files: `mainstay library import` and `GET /api/v1/books/export`.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_e2e::{Client, Site, isbn};

const MIB: u64 = 1 << 20;

/// Books whose texts every form has trouble with.
fn awkward() -> String {
    let titles = [
        "Plain",
        "With, comma",
        "With \"quotes\"",
        "=1+1",
        "'single'",
        "ÆØÅ 漢字 😀",
        "back\\slash",
        "tab?",
        "semi;colon",
        "null",
        "0123",
        "{\"json\": true}",
    ];
    let mut file = "isbn,title,published_date,author\n".to_owned();
    for (number, title) in titles.into_iter().enumerate() {
        let date = if number % 2 == 0 { "1999-12-31" } else { "" };
        let isbn = isbn(u32::try_from(number).unwrap());
        writeln!(file, "{isbn},\"{}\",{date},\"Author, {number}\"", title.replace('"', "\"\"")).unwrap();
    }
    file
}

async fn export(client: &Client, format: &str) -> String {
    let reply = client.get(&format!("/api/v1/books/export?format={format}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

#[tokio::test]
async fn what_was_exported_makes_the_same_library_elsewhere() {
    let site = Site::new();
    let server = site.serve().await;
    site.write("books.csv", &awkward());
    let told = site.run(&["library", "import", "books.csv"]).success();
    assert!(told.contains("12 created"), "{told}");
    let (csv, ndjson) = (export(&server.client(), "csv").await, export(&server.client(), "ndjson").await);
    assert_eq!((csv.lines().count(), ndjson.lines().count()), (13, 12));

    for (name, text) in [("export.csv", &csv), ("export.ndjson", &ndjson)] {
        let other = Site::new();
        let server = other.serve().await;
        other.write(name, text);
        let told = other.run(&["library", "import", name]).success();
        assert!(told.contains("12 created"), "{told}");
        assert_eq!(export(&server.client(), "csv").await, csv, "{name}");
        assert_eq!(export(&server.client(), "ndjson").await, ndjson, "{name}");
        assert_eq!(other.run(&["library", "export", "--format", "csv"]).success(), csv, "{name}");
    }

    let accepted = [("accept", "application/x-ndjson")];
    assert_eq!(server.client().get_with("/api/v1/books/export", &accepted).await.text(), ndjson);
    let reply = server.client().get("/api/v1/books/export").await;
    assert!(reply.header("content-type").starts_with("text/csv") && reply.text() == csv);
    assert!(reply.header("content-disposition").contains("books.csv"));
}

#[tokio::test]
async fn bad_rows_are_told_with_their_lines_and_the_others_come_in() {
    let site = Site::new();
    let server = site.serve().await;
    let total = async || server.client().get("/api/v1/books").await.json["total"].as_u64().unwrap();
    let (one, two) = (isbn(1), isbn(2));
    let file = format!(
        "title,author,isbn\nGood,A,{one}\nBad,A,123\n\"Two\nlines\",A,{one}\n,,{two}\nFine,B,{two}\n"
    );
    site.write("books.csv", &file);

    let dry = site.run(&["library", "import", "--dry-run", "books.csv"]);
    assert!(dry.stdout.contains("dry run"), "{}", dry.stdout);
    assert_eq!((dry.code, total().await), (Some(1), 0));

    let ended = site.run(&["library", "import", "books.csv"]);
    assert!(ended.stdout.contains("2 created") && ended.stdout.contains("3 refused"), "{}", ended.stdout);
    let told = ended.failure();
    for line in ["line 3: isbn", "line 4: title", "line 6: "] {
        assert!(told.contains(line), "{line} is missing in\n{told}");
    }
    assert_eq!(total().await, 2);

    site.write("again.csv", &format!("title,author,isbn\nBetter,A,{one}\nFine,B,{two}\n"));
    let told = site.run(&["library", "import", "again.csv"]).success();
    assert!(told.contains("0 created, 1 updated, 1 unchanged"), "{told}");
    assert!(export(&server.client(), "csv").await.contains("Better"));

    for (name, text) in [("empty.csv", ""), ("header.csv", "name,writer\nA,B\n"), ("books.pdf", "x")] {
        site.write(name, text);
        let _ = site.run(&["library", "import", name]).failure();
    }
    let told = site.run(&["library", "import", "missing.csv"]).failure();
    assert!(told.contains("missing.csv"), "{told}");
    assert_eq!(total().await, 2);
}

#[tokio::test]
async fn a_hundred_thousand_rows_go_in_and_out_in_bounded_memory() {
    const ROWS: u32 = 100_000;
    let site = Site::new();
    let server = site.serve().await;
    let mut file = "title,author,published_date,isbn\r\n".to_owned();
    for number in 0..ROWS {
        let isbn = isbn(number);
        write!(
            file,
            "The long and winding title of book {number},Author {},2001-02-03,{isbn}\r\n",
            number % 977
        )
        .unwrap();
    }
    site.write("books.csv", &file);

    let import = site.start(&["library", "import", "books.csv"], "");
    let ended = import.finish(Duration::from_secs(300)).await;
    let peak = ended.peak_bytes;
    let told = ended.success();
    assert!(told.contains("100,000 created"), "{told}");
    println!("the import held {} MiB at most", peak / MIB);
    assert!(peak > MIB && peak < 200 * MIB, "the import held {} MiB", peak / MIB);

    assert!(export(&server.client(), "csv").await == file, "the export is not what was imported");
    let ended = server.process.finish_after_kill().await;
    println!("the server held {} MiB at most", ended.peak_bytes / MIB);
    assert!(ended.peak_bytes < 200 * MIB, "the server held {} MiB", ended.peak_bytes / MIB);
}
