//! The steps of the library's schema, oldest first. One that was released is never edited.

mod m20261121090000_books;

use mainstay_db::Migration;

/// Every step.
#[must_use]
pub fn all() -> Vec<Migration> {
    vec![m20261121090000_books::MIGRATION]
}

#[cfg(test)]
mod tests {
    use mainstay_db::Dialect;

    use super::all;

    /// What a database out there has applied is compared with these.
    #[test]
    fn released_steps_stay_as_they_are() {
        let sums = |dialect| all().iter().map(|step| step.checksum(dialect)).collect::<Vec<_>>();
        assert_eq!(
            sums(Dialect::Sqlite),
            ["2144dbfe41b0b03c02da4544a4f079d46b6e41fde0c7ac52b5e573abd2762dd9"]
        );
        assert_eq!(
            sums(Dialect::Postgres),
            ["3a0e0c0fe3803f45106aa90e2c6ada4ef8599ff89e866784f0195b1e22e5a6cb"]
        );
    }
}
