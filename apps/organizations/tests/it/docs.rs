//! The page that is printed from the matrix.

use std::path::Path;

#[test]
fn the_page_says_what_the_table_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access-matrix.md");
    let expected = mainstay_organizations::matrix_markdown();
    if std::env::var_os("MAINSTAY_WRITE_DOCS").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(found == expected, "docs/access-matrix.md is old: run this test with MAINSTAY_WRITE_DOCS=1");
}
