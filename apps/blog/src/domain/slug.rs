//! What names a post in addresses for people.

use std::fmt;

use mainstay_core::input::Text;
use mainstay_core::{Invalid, text};
use serde_json::{Value, json};

/// Most characters of a slug.
const MOST: usize = 100;
/// Most characters taken from a title: a number has room behind them.
const MOST_OF_TITLE: usize = 80;
/// For titles without a letter or digit, emoji for example.
const FALLBACK: &str = "post";

/// A slug: folded letters and digits of any script, single hyphens between, 1 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// The slug that a title asks for.
    #[must_use]
    pub fn of_title(title: &str) -> Self {
        let stem = stem(title);
        let cut = cut(&stem, MOST_OF_TITLE);
        Self(if cut.is_empty() { FALLBACK.to_owned() } else { cut.to_owned() })
    }

    /// The same with something behind it, for the next post that asks for it.
    #[must_use]
    pub fn followed_by(&self, ending: impl fmt::Display) -> Self {
        let ending = format!("-{ending}");
        let room = MOST.saturating_sub(ending.chars().count());
        Self(format!("{}{ending}", cut(&self.0, room)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for Slug {
    fn schema() -> Value {
        // Which characters are letters in small, folded form no pattern can say.
        json!({
            "type": "string", "minLength": 1, "maxLength": MOST, "format": "slug",
            "examples": ["on-slow-trains", "雪国"],
        })
    }

    fn parse(given: &str) -> Result<Self, Invalid> {
        let stem = stem(given);
        if stem != given || stem.is_empty() {
            let mut message = "must be small letters and digits with single hyphens between".to_owned();
            let near = cut(&stem, MOST);
            if !near.is_empty() {
                message.push_str(&format!(", such as {near}"));
            }
            return Err(Invalid::new("invalid_slug", message));
        }
        let length = given.chars().count();
        if length > MOST {
            return Err(Invalid::new(
                "too_long",
                format!("must have at most {MOST} characters, has {length}"),
            ));
        }
        Ok(Self(stem))
    }
}

/// The letters and digits of a text, folded; hyphens for what stands between. Scripts stay: there is no
/// spelling of 雪国 in Latin letters that all of its readers would agree on.
fn stem(text: &str) -> String {
    let mut stem = String::new();
    let mut gap = false;
    for c in text::fold(text).chars() {
        if c.is_alphanumeric() {
            if gap && !stem.is_empty() {
                stem.push('-');
            }
            gap = false;
            stem.push(c);
        } else if c != '\'' {
            gap = true;
        }
    }
    stem
}

/// At most `most` characters: whole words, unless the first alone is longer.
fn cut(stem: &str, most: usize) -> &str {
    let Some((end, _)) = stem.char_indices().nth(most) else { return stem };
    let (head, rest) = stem.split_at(end);
    if rest.starts_with('-') {
        return head;
    }
    head.rsplit_once('-').map_or(head, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_becomes_a_slug_in_its_own_script() {
        for (title, slug) in [
            ("Hello, World!", "hello-world"),
            ("  Crème brûlée & Straße ", "creme-brulee-strasse"),
            ("Don't panic — it’s 2026", "dont-panic-its-2026"),
            ("雪国", "雪国"),
            ("東京 2020: the games", "東京-2020-the-games"),
            ("한국어 제목", "한국어-제목"),
            ("Война и мир", "воина-и-мир"),
            ("C++ / C#", "c-c"),
            ("🎉🎉🎉", "post"),
            ("!!!", "post"),
            ("🎉 Party 🎉", "party"),
            ("---a---b---", "a-b"),
        ] {
            assert_eq!(Slug::of_title(title).as_str(), slug, "{title}");
        }
    }

    #[test]
    fn long_titles_are_cut_between_words() {
        let slug = Slug::of_title(&"word ".repeat(60));
        assert_eq!(slug.as_str(), vec!["word"; 16].join("-"));
        assert_eq!(Slug::of_title(&"字".repeat(200)).as_str(), "字".repeat(80));
        let full = Slug(vec!["abcd"; 20].join("-"));
        assert!(full.followed_by(12).as_str().ends_with("-abcd-12"));
        assert!(full.followed_by("x".repeat(40)).as_str().chars().count() <= MOST);
    }

    #[test]
    fn a_slug_of_ones_own_has_the_same_form_and_a_refusal_names_one() {
        for good in ["a", "on-slow-trains", "2026", "雪国", "воина-и-мир", &"a".repeat(100)] {
            assert_eq!(<Slug as Text>::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-", "A", "a b", "a--b", "-a", "a-", "a_b", "é", "a/b", "../x", "a\0b", "🎉", "a'b"]
        {
            assert_eq!(<Slug as Text>::parse(bad).unwrap_err().code, "invalid_slug", "{bad:?}");
        }
        assert_eq!(<Slug as Text>::parse(&"a".repeat(101)).unwrap_err().code, "too_long");
        let refusal = <Slug as Text>::parse("Crème Brûlée").unwrap_err();
        assert!(refusal.message.ends_with("such as creme-brulee"), "{}", refusal.message);
    }

    #[test]
    fn what_a_title_gives_is_a_slug() {
        for title in ["Ünï çödé", "ﬁne ① ½", "हिन्दी में", "ภาษาไทย", "İstanbul", "ﷺ", "x\u{301}y"]
        {
            let slug = Slug::of_title(title);
            assert!(<Slug as Text>::parse(slug.as_str()).is_ok(), "{title}: {slug}");
            let second = slug.followed_by(2);
            assert!(<Slug as Text>::parse(second.as_str()).is_ok(), "{title}: {second}");
        }
    }
}
