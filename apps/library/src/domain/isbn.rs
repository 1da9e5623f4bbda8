//! International Standard Book Numbers (ISO 2108).
//!
//! Every spelling of a number is one value: an ISBN-10, its ISBN-13 twin, with
//! or without hyphens, are equal after [`Isbn::parse`], so a unique column over
//! the thirteen digits is enough to refuse the same edition twice.

use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;

/// A book number with a right check digit, held as the 13 ASCII digits of its
/// ISBN-13. Orders and compares like [`Isbn::hyphenless`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Isbn([u8; 13]);

/// Why a text is no ISBN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IsbnError {
    /// No digit at all.
    #[error("an ISBN has 10 or 13 digits; none was given")]
    Empty,
    /// Neither 10 nor 13 digits.
    #[error("an ISBN has 10 or 13 digits, not {found}")]
    Length {
        /// Digits in the input, a closing X included, a label such as `ISBN-13:` not.
        found: usize,
    },
    /// A character that is neither digit nor separator, or an X that is not
    /// the check digit of an ISBN-10.
    #[error("{} at position {position} {}", Shown(*.character), misplaced(*.character))]
    Character {
        /// The first such character.
        character: char,
        /// Where it stands in the input, in characters, from 1.
        position: usize,
    },
    /// The check digit does not fit the digits before it: most likely a typing error.
    #[error(
        "the check digit is {found}, but the digits before it call for {expected}; one digit may be mistyped"
    )]
    CheckDigit {
        /// The last digit as given.
        found: char,
        /// What the digits before it call for: `0`..=`9`, or `X` in an ISBN-10.
        expected: char,
    },
    /// 979-0 numbers printed music (ISMN, ISO 10957), not books.
    #[error("a number that begins with 979-0 is an ISMN: it numbers printed music, not a book")]
    Music,
    /// Thirteen digits of some other article number (EAN).
    #[error("a 13-digit ISBN begins with 978 or 979")]
    Prefix,
    /// `0000000000` has a right check digit and numbers no book.
    #[error("an ISBN of zeros only is a placeholder, not a book's number")]
    Placeholder,
}

impl IsbnError {
    /// The stable code of this reason, for machines: `isbn_…`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "isbn_empty",
            Self::Length { .. } => "isbn_length",
            Self::Character { .. } => "isbn_character",
            Self::CheckDigit { .. } => "isbn_check_digit",
            Self::Music => "isbn_music",
            Self::Prefix => "isbn_prefix",
            Self::Placeholder => "isbn_placeholder",
        }
    }
}

impl Isbn {
    /// Reads an ISBN-10 or ISBN-13 in any usual spelling.
    ///
    /// Accepted around the digits: hyphens and dashes of every width, white
    /// space, invisible formatting characters, full-width forms, `x` for `X`,
    /// and in front one of `ISBN`, `ISBN-10`, `ISBN-13` or `urn:isbn`, with or
    /// without a colon, in either case.
    ///
    /// # Errors
    /// The first that applies: a foreign character, no digits, a misplaced X, a
    /// wrong count of digits, a wrong prefix, a wrong check digit.
    pub fn parse(input: &str) -> Result<Self, IsbnError> {
        let symbols = Symbols::read(input)?;
        let last = symbols.kept[symbols.count.clamp(1, 13) - 1];
        match symbols.count {
            0 => Err(IsbnError::Empty),
            10 => {
                let mut body = [b'0'; 12];
                body[..3].copy_from_slice(b"978");
                body[3..].copy_from_slice(&symbols.kept[..9]);
                let expected = check_digit10(&symbols.kept[..9]);
                expect_check_digit(last, expected)?;
                Self::from_digits12(body)
            }
            13 => {
                let mut body = [b'0'; 12];
                body.copy_from_slice(&symbols.kept[..12]);
                let isbn = Self::from_digits12(body)?;
                expect_check_digit(last, isbn.0[12])?;
                Ok(isbn)
            }
            found => Err(IsbnError::Length { found }),
        }
    }

    /// The ISBN whose first twelve digits (ASCII, `978…` or `979…`) are these.
    ///
    /// # Errors
    /// [`IsbnError::Character`] for a byte that is no ASCII digit, otherwise
    /// [`IsbnError::Prefix`], [`IsbnError::Music`] or [`IsbnError::Placeholder`].
    pub fn from_digits12(prefix: [u8; 12]) -> Result<Self, IsbnError> {
        if let Some(at) = prefix.iter().position(|digit| !digit.is_ascii_digit()) {
            let character = char::from(prefix[at]);
            return Err(IsbnError::Character { character, position: at + 1 });
        }
        match &prefix {
            [b'9', b'7', b'9', b'0', ..] => return Err(IsbnError::Music),
            b"978000000000" => return Err(IsbnError::Placeholder),
            [b'9', b'7', b'8' | b'9', ..] => {}
            _ => return Err(IsbnError::Prefix),
        }
        let mut digits = [0; 13];
        digits[..12].copy_from_slice(&prefix);
        digits[12] = check_digit13(&prefix);
        Ok(Self(digits))
    }

    /// The 13 digits, without hyphens: the form that is stored.
    pub fn hyphenless(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an ISBN holds ASCII digits only")
    }

    /// The ISBN-10 of the same book, its check digit possibly `X`. `None` for
    /// 979 numbers, which have no short form.
    pub fn to_isbn10(&self) -> Option<String> {
        let body = self.0.strip_prefix(b"978")?.get(..9)?;
        let digits = body.iter().copied().chain([check_digit10(body)]);
        Some(digits.map(char::from).collect())
    }
}

impl fmt::Display for Isbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.hyphenless())
    }
}

impl fmt::Debug for Isbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isbn({self})")
    }
}

impl FromStr for Isbn {
    type Err = IsbnError;

    fn from_str(input: &str) -> Result<Self, IsbnError> {
        Self::parse(input)
    }
}

/// The digits of an input, ASCII, the first 13 kept and all counted.
#[derive(Default)]
struct Symbols {
    kept: [u8; 13],
    count: usize,
}

impl Symbols {
    fn read(input: &str) -> Result<Self, IsbnError> {
        let mut symbols = Self::default();
        let mut x = None;
        for (position, character) in after_label(input) {
            let symbol = half_width(character);
            if is_separator(symbol) {
                continue;
            }
            let foreign = IsbnError::Character { character, position };
            match (symbol, x) {
                // An X has something behind it: blame the X, not what follows.
                (_, Some(misplaced)) if symbol.is_ascii_digit() => return Err(misplaced),
                ('0'..='9', _) => symbols.push(symbol as u8),
                ('x' | 'X', None) => {
                    x = Some(foreign);
                    symbols.push(b'X');
                }
                _ => return Err(foreign),
            }
        }
        match x {
            Some(misplaced) if matches!(symbols.count, 1 | 13) => Err(misplaced),
            _ => Ok(symbols),
        }
    }

    fn push(&mut self, symbol: u8) {
        if let Some(place) = self.kept.get_mut(self.count) {
            *place = symbol;
        }
        self.count += 1;
    }
}

/// The input's characters with their positions (from 1), without what may be
/// written in front of the number: `ISBN`, `ISBN-13:`, `urn:isbn:` and the like.
fn after_label(input: &str) -> impl Iterator<Item = (usize, char)> {
    let from_the_start = input.chars().zip(1..).map(|(c, at)| (at, c)).peekable();
    let mut rest = from_the_start.clone();
    skip_separators(&mut rest);
    take_word(&mut rest, "urn:");
    if !take_word(&mut rest, "isbn") {
        return from_the_start;
    }
    skip_separators(&mut rest);
    let digits = |(_, c): &(usize, char)| matches!(half_width(*c), '0'..='9' | 'x' | 'X');
    let digits = rest.clone().filter(digits).count();
    let mut after_kind = rest.clone();
    if take_word(&mut after_kind, "10") || take_word(&mut after_kind, "13") {
        let is_kind = match after_kind.peek().map(|&(_, c)| half_width(c)) {
            Some(':') => true,
            // `ISBN 10 …` may be a number that begins with 10: then it has ten digits in all.
            Some(c) if is_separator(c) => digits != 10,
            _ => matches!(digits, 12 | 15),
        };
        if is_kind {
            rest = after_kind;
        }
    }
    skip_separators(&mut rest);
    rest.next_if(|&(_, c)| half_width(c) == ':');
    rest
}

fn skip_separators(rest: &mut Peekable<impl Iterator<Item = (usize, char)>>) {
    while rest.next_if(|&(_, c)| is_separator(half_width(c))).is_some() {}
}

/// Steps over `word` in any case if the rest begins with it.
fn take_word<I>(rest: &mut Peekable<I>, word: &str) -> bool
where
    I: Iterator<Item = (usize, char)> + Clone,
{
    let mut ahead = rest.clone();
    let found = word
        .chars()
        .all(|wanted| ahead.next_if(|&(_, c)| half_width(c).eq_ignore_ascii_case(&wanted)).is_some());
    if found {
        *rest = ahead;
    }
    found
}

/// Full-width forms (U+FF01..=U+FF5E) as their ASCII twins.
fn half_width(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

fn is_separator(c: char) -> bool {
    // Hyphens, dashes and the minus sign; then what copying from a web page
    // leaves behind: soft hyphen, zero-width characters, direction marks.
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}')
        || matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
        || c.is_whitespace()
}

/// Weights 10 down to 2; the sum with the check digit divides by 11. 10 is written X.
fn check_digit10(nine: &[u8]) -> u8 {
    let sum: u32 = (2..=10).rev().zip(nine).map(|(weight, &digit)| weight * u32::from(digit - b'0')).sum();
    match (11 - sum % 11) % 11 {
        10 => b'X',
        digit => b'0' + digit as u8,
    }
}

/// Weights 1 and 3 in turn; the sum with the check digit divides by 10.
fn check_digit13(twelve: &[u8; 12]) -> u8 {
    let sum: u32 =
        [1, 3].into_iter().cycle().zip(twelve).map(|(weight, &digit)| weight * u32::from(digit - b'0')).sum();
    b'0' + ((10 - sum % 10) % 10) as u8
}

fn expect_check_digit(found: u8, expected: u8) -> Result<(), IsbnError> {
    if found == expected {
        return Ok(());
    }
    Err(IsbnError::CheckDigit { found: found.into(), expected: expected.into() })
}

/// A character as a message shows it: quoted, invisible ones escaped.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            '\'' => f.write_str("an apostrophe"),
            c => write!(f, "{c:?}"),
        }
    }
}

fn misplaced(character: char) -> &'static str {
    match half_width(character) {
        'x' | 'X' => "is out of place: X can only be the last digit of an ISBN-10",
        _ => "does not belong in an ISBN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(input: &str) -> String {
        match Isbn::parse(input) {
            Ok(isbn) => isbn.to_string(),
            Err(err) => format!("{}: {err}", err.code()),
        }
    }

    #[test]
    fn both_lengths_become_thirteen_digits() {
        assert_eq!(parse("0306406152"), "9780306406157");
        assert_eq!(parse("080442957X"), "9780804429573");
        assert_eq!(parse("0940787083"), "9780940787087");
        assert_eq!(parse("9791090636071"), "9791090636071");
    }

    #[test]
    fn every_usual_spelling_is_accepted() {
        for input in [
            "978-0-306-40615-7",
            " 978 0 306 40615 7\n",
            "978–0–306–40615–7",
            "978‑0‑306—40615−7",
            "９７８－０－３０６－４０６１５－７",
            "ISBN 9780306406157",
            "isbn9780306406157",
            "ISBN: 978-0-306-40615-7",
            "ISBN-13: 978-0-306-40615-7",
            "ISBN-13 978-0-306-40615-7",
            "ISBN13:9780306406157",
            "ISBN139780306406157",
            "ＩＳＢＮ：9780306406157",
            "ISBN-10: 0-306-40615-2",
            "ISBN 10 0306406152",
            "ISBN 13 : 9780306406157",
            "urn:isbn:0306406152",
            "\u{200E}978-0306406157\u{FEFF}",
        ] {
            assert_eq!(parse(input), "9780306406157", "{input}");
        }
        assert_eq!(parse("0 8044 2957 x"), parse("０８０４４２９５７Ｘ"));
        // Digits that look like the label's number.
        assert_eq!(parse("ISBN 1-001-00000-5"), Isbn::parse("1001000005").unwrap().to_string());
        assert_eq!(parse("ISBN 10-0100000-5"), parse("1001000005"));
    }

    #[test]
    fn a_refusal_says_why() {
        for (input, reason) in [
            ("", "isbn_empty: an ISBN has 10 or 13 digits; none was given"),
            (" -- ISBN: ", "isbn_empty: an ISBN has 10 or 13 digits; none was given"),
            ("12345", "isbn_length: an ISBN has 10 or 13 digits, not 5"),
            ("ISBN-13: 978030640615", "isbn_length: an ISBN has 10 or 13 digits, not 12"),
            ("ISBN-13: 97803064061", "isbn_length: an ISBN has 10 or 13 digits, not 11"),
            ("ISBN 13 97803064061", "isbn_length: an ISBN has 10 or 13 digits, not 11"),
            ("08044295X", "isbn_length: an ISBN has 10 or 13 digits, not 9"),
            ("978030640615712", "isbn_length: an ISBN has 10 or 13 digits, not 15"),
            ("03064o6152", "isbn_character: 'o' at position 6 does not belong in an ISBN"),
            ("0306406152'", "isbn_character: an apostrophe at position 11 does not belong in an ISBN"),
            ("ISBN-10: 03064\u{1}6152", "isbn_character: '\\u{1}' at position 15 does not belong in an ISBN"),
            ("é0306406152", "isbn_character: 'é' at position 1 does not belong in an ISBN"),
            ("0306:406152", "isbn_character: ':' at position 5 does not belong in an ISBN"),
            ("isb 0306406152", "isbn_character: 'i' at position 1 does not belong in an ISBN"),
            (
                "03064X6152",
                "isbn_character: 'X' at position 6 is out of place: X can only be the last digit of an ISBN-10",
            ),
            (
                "978030640615x",
                "isbn_character: 'x' at position 13 is out of place: X can only be the last digit of an ISBN-10",
            ),
            (
                "080442957XX",
                "isbn_character: 'X' at position 11 is out of place: X can only be the last digit of an ISBN-10",
            ),
            (
                "9780306406158",
                "isbn_check_digit: the check digit is 8, but the digits before it call for 7; one digit may be mistyped",
            ),
            (
                "0804429571",
                "isbn_check_digit: the check digit is 1, but the digits before it call for X; one digit may be mistyped",
            ),
            (
                "9790260000438",
                "isbn_music: a number that begins with 979-0 is an ISMN: it numbers printed music, not a book",
            ),
            ("4006381333931", "isbn_prefix: a 13-digit ISBN begins with 978 or 979"),
            ("0000000000", "isbn_placeholder: an ISBN of zeros only is a placeholder, not a book's number"),
            (
                "9780000000002",
                "isbn_placeholder: an ISBN of zeros only is a placeholder, not a book's number",
            ),
        ] {
            assert_eq!(parse(input), reason, "{input:?}");
        }
    }

    #[test]
    fn twelve_digits_get_their_check_digit() {
        assert_eq!(Isbn::from_digits12(*b"978030640615").unwrap().hyphenless(), "9780306406157");
        assert_eq!(Isbn::from_digits12(*b"400638133393"), Err(IsbnError::Prefix));
        assert_eq!(Isbn::from_digits12(*b"979026000043"), Err(IsbnError::Music));
        assert_eq!(
            Isbn::from_digits12([9, 7, 8, 0, 3, 0, 6, 4, 0, 6, 1, 5]),
            Err(IsbnError::Character { character: '\t', position: 1 })
        );
    }

    #[test]
    fn only_978_has_a_short_form() {
        assert_eq!(Isbn::parse("9780804429573").unwrap().to_isbn10().as_deref(), Some("080442957X"));
        assert_eq!(Isbn::parse("9791090636071").unwrap().to_isbn10(), None);
    }

    #[test]
    fn debug_and_display_show_the_digits() {
        let isbn: Isbn = "0306406152".parse().unwrap();
        assert_eq!(
            format!("{isbn} {isbn:?} [{isbn:>15}]"),
            "9780306406157 Isbn(9780306406157) [  9780306406157]"
        );
    }

    fn isbn() -> impl Strategy<Value = Isbn> {
        (any::<bool>(), 1..1_000_000_000u64).prop_map(|(new, rest)| {
            let rest = if new { rest.max(100_000_000) } else { rest };
            let digits = format!("{}{rest:09}", if new { "979" } else { "978" });
            Isbn::from_digits12(digits.as_bytes().try_into().unwrap()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_number_reads_back_in_both_forms(isbn in isbn()) {
            prop_assert_eq!(Isbn::parse(isbn.hyphenless()), Ok(isbn));
            prop_assert_eq!(isbn.to_isbn10().is_some(), isbn.hyphenless().starts_with("978"));
            if let Some(short) = isbn.to_isbn10() {
                prop_assert_eq!(short.len(), 10);
                prop_assert_eq!(Isbn::parse(&short), Ok(isbn));
                prop_assert_eq!(Isbn::parse(&short.to_lowercase()), Ok(isbn));
            }
        }

        #[test]
        fn separators_and_labels_make_no_difference(
            isbn in isbn(),
            label in prop::sample::select(vec!["", "ISBN", "isbn ", "ISBN: ", "ISBN-13: ", "ISBN-10:", "urn:isbn:", " Isbn 13 ", "ＩＳＢＮ"]),
            gaps in prop::collection::vec("[-– \u{2010}-\u{2015}\u{2212}－\t\u{A0}\u{200B}\u{AD}]{0,3}", 14),
            short in any::<bool>(),
            wide in any::<bool>(),
        ) {
            let digits = match isbn.to_isbn10() {
                Some(digits) if short => digits,
                _ => isbn.to_string(),
            };
            let widened = |c: char| if wide { char::from_u32(c as u32 + 0xFEE0).unwrap() } else { c };
            let spelled: String = digits.chars().zip(&gaps).map(|(c, gap)| format!("{gap}{}", widened(c))).collect();
            prop_assert_eq!(Isbn::parse(&format!("{label}{spelled}{}", gaps[13])), Ok(isbn));
        }

        #[test]
        fn one_changed_digit_is_refused(isbn in isbn(), at in 0..13usize, shift in 1..10u8, short in any::<bool>()) {
            let mut digits = match isbn.to_isbn10() {
                Some(digits) if short && !digits.ends_with('X') => digits.into_bytes(),
                _ => isbn.hyphenless().as_bytes().to_vec(),
            };
            let at = at % digits.len();
            digits[at] = b'0' + (digits[at] - b'0' + shift) % 10;
            prop_assert!(Isbn::parse(std::str::from_utf8(&digits).unwrap()).is_err());
        }

        #[test]
        fn a_wrong_check_digit_names_the_right_one(isbn in isbn(), shift in 1..10u8) {
            let right = isbn.hyphenless().as_bytes()[12];
            let wrong = char::from(b'0' + (right - b'0' + shift) % 10);
            let input = format!("{}{wrong}", &isbn.hyphenless()[..12]);
            prop_assert_eq!(Isbn::parse(&input), Err(IsbnError::CheckDigit { found: wrong, expected: right.into() }));
        }

        #[test]
        fn no_input_panics(input in any::<String>(), near in "[iIsSbBnN:13xX0-9 \\-–９Ｘ]{0,30}") {
            for input in [input, near] {
                match Isbn::parse(&input) {
                    Ok(isbn) => prop_assert_eq!(Isbn::parse(isbn.hyphenless()), Ok(isbn)),
                    Err(IsbnError::Character { character, position }) => {
                        prop_assert_eq!(input.chars().nth(position - 1), Some(character));
                    }
                    Err(err) => prop_assert!(err.code().starts_with("isbn_") && !err.to_string().is_empty()),
                }
            }
        }
    }
}
