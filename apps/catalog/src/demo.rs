//! A believable shop for demonstrations and benchmarks.
//!
//! The product at a given place depends on that place alone: the same on every
//! machine, no state, and any count in constant memory. Every hundredth product
//! belongs to the same collection, so that a collection's name finds one in a hundred.

use mainstay_core::input::from_json;
use serde_json::{Value, json};

use crate::domain::category::NewCategory;
use crate::domain::product::NewProduct;

/// Slug, name, and the slug of the category above.
const TREE: &[(&str, &str, Option<&str>)] = &[
    ("furniture", "Furniture", None),
    ("seating", "Seating", Some("furniture")),
    ("chairs", "Chairs", Some("seating")),
    ("armchairs", "Armchairs", Some("seating")),
    ("sofas", "Sofas", Some("seating")),
    ("tables", "Tables", Some("furniture")),
    ("desks", "Desks", Some("tables")),
    ("side-tables", "Side tables", Some("tables")),
    ("storage", "Storage", Some("furniture")),
    ("shelves", "Shelves", Some("storage")),
    ("cabinets", "Cabinets", Some("storage")),
    ("lighting", "Lighting", None),
    ("table-lamps", "Table lamps", Some("lighting")),
    ("floor-lamps", "Floor lamps", Some("lighting")),
    ("pendants", "Pendants", Some("lighting")),
    ("kitchen", "Kitchen", None),
    ("tableware", "Tableware", Some("kitchen")),
    ("cups", "Cups", Some("tableware")),
    ("plates", "Plates", Some("tableware")),
    ("cookware", "Cookware", Some("kitchen")),
    ("garden", "Garden", None),
    ("garden-chairs", "Garden chairs", Some("garden")),
    ("planters", "Planters", Some("garden")),
    ("textiles", "Textiles", None),
    ("blankets", "Blankets", Some("textiles")),
    ("rugs", "Rugs", Some("textiles")),
];

/// Where a thing belongs, what it is called, its price class in whole euros, and what it is good for.
const THINGS: &[(&str, &str, i64, &str)] = &[
    ("chairs", "Chair", 120, "Stacks four high and stands still on uneven floors."),
    ("chairs", "Stool", 60, "Light enough for a child to carry, strong enough to stand on."),
    ("armchairs", "Armchair", 480, "Deep, quiet, and hard to leave on a Sunday."),
    ("sofas", "Sofa", 1_290, "Seats three, sleeps one, and its covers come off for washing."),
    ("desks", "Desk", 390, "A tray under the top takes cables, keys and letters out of sight."),
    ("side-tables", "Side Table", 95, "Just high enough for a lamp, a book and a cup."),
    ("shelves", "Shelf", 140, "Goes up without tools and grows upwards or to the side."),
    ("cabinets", "Cabinet", 560, "Doors that close softly and shelves that can be moved."),
    ("table-lamps", "Table Lamp", 75, "Dims down to the light of a candle."),
    ("floor-lamps", "Floor Lamp", 180, "Turns to the book, or to the wall when friends come."),
    ("pendants", "Pendant", 150, "Hangs over a table and leaves the faces in a warm light."),
    ("cups", "Cup", 14, "Keeps coffee hot through one long conversation."),
    ("cups", "Espresso Cup", 9, "Thick walls, a thin rim, and a saucer that doubles as a lid."),
    ("plates", "Plate", 18, "A rim that stops the sauce. Safe in the dishwasher."),
    ("cookware", "Pan", 85, "Hot in a minute, even to the edge, on gas and induction."),
    ("garden-chairs", "Garden Chair", 110, "May stay out in the rain and folds flat in winter."),
    ("planters", "Planter", 45, "Holds water for a week's holiday."),
    ("blankets", "Blanket", 90, "Woven by a small mill that has done so since 1890."),
    ("rugs", "Rug", 340, "Lies flat from the first day and forgives red wine."),
];

const MATERIALS: &[(&str, &str)] = &[
    ("Oak", "oak"),
    ("Walnut", "walnut"),
    ("Ash", "ash"),
    ("Birch", "birch"),
    ("Steel", "steel"),
    ("Brass", "brass"),
    ("Linen", "linen"),
    ("Wool", "wool"),
    ("Stoneware", "ceramic"),
    ("Café au Lait", "ceramic"),
    ("Rattan", "rattan"),
    ("Smoked Glass", "glass"),
];

const COLOURS: &[&str] = &["black", "white", "sage", "rust", "navy", "sand", "natural"];

const FIRST: &[&str] = &["Al", "Bre", "Cor", "Dun", "El", "Fjor", "Gal", "Hol", "Is", "Jun"];
const SECOND: &[&str] = &["berg", "dala", "ena", "gard", "holm", "isa", "kel", "lund", "mar", "nes"];

/// The categories, those above before those below.
pub fn categories() -> impl Iterator<Item = NewCategory> {
    TREE.iter().map(|(slug, name, parent)| {
        from_json(&json!({"slug": slug, "name": name, "parent": parent}))
            .expect("a demo category keeps the rules")
    })
}

/// The first `count` products. A longer list begins with the shorter one.
pub fn products(count: usize) -> impl Iterator<Item = NewProduct> {
    (0..count).map(|place| from_json(&product(place)).expect("a demo product keeps the rules"))
}

/// The product at this place, as it would be posted.
#[must_use]
pub fn product(place: usize) -> Value {
    let mut dice = Dice(place as u64);
    let (category, thing, class, praise) = THINGS[dice.roll(THINGS.len())];
    let (material, tag) = MATERIALS[dice.roll(MATERIALS.len())];
    let colour = COLOURS[dice.roll(COLOURS.len())];
    let collection = place % 100;
    let collection = format!("{}{}", FIRST[collection / 10], SECOND[collection % 10]);
    let width = 20 + dice.roll(200);
    let cents = class * (60 + dice.roll(90) as i64);
    let cents = cents - cents % 100 + [0, 50, 90, 95][dice.roll(4)];
    let (price, currency) = match dice.roll(20) {
        0 => (format!("{}", cents * 16 / 10), "JPY"),
        1 => (format!("{}.{:02}", cents / 100, cents % 100), "USD"),
        _ => (format!("{}.{:02}", cents / 100, cents % 100), "EUR"),
    };
    let stock = if dice.roll(10) == 0 { 0 } else { dice.roll(250) };
    let mut tags = vec![tag, colour];
    tags.extend(
        [["new", "sale", "handmade", "bestseller"][dice.roll(4)]]
            .into_iter()
            .filter(|_| place.is_multiple_of(3)),
    );
    json!({
        "sku": format!("{}-{:06}", &category.to_uppercase()[..3], place + 1),
        "name": format!("{collection} {material} {thing}"),
        "description": format!(
            "{praise}\nFrom the {collection} collection, in {colour}: {} {tag}, {width} cm wide, made to be repaired.",
            ["solid", "recycled", "certified", "local"][dice.roll(4)],
        ),
        "category": category,
        "price": price,
        "currency": currency,
        "stock": stock,
        "tags": tags,
        "attributes": {"colour": colour, "width_cm": width, "assembled": dice.roll(2) == 0},
    })
}

/// Numbers that look like chance and follow from a place (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn products_differ_and_stand_in_categories_that_there_are() {
        let slugs: HashSet<_> = categories().map(|category| category.slug.into_string()).collect();
        assert_eq!(slugs.len(), TREE.len());
        let mut skus = HashSet::new();
        for product in products(5_000) {
            assert!(slugs.contains(product.category.as_ref().unwrap().as_str()));
            assert!(skus.insert(product.sku.into_string()));
        }
    }

    #[test]
    fn a_collection_holds_every_hundredth_product() {
        let of_one = |place: &usize| product(*place)["name"].as_str().unwrap().starts_with("Alberg ");
        assert_eq!((0..2_000).filter(of_one).count(), 20);
    }
}
