//! How text is compared: folding for search and sorting, cleaning for storage.
//!
//! Both databases compare strings differently (collations, `LIKE`, full-text
//! tokenizers), so an application stores a folded copy beside the text and
//! folds the query with the same functions. What is found then depends on this
//! file alone. Folding loses information on purpose; never show its result.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Longest word that [`words`] returns, in characters; the rest of it is cut off.
pub const WORD_MAX_CHARS: usize = 64;

/// The text without the differences that a reader searching for it would not type.
///
/// Compatibility forms become plain (NFKD: `ﬁ` is `fi`, `Ａ` is `A`), accents
/// and other combining marks go, letters become lower case, and letters that
/// no decomposition reaches get their usual spelling: `ß` `ss`, `æ` `ae`,
/// `œ` `oe`, `þ` `th`, `ø` `o`, `ł` `l`, `đ` and `ð` `d`, `ı` and `İ` `i`,
/// final `ς` `σ`. Typographic quotes and dashes become `'`, `"` and `-`;
/// invisible formatting characters go. Vowel signs that are letters in their
/// own right (Devanagari, Thai) and the voicing marks of kana stay: without
/// them other words would remain. The result is recomposed (NFC), so a Hangul
/// syllable is one character. Spaces and punctuation stay as they are.
///
/// Applying it twice changes nothing more.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase().replace('`', "'");
    }
    let mut folded = String::with_capacity(text.len());
    for decomposed in text.chars().flat_map(before_decomposition).nfkd() {
        if is_dropped_mark(decomposed) {
            continue;
        }
        for lower in decomposed.to_lowercase() {
            match spelled_out(lower) {
                Some(spelling) => folded.push_str(spelling),
                None => folded.push(lower),
            }
        }
    }
    // A voicing mark that found no kana to join would split a word, or keep
    // the halves of a Hangul syllable apart.
    folded.nfc().filter(|&c| !is_voicing_mark(c)).nfc().collect()
}

crate::text_type! {
    /// Words to look for: 1 to 200 characters. Nothing in it has a special meaning.
    pub struct SearchText(1..=200);
}

/// More words than these are not looked at: each one costs a look into the
/// index, and the first ones say enough.
const MOST_SEARCHED: usize = 16;

impl SearchText {
    /// Its words as an index of [`words`] has them: folded, at most 16. None if it has no
    /// letter and no digit.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = words(self.as_str());
        words.truncate(MOST_SEARCHED);
        words
    }
}

/// The words of a text, folded, in order, repetitions included.
///
/// A word is a run of letters and digits of [`fold`]`(text)`; everything else
/// separates. A word holds alphanumeric characters only (so no quote, `%`,
/// `_`, `*`, space or control character can reach a query), is never empty and
/// has at most [`WORD_MAX_CHARS`] characters.
///
/// - Apostrophes inside a word vanish: `don't`, `don’t` and `dont` agree, and so
///   do `O'Brien` and `Obrien`. French, Italian and Catalan elision separates
///   instead: `L'Étranger` is `l` and `etranger`, because readers look for the
///   second.
/// - Ideographs and kana are one word per character: Chinese and Japanese set
///   no spaces, and a reader searches for any part of a title. Korean does set
///   spaces, so Hangul makes words like any alphabet, found by their beginning.
/// - Thai, Lao, Khmer and Burmese set no spaces either, but their single
///   letters say too little; a run of them is one word.
pub fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let mut found = Vec::new();
    let mut word = Word::default();
    let mut characters = folded.chars().peekable();
    while let Some(c) = characters.next() {
        let next = characters.peek().copied();
        if c == '\'' {
            if is_elided(&word.text) && next.is_some_and(|c| "aeiouyh".contains(c)) {
                word.finish(&mut found);
            } else {
                word.joined = true;
            }
        } else if c == '·' && word.text.ends_with('l') && next == Some('l') {
            // The Catalan geminate: `col·lecció` is one word.
        } else if is_word_alone(c) {
            word.finish(&mut found);
            found.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.push(c);
        } else {
            word.finish(&mut found);
        }
    }
    word.finish(&mut found);
    found
}

/// The words in one string, a space before, between and after them: `" a b "`.
///
/// In this form `" b "` finds a whole word and `" b"` a beginning with a plain
/// substring search. No words give `" "`.
pub fn padded(words: &[String]) -> String {
    let mut line = String::with_capacity(words.iter().map(|word| word.len() + 1).sum::<usize>() + 1);
    line.push(' ');
    for word in words {
        line.push_str(word);
        line.push(' ');
    }
    line
}

/// A title or name as it is stored: composed (NFC), without white space at the
/// ends, every inner run of white space (line breaks and tabs too) one space.
///
/// Zero-width characters at the ends go as well, so a text that shows nothing
/// is empty. Other characters stay, control characters included: see
/// [`has_control`].
pub fn clean_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.nfc() {
        if c.is_whitespace() {
            gap = true;
        } else {
            if gap {
                line.push(' ');
                gap = false;
            }
            line.push(c);
        }
    }
    let shown =
        line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}'));
    if shown.len() == line.len() { line } else { shown.to_owned() }
}

/// Whether the text holds a control character (Unicode `Cc`: U+0000..=U+001F,
/// U+007F..=U+009F), tab and line breaks among them.
///
/// For one-line fields, ask after [`clean_line`], which has turned tabs and
/// line breaks into spaces.
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A word being read; counts characters so that the cap costs no second pass.
#[derive(Default)]
struct Word {
    text: String,
    chars: usize,
    /// An apostrophe was dropped from it.
    joined: bool,
}

impl Word {
    fn push(&mut self, c: char) {
        if self.chars < WORD_MAX_CHARS {
            self.text.push(c);
            self.chars += 1;
        }
    }

    fn finish(&mut self, found: &mut Vec<String>) {
        if self.chars > 0 {
            let word = std::mem::take(self);
            // The letters around the apostrophe may now make one (loose Hangul parts).
            found.push(if word.joined { word.text.nfc().collect() } else { word.text });
        }
    }
}

/// What has to be settled before NFKD hides it: the accents typed as
/// apostrophes would become a space, and `3½` would become `31⁄2`.
fn before_decomposition(c: char) -> impl Iterator<Item = char> {
    let (space, c) = match c {
        '`' | '´' | '\u{1FBD}' | '\u{1FBF}' | '\u{1FEF}' | '\u{1FFD}' => (None, '\''),
        '¼'..='¾' | '⅐'..='⅟' | '↉' => (Some(' '), c),
        _ => (None, c),
    };
    space.into_iter().chain([c])
}

fn is_dropped_mark(c: char) -> bool {
    is_combining_mark(c) && !is_voicing_mark(c) && (canonical_combining_class(c) != 0 || !c.is_alphanumeric())
}

fn is_voicing_mark(c: char) -> bool {
    matches!(c, '\u{3099}' | '\u{309A}')
}

/// The plain spelling of a lower-case character that NFKD leaves alone.
fn spelled_out(c: char) -> Option<&'static str> {
    Some(match c {
        _ if c.is_ascii_alphanumeric() => return None,
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ƀ' | 'ɓ' => "b",
        'ƈ' => "c",
        'ð' | 'đ' | 'ɖ' | 'ɗ' => "d",
        'ə' | 'ǝ' | 'ɛ' => "e",
        'ƒ' => "f",
        'ǥ' | 'ɠ' => "g",
        'ħ' => "h",
        'ı' | 'ɨ' | 'ɩ' => "i",
        'ȷ' | 'ɉ' => "j",
        'ĸ' | 'ƙ' => "k",
        'ł' | 'ƚ' => "l",
        'ŋ' | 'ɲ' => "n",
        'ø' | 'ɔ' | 'ɵ' => "o",
        'ƥ' => "p",
        'ɍ' => "r",
        'ŧ' | 'ƭ' | 'ʈ' => "t",
        'ʉ' => "u",
        'ʋ' => "v",
        'ƴ' | 'ɏ' => "y",
        'ƶ' => "z",
        'ς' => "σ",
        // Arabic as Persian and Arabic keyboards write it; the stretching stroke goes.
        'ی' | 'ى' => "ي",
        'ک' => "ك",
        'ة' => "ه",
        'ـ' => "",
        '\u{2018}'..='\u{201B}' | '′' | '‵' | '‹' | '›' => "'",
        // Letters by category, apostrophes by use: `Qurʾan`, `Hawaiʻi`, `Gogolʹ`.
        '\u{02B9}'..='\u{02BF}' | 'ꞌ' | '՚' | '׳' => "'",
        '\u{201C}'..='\u{201F}' | '«' | '»' | '״' | '\u{301D}'..='\u{301F}' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        // Soft hyphen, joiners, direction marks, byte order mark.
        '\u{AD}' | '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}' => "",
        '\u{2060}'..='\u{2069}' | '\u{FEFF}' => "",
        _ => return None,
    })
}

/// Whether a word before an apostrophe is the elided form of an article,
/// pronoun or preposition. English contractions have none of these before a vowel.
fn is_elided(word: &str) -> bool {
    matches!(
        word,
        "l" | "d"
            | "j"
            | "m"
            | "n"
            | "s"
            | "t"
            | "c"
            | "qu"
            | "jusqu"
            | "lorsqu"
            | "puisqu"
            | "un"
            | "all"
            | "dall"
            | "dell"
            | "nell"
            | "sull"
            | "coll"
            | "quell"
            | "bell"
    )
}

/// Ideographs and kana, with their iteration and lengthening marks.
fn is_word_alone(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{303C}'
        | '\u{3041}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{1AFF0}'..='\u{1B16F}' | '\u{20000}'..='\u{3FFFD}')
        && c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        words(text)
    }

    #[test]
    fn accents_and_case_do_not_count() {
        for (text, folded) in [
            ("Brontë", "bronte"),
            ("ŽIŽEK", "zizek"),
            ("Ångström", "angstrom"),
            ("Søren Łódź Đorđe", "soren lodz dorde"),
            ("Straße STRASSE GROẞ", "strasse strasse gross"),
            ("Æsop Œuvre Þórbergur Guðrún", "aesop oeuvre thorbergur gudrun"),
            ("İstanbul Istanbul ılık", "istanbul istanbul ilik"),
            ("ΟΔΥΣΣΕΎΣ Ὀδυσσεύς", "οδυσσευσ οδυσσευσ"),
            ("Ёлка, Й", "елка, и"),
            ("ﬁne Ｆｕｌｌ ①", "fine full 1"),
            ("“a” ‘b’ «c» d—e", "\"a\" 'b' \"c\" d-e"),
            ("soft\u{AD}hyphen zero\u{200D}width", "softhyphen zerowidth"),
            ("Tiếng Việt", "tieng viet"),
            ("한국어", "한국어"),
            ("ガギグ ｶﾞ", "ガギグ ガ"),
            ("हिन्दी", "हिनदी"),
            ("مُحَمَّد", "محمد"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        for (text, expected) in [
            ("", vec![]),
            ("  %_*\"' -- ", vec![]),
            ("The Time-Machine (1895)", vec!["the", "time", "machine", "1895"]),
            ("snake_case 100%", vec!["snake", "case", "100"]),
            ("C++ & C#", vec!["c", "c"]),
            ("8½", vec!["8", "1", "2"]),
            ("rock 'n' roll", vec!["rock", "n", "roll"]),
            ("dogs' 'quoted'", vec!["dogs", "quoted"]),
            ("1Q84", vec!["1q84"]),
            ("雪国", vec!["雪", "国"]),
            ("ノルウェイの森", vec!["ノ", "ル", "ウ", "ェ", "イ", "の", "森"]),
            ("Python入門2", vec!["python", "入", "門", "2"]),
            ("채식주의자 소설", vec!["채식주의자", "소설"]),
            ("Война и мир", vec!["воина", "и", "мир"]),
            ("col·lecció a·b", vec!["colleccio", "a", "b"]),
            ("null\0byte\ttab", vec!["null", "byte", "tab"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn every_apostrophe_gives_the_same_word() {
        for text in ["don't", "don’t", "don‘t", "donʼt", "don´t", "don`t", "DON＇T", "dont"] {
            assert_eq!(split(text), ["dont"], "{text}");
        }
        assert_eq!(split("O’Brien"), split("OBrien"));
        assert_eq!(split("N'Diaye D'Souza"), ["ndiaye", "dsouza"]);
        assert_eq!(split("Qurʾan Hawaiʻi"), ["quran", "hawaii"]);
        // Loose parts of a Hangul syllable meet when what parted them goes.
        assert_eq!(split("ᄒ'ᅡ ᄒ\u{3099}ᅡ"), ["하", "하"]);
    }

    #[test]
    fn elision_separates() {
        assert_eq!(split("L’Étranger"), ["l", "etranger"]);
        assert_eq!(split("Qu'est-ce que l'homme ?"), ["qu", "est", "ce", "que", "l", "homme"]);
        assert_eq!(split("La commedia dell'arte"), ["la", "commedia", "dell", "arte"]);
        assert_eq!(split("aujourd'hui"), ["aujourdhui"]);
    }

    #[test]
    fn long_words_are_cut_at_the_cap() {
        let word = split(&"é".repeat(200));
        assert_eq!(word, ["e".repeat(WORD_MAX_CHARS)]);
        assert_eq!(split(&"語".repeat(200)).len(), 200);
    }

    #[test]
    fn padding_surrounds_each_word() {
        assert_eq!(padded(&split("Don’t Panic!")), " dont panic ");
        assert_eq!(padded(&[]), " ");
    }

    #[test]
    fn lines_are_composed_trimmed_and_collapsed() {
        assert_eq!(clean_line("  The\t Great \r\n Gatsby\u{A0}"), "The Great Gatsby");
        assert_eq!(clean_line("Bronte\u{308}"), "Brontë");
        assert_eq!(clean_line(" \u{FEFF} \u{200B}"), "");
        assert_eq!(clean_line("a\u{3000}b"), "a b");
        assert_eq!(clean_line("क्\u{200D}ष"), "क्\u{200D}ष");
    }

    #[test]
    fn control_characters_are_seen() {
        for text in ["\0", "a\tb", "a\nb", "\u{7f}", "\u{85}", "\u{1b}[31m"] {
            assert!(has_control(text), "{text:?}");
        }
        assert!(!has_control("é 語 \u{A0} ’"));
    }

    #[test]
    fn every_character_folds_to_something_stable() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_alphanumeric() || is_combining_mark(*c)) {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "U+{:04X}", u32::from(c));
            // A letter before and after shows marks that only matter in company.
            let once = fold(&format!("a{c}z"));
            assert_eq!(fold(&once), once, "U+{:04X}", u32::from(c));
        }
    }

    /// Any characters, the interesting ones more often than chance would give.
    fn text() -> impl Strategy<Value = String> {
        let interesting = prop::sample::select(
            "aeLlDß ÆœþİıΣςé\u{301}\u{308}\u{3099}かガ語한ᄒ\u{1161}\u{11AB}'’ʼ´`\"“%_*·-½ﬁ\t\0\n\u{AD}\u{200D}\u{FEFF}"
                .chars()
                .collect::<Vec<_>>(),
        );
        prop::collection::vec(prop_oneof![interesting, any::<char>()], 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn words_hold_letters_and_digits_only(text in text()) {
            for word in words(&text) {
                prop_assert!((1..=WORD_MAX_CHARS).contains(&word.chars().count()));
                prop_assert!(word.chars().all(char::is_alphanumeric), "{word:?}");
                prop_assert!(!word.contains(['\'', '’', 'ʼ', '"', '%', '_', '*', ' ', '\\']));
                prop_assert!(!has_control(&word));
            }
        }

        #[test]
        fn folding_again_changes_nothing(text in text()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn words_of_the_padded_line_are_the_words(text in text()) {
            let first = words(&text);
            prop_assert_eq!(words(&padded(&first)), first);
        }

        #[test]
        fn composed_and_decomposed_text_agree(text in text()) {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(words(&composed), words(&decomposed));
        }

        #[test]
        fn european_letters_agree_in_both_cases(text in "[a-zß-öø-ÿĀ-ňŊ-žα-ωά-ώа-яё ]{0,30}") {
            prop_assert_eq!(words(&text.to_uppercase()), words(&text));
            prop_assert_eq!(words(&text.to_lowercase()), words(&text));
        }

        #[test]
        fn clean_lines_are_clean(text in text()) {
            let line = clean_line(&text);
            prop_assert_eq!(line.trim(), &line);
            prop_assert!(!line.contains("  "));
            prop_assert!(line.chars().all(|c| c == ' ' || !c.is_whitespace()));
            prop_assert_eq!(clean_line(&line), line);
        }
    }
}
