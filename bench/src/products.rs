//! The products of the benchmark: a shop's, distinct, and the same in every run.
//!
//! A name holds exactly one of the hundred [`TOPICS`], in turn, so that a search for a
//! topic finds 1 % of the products; descriptions hold none of them.

use std::io::{self, Write};

use crate::books::{QUALITIES, SUBJECTS, TOPICS};
use crate::random::Random;

/// The categories that have products: eight departments of six each.
pub(crate) const DEPARTMENTS: [(&str, [&str; 6]); 8] = [
    ("kitchen", ["pans", "knives", "bowls", "kettles", "scales", "aprons"]),
    ("outdoor", ["tents", "backpacks", "stoves", "ropes", "sleeping-bags", "axes"]),
    ("office", ["pens", "notebooks", "chairs", "desks", "lamps", "shelves"]),
    ("sport", ["balls", "rackets", "skates", "paddles", "helmets", "gloves"]),
    ("music", ["guitars", "drums", "flutes", "keyboards", "strings", "stands"]),
    ("toys", ["puzzles", "trains", "dolls", "blocks", "kits", "games"]),
    ("garden", ["spades", "pots", "seeds", "hoses", "shears", "benches"]),
    ("clothing", ["shirts", "trousers", "coats", "hats", "scarves", "socks"]),
];

const TAGS: [&str; 20] = [
    "new",
    "sale",
    "eco",
    "handmade",
    "bestseller",
    "gift",
    "limited",
    "vegan",
    "recycled",
    "local",
    "premium",
    "basic",
    "travel",
    "kids",
    "indoor",
    "refurbished",
    "bundle",
    "seasonal",
    "award",
    "classic",
];

const MATERIALS: [&str; 12] = [
    "oak", "steel", "linen", "copper", "cork", "glass", "wool", "leather", "birch", "brass", "felt", "slate",
];

const PRAISE: [&str; 12] = [
    "Made to be repaired, with every part to be had on its own.",
    "Weighs less than it looks and lasts longer than one would think.",
    "Comes in a box that is a drawer afterwards.",
    "Tested for a winter by people who are hard to please.",
    "The edges are rounded by hand and the seams are sewn twice.",
    "Cleans itself almost; the rest is done with a damp cloth.",
    "Folds flat and is put up again without a tool.",
    "The same design for thirty years, because nobody had a better one.",
    "Fits into the smallest of bags and the largest of hands.",
    "Each one differs a little from the next, as wood does.",
    "Quiet enough for a library and sturdy enough for a school.",
    "What is left over when it was made becomes something else.",
];

/// In cents; below this is every price.
pub(crate) const PRICES_END: usize = 100_000;

/// Writes `count` products as CSV with a header line, for `mainstay catalog import`.
///
/// No field needs quotes.
pub(crate) fn write_csv(count: usize, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "sku,name,description,category,price,currency,stock,tags")?;
    let mut random = Random::seeded(1_886);
    for number in 0..count {
        let (_, categories) = random.pick(&DEPARTMENTS);
        let category = random.pick(categories);
        let cents = 100 + random.below(PRICES_END - 100);
        let stock = if random.below(10) == 0 { 0 } else { 1 + random.below(500) };
        let material = random.pick(&MATERIALS);
        let first = random.below(TAGS.len());
        let tags = [TAGS[first], TAGS[(first + 1 + random.below(TAGS.len() - 1)) % TAGS.len()]];
        writeln!(
            out,
            "B-{number:07},{},\"Of {material}. {} {}\",{category},{}.{:02},EUR,{stock},{}",
            name(number),
            random.pick(&PRAISE),
            random.pick(&PRAISE),
            cents / 100,
            cents % 100,
            tags.join("|"),
        )?;
    }
    out.flush()
}

/// Every topic is met equally often; the other words walk through their lists.
fn name(number: usize) -> String {
    let topic = TOPICS[number % TOPICS.len()];
    let quality = QUALITIES[number / TOPICS.len() % QUALITIES.len()];
    let subject = SUBJECTS[number / TOPICS.len() / QUALITIES.len() % SUBJECTS.len()];
    format!("{quality} {subject} of {}{}", topic[..1].to_ascii_uppercase(), &topic[1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn a_topic_is_in_one_percent_of_the_products_and_found_nowhere_else() {
        let mut csv = Vec::new();
        write_csv(10_000, &mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let mut found = HashMap::<&str, usize>::new();
        for line in csv.lines().skip(1) {
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            let met: HashSet<&str> = words
                .flat_map(|word| TOPICS.into_iter().filter(move |topic| word.starts_with(topic)))
                .collect();
            met.into_iter().for_each(|topic| *found.entry(topic).or_default() += 1);
        }
        assert!(found.len() == 100 && found.values().all(|&times| times == 100), "{found:?}");
        assert_eq!(csv.lines().count(), 10_001);
    }
}
