//! A believable library for demonstrations and benchmarks.
//!
//! First come real works (title, author and year of first publication are
//! facts), then invented ones put together from patterns and word lists. The
//! book at a given place depends on that place alone: the same on every
//! machine, no state, and any count in constant memory. All ISBNs are made up,
//! with a right check digit and the group of the book's language; some may
//! belong to another book in the world.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::LazyLock;

use chrono::NaiveDate;

use crate::domain::book::{self, NewBook, Title};
use crate::domain::isbn::Isbn;

/// Most books that [`books`] yields: beyond, the shortest ISBN blocks would repeat.
pub const MAX_BOOKS: usize = 1_000_000;

/// One book as it would be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoBook {
    /// 1..=150 characters, in the script of its language.
    pub title: String,
    /// 1..=100 characters; two authors are joined with "and".
    pub author: String,
    /// Real works: the first publication, 1 January where only the year is
    /// known, `None` where not even that. Invented ones: 1850..=2025, or `None`
    /// for one in 25.
    pub published_date: Option<NaiveDate>,
    /// Different for every book.
    pub isbn: Isbn,
}

/// The first `count` demonstration books, at most [`MAX_BOOKS`].
///
/// A longer list begins with the shorter one. No two books share an ISBN;
/// nearly all titles differ. Makes several hundred thousand books a second.
pub fn books(count: usize) -> impl ExactSizeIterator<Item = DemoBook> {
    (0..count.min(MAX_BOOKS)).map(|place| STOCK.book(place))
}

impl From<DemoBook> for NewBook {
    fn from(book: DemoBook) -> Self {
        let DemoBook { title, author, published_date, isbn } = book;
        Self {
            title: Title::parse(&title).expect("a demo book has a title within the bounds"),
            author: book::Author::parse(&author).expect("a demo book has an author within the bounds"),
            published_date,
            isbn,
        }
    }
}

static STOCK: LazyLock<Stock> = LazyLock::new(Stock::read);

const LAST_YEAR: i32 = 2025;

/// The data files, taken apart once.
struct Stock {
    classics: Vec<Classic>,
    patterns: Vec<Pattern>,
    lists: HashMap<&'static str, List>,
}

type List = Vec<&'static str>;

struct Classic {
    language: &'static str,
    published_date: Option<NaiveDate>,
    title: &'static str,
    author: &'static str,
}

/// A title with places for words of lists.
struct Pattern {
    language: &'static str,
    earliest_year: i32,
    parts: Vec<Part>,
    /// How many titles it makes.
    capacity: usize,
    /// Step from one title to the next: without common divisor with the
    /// capacity, so that all of them come before one comes again.
    stride: usize,
}

enum Part {
    Text(&'static str),
    Word { form: Form, list: List, rank: usize },
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    /// With "A" or "An" before it.
    Article,
    /// The first letter in lower case, for languages that write titles so.
    LowerCase,
}

impl Stock {
    fn read() -> Self {
        let mut lists = read_lists(include_str!("demo/lists.txt"));
        for (name, list) in &mut lists {
            // The file is in alphabetical order; the frequent authors should not be.
            Dice::named(name).shuffle(list);
        }
        let classics = fields(include_str!("demo/classics.txt"))
            .map(|[language, date, title, author]| {
                let published_date = read_date(date);
                Classic { language, published_date, title, author }
            })
            .collect();
        let patterns = fields(include_str!("demo/patterns.txt"))
            .map(|[language, year, pattern]| {
                let earliest_year = year.parse().expect("a pattern's year is a number");
                Pattern::read(language, earliest_year, pattern, &lists)
            })
            .collect();
        Self { classics, patterns, lists }
    }

    fn book(&self, place: usize) -> DemoBook {
        if let Some(classic) = self.classics.get(place) {
            return DemoBook {
                title: classic.title.to_owned(),
                author: classic.author.to_owned(),
                published_date: classic.published_date,
                isbn: isbn(place, groups(classic.language)),
            };
        }
        self.invented(place)
    }

    fn invented(&self, place: usize) -> DemoBook {
        let mut dice = Dice::seeded(place as u64);
        // Blocks that use every pattern once, each block in an order of its own:
        // multiplying modulo a prime count is a permutation.
        let count = self.patterns.len();
        let (block, within) = (place / count, place % count);
        let mut order = Dice::seeded(block as u64 ^ 0xB10C);
        let (factor, shift) = (1 + order.below(count - 1), order.below(count));
        let pattern = &self.patterns[(within * factor + shift) % count];

        let author = self.author_of(pattern, &mut dice);
        let mut name = author.name;
        if pattern.language == "en" && dice.below(32) == 0 {
            let second = self.author_of(pattern, &mut dice).name;
            if second != name {
                name = format!("{name} and {second}");
            }
        }
        let published_date = (dice.below(25) > 0).then(|| {
            let ordinal = 1 + dice.below(365) as u32;
            NaiveDate::from_yo_opt(author.year, ordinal).expect("every year has 365 days")
        });
        let isbn = isbn(place, author.groups);
        DemoBook { title: pattern.title(block), author: name, published_date, isbn }
    }

    /// Someone who could have written this book, and the year it came out.
    fn author_of(&self, pattern: &Pattern, dice: &mut Dice) -> Author {
        let mut author = self.author(pattern.language, dice);
        // A pattern of our time needs an author of it. The bound ends
        // the search; seven of ten authors fit even the latest pattern.
        for _ in 0..32 {
            if author.year >= pattern.earliest_year {
                return author;
            }
            author = self.author(pattern.language, dice);
        }
        author.year = author.year.max(pattern.earliest_year);
        author
    }

    fn author(&self, language: &str, dice: &mut Dice) -> Author {
        let names = &names(language)[dice.below(names(language).len())];
        let given = &self.lists[names.given];
        let family = &self.lists[names.family];
        // The lower of two throws: some authors write much, most little.
        let given = given[dice.below(given.len()).min(dice.below(given.len()))];
        let family = family[dice.below(family.len()).min(dice.below(family.len()))];
        let name = match names.order {
            Order::FamilyFirst => format!("{family}{given}"),
            Order::GivenFirst if names.given == "given_en" && dice.below(4) == 0 => {
                // From the family name, so that a person keeps the initial.
                let initial = INITIALS[Dice::named(family).below(INITIALS.len())];
                format!("{given} {initial}. {family}")
            }
            Order::GivenFirst => format!("{given} {family}"),
        };
        // Born 1824..=1985 and more often late, first book at 26: the same for
        // all books under one name.
        let mut life = Dice::named(&name);
        let born = 1824 + life.below(162).max(life.below(162)) as i32;
        let career = (LAST_YEAR - born - 26).clamp(0, 45) as usize;
        let year = born + 26 + dice.below(career + 1) as i32;
        Author { name, year, groups: names.groups }
    }
}

struct Author {
    name: String,
    year: i32,
    groups: &'static [&'static str],
}

const INITIALS: [char; 16] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'P', 'R', 'S', 'W'];

/// Where names of one origin come from and the ISBN groups of their publishers.
struct Names {
    given: &'static str,
    family: &'static str,
    order: Order,
    groups: &'static [&'static str],
}

enum Order {
    GivenFirst,
    /// Without a space, as in Chinese and Japanese.
    FamilyFirst,
}

const fn western(given: &'static str, family: &'static str, groups: &'static [&'static str]) -> Names {
    Names { given, family, order: Order::GivenFirst, groups }
}

/// Origins of authors who write in a language; repeated ones weigh more.
fn names(language: &str) -> &'static [Names] {
    const ENGLISH: &[&str] = &["0", "1"];
    const ANGLOPHONE: Names = western("given_en", "family_en", ENGLISH);
    match language {
        "fr" => const { &[western("given_fr", "family_fr", &["2"])] },
        "de" => const { &[western("given_de", "family_de", &["3"])] },
        "es" => const { &[western("given_es", "family_es", &["84", "84", "950", "970", "958"])] },
        "it" => const { &[western("given_it", "family_it", &["88"])] },
        "pt" => const { &[western("given_pt", "family_pt", &["972", "85"])] },
        "pl" => const { &[western("given_pl", "family_pl", &["83"])] },
        "ru" => {
            const { &[western("given_ru_m", "family_ru_m", &["5"]), western("given_ru_f", "family_ru_f", &["5"])] }
        }
        "ja" => {
            &[Names { given: "given_ja", family: "family_ja", order: Order::FamilyFirst, groups: &["4"] }]
        }
        "zh" => {
            &[Names { given: "given_zh", family: "family_zh", order: Order::FamilyFirst, groups: &["7"] }]
        }
        _ => {
            const {
                &[
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    ANGLOPHONE,
                    western("given_en", "surname", ENGLISH),
                    western("given_in", "family_in", &["81", "93", "0"]),
                    western("given_af", "family_af", &["978", "0", "1"]),
                    western("given_as", "family_as", ENGLISH),
                    western("given_me", "family_me", ENGLISH),
                    western("given_no", "family_no", &["82", "87", "91", "0"]),
                    western("given_fr", "family_fr", ENGLISH),
                    western("given_de", "family_de", ENGLISH),
                    western("given_it", "family_it", ENGLISH),
                    western("given_es", "family_es", ENGLISH),
                ]
            }
        }
    }
}

/// ISBN registration groups of a language or its main country.
fn groups(language: &str) -> &'static [&'static str] {
    match language {
        "ar" => &["977"],
        "bg" => &["954"],
        "bn" => &["81"],
        "br" => &["85"],
        "cs" => &["80"],
        "da" => &["87"],
        "de" => &["3"],
        "el" => &["960"],
        "es" => &["84"],
        "fa" => &["964"],
        "fi" => &["951"],
        "fr" => &["2"],
        "he" => &["965"],
        "hi" => &["81"],
        "hu" => &["963"],
        "is" => &["9979"],
        "it" => &["88"],
        "ja" => &["4"],
        "ko" => &["89"],
        "nl" => &["90"],
        "no" => &["82"],
        "pl" => &["83"],
        "pt" => &["972"],
        "ro" => &["973"],
        "ru" => &["5"],
        "sr" => &["86"],
        "sv" => &["91"],
        "tr" => &["975"],
        "uk" => &["966"],
        "zh" => &["7"],
        _ => &["0", "1"],
    }
}

/// An ISBN that no other place below [`MAX_BOOKS`] has.
///
/// Registration groups are no beginnings of each other. Within one, the digits
/// that follow are the place times an odd number ending in 9, modulo a power of
/// ten: different places, different digits.
fn isbn(place: usize, groups: &[&str]) -> Isbn {
    let group = groups[place % groups.len()];
    let free = 9 - group.len();
    let block = 10_u64.pow(free as u32);
    let number = (place as u64 * (618_033_989 % block) + 271_828_182) % block;
    let digits = format!("978{group}{number:0free$}");
    let digits = digits.as_bytes().try_into().expect("a group and its block make nine digits");
    Isbn::from_digits12(digits).expect("a group under 978 that is not all zeros")
}

impl Pattern {
    fn read(
        language: &'static str,
        earliest_year: i32,
        pattern: &'static str,
        lists: &HashMap<&'static str, List>,
    ) -> Self {
        let mut parts = Vec::new();
        let mut used: Vec<&str> = Vec::new();
        let mut capacity = 1;
        // Each slot has an order of its own: patterns that share a list would
        // otherwise go through it in step.
        let mut dice = Dice::named(pattern);
        for piece in pattern.split_inclusive('}') {
            let (text, slot) = piece.split_once('{').unwrap_or((piece, ""));
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
            let Some(slot) = slot.strip_suffix('}') else {
                continue;
            };
            let (form, name) = match slot.split_once(':') {
                Some(("A", name)) => (Form::Article, name),
                Some((_, name)) => (Form::LowerCase, name),
                None => (Form::Plain, slot),
            };
            let mut list = lists[name].clone();
            dice.shuffle(&mut list);
            let rank = used.iter().filter(|other| **other == name).count();
            capacity *= list.len() - rank;
            used.push(name);
            parts.push(Part::Word { form, list, rank });
        }
        // Near the golden ratio, neighbours differ in every word.
        let stride = (capacity * 618 / 1000..)
            .find(|&step| common_divisor(step, capacity) == 1)
            .expect("some number shares no divisor");
        Self { language, earliest_year, parts, capacity, stride }
    }

    /// The pattern's title at this place of its own sequence.
    fn title(&self, place: usize) -> String {
        let mut rest = place % self.capacity * self.stride % self.capacity;
        let mut taken: Vec<&str> = Vec::new();
        let mut title = String::new();
        for part in &self.parts {
            let (form, list, rank) = match part {
                Part::Text(text) => {
                    title.push_str(text);
                    continue;
                }
                Part::Word { form, list, rank } => (*form, list, *rank),
            };
            let left = list.len() - rank;
            let at = rest % left;
            rest /= left;
            // A list used before offers what is left of it: no "Salt and Salt".
            let word = if rank == 0 {
                list[at]
            } else {
                let mut free = list.iter().filter(|word| !taken.contains(word));
                free.nth(at).expect("the rank counts the words taken")
            };
            taken.push(word);
            match form {
                Form::Plain => title.push_str(word),
                Form::Article => {
                    let vowel = word.starts_with(['A', 'E', 'I', 'O', 'U']);
                    title.push_str(if vowel { "An " } else { "A " });
                    title.push_str(word);
                }
                Form::LowerCase => {
                    let mut letters = word.chars();
                    title.extend(letters.next().into_iter().flat_map(char::to_lowercase));
                    title.push_str(letters.as_str());
                }
            }
        }
        title
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// SplitMix64: small, fast and the same everywhere. Not for secrets.
struct Dice(u64);

impl Dice {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x4D61_696E_7374_6179)
    }

    /// Seeded with a text (FNV-1a).
    fn named(name: &str) -> Self {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self::seeded(hash)
    }

    /// Fisher and Yates' shuffle.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }

    /// A number in `0..bound`; `bound` at least 1.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

/// The lines of a data file, cut at `|`; comments and empty lines left out.
fn fields<const N: usize>(file: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    lines(file).map(|line| {
        let fields: Vec<_> = line.split('|').collect();
        fields.try_into().expect("a line has as many fields as its first comment names")
    })
}

fn lines(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read_lists(file: &'static str) -> HashMap<&'static str, List> {
    let mut lines = lines(file).peekable();
    let mut lists = HashMap::new();
    while let Some(heading) = lines.next() {
        lists.insert(heading.trim_matches(['[', ']']), read_list(&mut lines));
    }
    lists
}

fn read_list(lines: &mut Peekable<impl Iterator<Item = &'static str>>) -> List {
    let mut list = List::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with('[')) {
        list.extend(line.split(',').map(str::trim).filter(|item| !item.is_empty()));
    }
    list
}

/// `1813`, `1813-01-28` or `-`.
fn read_date(text: &str) -> Option<NaiveDate> {
    if text == "-" {
        return None;
    }
    let date = match text.parse() {
        Ok(year) => NaiveDate::from_yo_opt(year, 1),
        Err(_) => text.parse().ok(),
    };
    Some(date.expect("a work's date is a year, a day or a hyphen"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::Datelike;

    use super::*;

    #[test]
    fn the_core_is_real_and_large() {
        assert!(STOCK.classics.len() >= 300);
        let first: Vec<_> = books(STOCK.classics.len()).collect();
        let austen = &first[0];
        assert_eq!((&*austen.title, &*austen.author), ("Pride and Prejudice", "Jane Austen"));
        assert_eq!(austen.published_date, NaiveDate::from_ymd_opt(1813, 1, 28));
        let titles: HashSet<_> = first.iter().map(|book| (&book.title, &book.author)).collect();
        assert_eq!(titles.len(), first.len());
        for language in STOCK.classics.iter().map(|classic| classic.language) {
            assert!(language == "en" || groups(language) != groups("en"), "{language}");
        }
    }

    #[test]
    fn every_book_is_valid_and_no_isbn_comes_twice() {
        let count = 200_000;
        let mut isbns = HashSet::with_capacity(count);
        let mut titles = HashSet::with_capacity(count);
        let mut undated = 0;
        for (place, book) in books(count).enumerate() {
            let title = book.title.chars().count();
            assert!((1..=150).contains(&title), "{book:?}");
            assert!((1..=100).contains(&book.author.chars().count()), "{book:?}");
            assert_eq!(book.title.trim(), book.title);
            assert!(!book.title.contains(['{', '}', '|']) && !book.title.contains("  "), "{book:?}");
            assert_eq!(Isbn::parse(book.isbn.hyphenless()), Ok(book.isbn));
            if place >= STOCK.classics.len() {
                let year = book.published_date.map(|date| date.year());
                assert!(year.is_none_or(|year| (1850..=LAST_YEAR).contains(&year)), "{book:?}");
                undated += usize::from(year.is_none());
            }
            assert!(isbns.insert(book.isbn), "{book:?}");
            titles.insert(book.title);
        }
        assert!(titles.len() > count * 97 / 100, "{} titles", titles.len());
        assert!((count / 50..count / 15).contains(&undated), "{undated} without a date");
    }

    #[test]
    fn no_isbn_block_runs_into_the_placeholder() {
        let mut isbns = HashSet::with_capacity(MAX_BOOKS);
        assert!((0..MAX_BOOKS).all(|place| isbns.insert(isbn(place, &["0"]))));
        isbns.clear();
        assert!((0..MAX_BOOKS).all(|place| isbns.insert(isbn(place, &["972"]))));
    }

    #[test]
    fn the_books_of_a_place_never_change() {
        let few: Vec<_> = books(1_000).collect();
        assert!(books(2_000).take(1_000).eq(few));
        assert_eq!(books(usize::MAX).len(), MAX_BOOKS);
        assert_eq!(books(0).len(), 0);
        let book = books(5_000).last().unwrap();
        // Benchmarks and screenshots compare across versions: change with care.
        assert_eq!(
            format!("{} / {} / {:?} / {}", book.title, book.author, book.published_date, book.isbn),
            "Geology for Actors / Eugénie Lambert / Some(1991-12-13) / 9781237391932"
        );
    }

    #[test]
    fn invented_titles_of_a_demonstration_all_differ() {
        let mut titles = HashSet::new();
        let repeated: Vec<_> =
            books(10_000).map(|book| book.title).filter(|title| !titles.insert(title.clone())).collect();
        assert_eq!(repeated, Vec::<String>::new());
    }

    #[test]
    fn every_pattern_fits_its_lists() {
        // The order of patterns within a block needs a prime count.
        let count = STOCK.patterns.len();
        assert!((2..count).all(|divisor| !count.is_multiple_of(divisor)), "{count} patterns");
        // A line that ends without a comma would cut an item in two.
        let mut lines = lines(include_str!("demo/lists.txt")).peekable();
        while let Some(line) = lines.next() {
            let last = lines.peek().is_none_or(|next| next.starts_with('['));
            assert!(line.ends_with([',', ']']) != last, "{line}");
        }
        for (name, list) in &STOCK.lists {
            let different: HashSet<_> = list.iter().collect();
            assert_eq!(different.len(), list.len(), "an item of [{name}] comes twice");
        }
        for pattern in &STOCK.patterns {
            let at_200_000 = 200_000 / count;
            assert!(pattern.capacity > at_200_000, "{}: {}", pattern.title(0), pattern.capacity);
        }
    }
}
