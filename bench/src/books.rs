//! The books of the benchmark: believable, distinct, and the same in every run.
//!
//! A title holds exactly one of a hundred [`TOPICS`], in turn, so that a search
//! for a topic finds 1 % of the books. No other word of a title or an author
//! begins with a topic, because a search also finds prefixes.

use std::io::{self, Write};

use crate::random::Random;

/// The words to search for; each is in 1 % of the titles.
#[rustfmt::skip] // a word a line would bury the code
pub(crate) const TOPICS: [&str; 100] = [
    "algebra", "almonds", "anatomy", "archery", "astronomy", "badgers", "ballads", "bamboo",
    "baroque", "beekeeping", "biscuits", "botany", "bridges", "butterflies", "calculus",
    "canals", "candles", "caravans", "castles", "cathedrals", "ceramics", "cheese", "chess",
    "cinema", "clocks", "comets", "compasses", "coral", "cottages", "cryptography", "cycling",
    "deserts", "dialects", "dolphins", "dragons", "drumming", "earthquakes", "eclipses",
    "embroidery", "engines", "falconry", "ferries", "fjords", "forestry", "fossils", "gardens",
    "genetics", "geometry", "glaciers", "grammar", "granite", "harbors", "harvests", "herbs",
    "horses", "islands", "jewelry", "kites", "knitting", "lanterns", "lighthouses",
    "linguistics", "locks", "logic", "maps", "markets", "masonry", "meteors", "migration",
    "mountains", "mushrooms", "navigation", "olives", "optics", "orchards", "oysters",
    "painting", "pilgrims", "pirates", "planets", "pottery", "printing", "pyramids", "quilts",
    "railways", "rivers", "robotics", "rowing", "sailing", "saffron", "statistics", "sundials",
    "tapestry", "theater", "tides", "vineyards", "violins", "volcanoes", "weaving", "windmills",
];

#[rustfmt::skip] // a word a line would bury the code
pub(crate) const QUALITIES: [&str; 40] = [
    "Ancient", "Autumn", "Borrowed", "Brief", "Broken", "Careful", "Common", "Curious",
    "Distant", "Early", "Eastern", "Everyday", "Fallen", "Forgotten", "Gentle", "Golden",
    "Hidden", "Humble", "Imperfect", "Invisible", "Lasting", "Late", "Little", "Lost", "Modern",
    "Narrow", "Northern", "Old", "Patient", "Quiet", "Restless", "Royal", "Secret", "Silent",
    "Simple", "Southern", "Stubborn", "Unfinished", "Wandering", "Winter",
];

#[rustfmt::skip] // a word a line would bury the code
pub(crate) const SUBJECTS: [&str; 40] = [
    "Apprentice", "Argument", "Art", "Atlas", "Beginner", "Companion", "Conversation", "Craft",
    "Daughter", "Diary", "Dictionary", "Enthusiast", "Essay", "Fortune", "Friend", "Geography",
    "Guide", "Handbook", "History", "House", "Inheritance", "Journey", "Language", "Lecture",
    "Letter", "Memory", "Method", "Neighbor", "Notebook", "Philosophy", "Portrait", "Practice",
    "Promise", "Season", "Stranger", "Student", "Theory", "Treasury", "Village", "Year",
];

/// `{q}` a quality, `{s}` a subject, `{t}` a topic.
const PATTERNS: [&str; 8] = [
    "The {q} {s} of {t}",
    "A {q} {s}: On {t}",
    "{q} {t} and the {s}",
    "The {s} and the {q} {t}",
    "On {q} {t}: A {s}",
    "{t} for the {q} {s}",
    "The {q} {s} Among {t}",
    "Beyond {t}: A {q} {s}",
];

#[rustfmt::skip] // a word a line would bury the code
const GIVEN_NAMES: [&str; 50] = [
    "Ada", "Aisha", "Alma", "Amir", "André", "Beatriz", "Björn", "Carmen", "Chidi", "Clara",
    "Daniel", "Elif", "Emeka", "Esther", "Farah", "Felix", "Grace", "Hana", "Hugo", "Ingrid",
    "Ivan", "Jana", "José", "Jun", "Karin", "Kofi", "Laila", "Leo", "Lucía", "Magnus", "Maria",
    "Mei", "Nadia", "Noor", "Olga", "Omar", "Paolo", "Priya", "Ravi", "Rosa", "Samuel", "Sara",
    "Sofía", "Tariq", "Tomás", "Uma", "Viktor", "Wanjiru", "Yuki", "Zoë",
];

#[rustfmt::skip] // a word a line would bury the code
const FAMILY_NAMES: [&str; 60] = [
    "Abara", "Adler", "Almeida", "Andersson", "Banerjee", "Bauer", "Becker", "Bianchi",
    "Brandt", "Castillo", "Chen", "Costa", "Dahl", "Diallo", "Dubois", "Eriksen", "Esposito",
    "Ferrari", "Fischer", "Garza", "Greene", "Haddad", "Hansen", "Hoffmann", "Ibrahim", "Ito",
    "Jansen", "Kaya", "Keller", "Kowalski", "Laurent", "Lindqvist", "Lopez", "Mbeki", "Mendes",
    "Moreau", "Müller", "Nakamura", "Novak", "Núñez", "Okafor", "Olsen", "Pereira", "Petrov",
    "Quist", "Rahman", "Reyes", "Rossi", "Santos", "Sato", "Schmidt", "Silva", "Singh",
    "Sørensen", "Tanaka", "Torres", "Vargas", "Weber", "Yilmaz", "Zhang",
];

/// Different titles that can be made.
const TITLES: usize = TOPICS.len() * QUALITIES.len() * SUBJECTS.len() * PATTERNS.len();

/// As many books as have a title of their own.
pub(crate) const MOST: usize = TITLES;

/// Writes `count` books (at most [`MOST`]) as CSV with a header line.
///
/// No field needs quotes.
pub(crate) fn write_csv(count: usize, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "title,author,published_date,isbn")?;
    let mut random = Random::seeded(1_905);
    for number in 0..count {
        let author = format!("{} {}", random.pick(&GIVEN_NAMES), random.pick(&FAMILY_NAMES));
        writeln!(
            out,
            "{},{author},{}-{:02}-{:02},{}",
            title(number),
            1_900 + random.below(125),
            1 + random.below(12),
            1 + random.below(28),
            isbn(number)
        )?;
    }
    out.flush()
}

fn title(number: usize) -> String {
    // 7,919 is prime and divides no list's length, so the walk meets every
    // combination once; modulo 100 it also meets every topic equally often.
    let mut at = number * 7_919 % TITLES;
    let mut choose = |length: usize| {
        let chosen = at % length;
        at /= length;
        chosen
    };
    let topic = TOPICS[choose(TOPICS.len())];
    let pattern = PATTERNS[choose(PATTERNS.len())];
    let quality = QUALITIES[choose(QUALITIES.len())];
    let subject = SUBJECTS[choose(SUBJECTS.len())];
    let topic = format!("{}{}", topic[..1].to_ascii_uppercase(), &topic[1..]);
    pattern.replace("{q}", quality).replace("{s}", subject).replace("{t}", &topic)
}

/// An ISBN-13 of the English-language groups 978-0 and 978-1; distinct below
/// 200 million.
fn isbn(number: usize) -> String {
    let body = format!("978{:09}", (number * 1_999_993 + 6_180_339) % 200_000_000);
    let weighted: u32 = body
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{body}{}", (10 - weighted % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn words(text: &str) -> impl Iterator<Item = String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
    }

    #[test]
    fn a_topic_is_in_one_percent_of_the_books_and_found_nowhere_else() {
        let mut csv = Vec::new();
        write_csv(20_000, &mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let mut found: HashMap<&str, usize> = HashMap::new();
        let topic_of: HashMap<&str, ()> = TOPICS.iter().map(|&topic| (topic, ())).collect();
        let mut other_words = HashSet::new();
        for line in csv.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), 4, "{line}");
            assert!(fields[0].chars().count() <= 150 && fields[1].chars().count() <= 100);
            for word in words(fields[0]).chain(words(fields[1])) {
                match topic_of.get_key_value(word.as_str()) {
                    Some((&topic, ())) => *found.entry(topic).or_default() += 1,
                    None => drop(other_words.insert(word)),
                }
            }
        }
        assert!(found.len() == 100 && found.values().all(|&times| times == 200));
        for topic in TOPICS {
            for other in other_words.iter().map(String::as_str).chain(TOPICS) {
                assert!(other == topic || !other.starts_with(topic), "{topic} finds {other}");
            }
        }
    }

    #[test]
    fn titles_and_isbns_are_distinct() {
        let titles: HashSet<String> = (0..200_000).map(title).collect();
        let isbns: HashSet<String> = (0..200_000).map(isbn).collect();
        assert_eq!((titles.len(), isbns.len()), (200_000, 200_000));
    }

    #[test]
    fn check_digits_are_right() {
        for number in 0..1_000 {
            let isbn = isbn(number);
            let sum: u32 = isbn
                .bytes()
                .zip([1, 3].into_iter().cycle())
                .map(|(digit, weight)| u32::from(digit - b'0') * weight)
                .sum();
            assert!(isbn.len() == 13 && sum.is_multiple_of(10), "{isbn}");
        }
    }
}
