//! Passwords that are tried first: a list, and what people make of its words.
//!
//! No start-up cost and no allocation: the list is one sorted text in the binary, looked
//! into by halves, and a password is put into lower case on the stack.

/// Sorted by bytes, one entry a line, lower case, NFKC, at least four characters.
/// `scripts/common-passwords` keeps it so and adds to it.
const LIST: &str = include_str!("common_passwords.txt");

/// The longest password that is looked at, in code points after NFKC.
const LONGEST: usize = 256;

/// The longest entry of the list, in characters.
const LONGEST_ENTRY: usize = 64;

/// How many periods of one password are looked at: what repeats often has many.
const MOST_PERIODS: usize = 3;

/// What every guesser walks along: alphabets, digits, rows and columns of keyboards.
/// Also read backwards.
const WALKS: [&str; 20] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "aabbccddeeffgghhiijjkkllmm",
    "00112233445566778899",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2b3c4d5e6f7g8h9i0j",
    "0246802468",
    "1357913579",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1qazxsw23edcvfr45tgbnhy67ujm",
    "zaq12wsxcde34rfvbgt56yhnmju7",
    "qazwsxedcrfvtgbyhnujmikolp",
    "qazxswedcvfrtgbnhyujmkiolp",
    "qweasdzxc",
    "!@#$%^&*()",
];

/// Whether a password, in NFKC, is listed, is a walk over the keyboard or a repetition, or is
/// such a word repeated, spelled with digits for letters or padded to reach a length.
/// Whole passwords only: a phrase may hold any listed word.
pub(super) fn is_common(password: &str) -> bool {
    let mut buffer = ['\0'; LONGEST];
    let mut length = 0;
    for character in password.chars() {
        let Some(place) = buffer.get_mut(length) else { return false };
        // One for one is enough to compare by; the few letters that become two are in no entry.
        *place = character.to_lowercase().next().unwrap_or(character);
        length += 1;
    }
    let all = &buffer[..length];
    if all.is_empty() {
        return false;
    }
    if is_padded_word(all) {
        return true;
    }
    // "abababab", "123123123", "sunshinesunshine", "michael1michael1"
    (1..length)
        .filter(|&period| all.iter().zip(&all[period..]).all(|(a, b)| a == b))
        .take(MOST_PERIODS)
        .any(|period| period <= 4 || is_padded_word(&all[..period]))
}

/// A word alone, or with nothing but trivial padding before or after it.
fn is_padded_word(text: &[char]) -> bool {
    if is_word(text) || is_padding(text) {
        return true;
    }
    let letter = |character: &&char| character.is_alphabetic();
    let before = text.iter().take_while(|c| !letter(c)).count();
    let after = text.iter().rev().take_while(|c| !letter(c)).count();
    let (first, last) = (before, text.len() - after);
    if first < last && is_padding(&text[..first]) && is_padding(&text[last..]) && is_word(&text[first..last])
    {
        return true;
    }
    // Some listed words begin or end with digits or signs themselves, such as "blink182".
    let ends = (last..text.len()).flat_map(|end| [(0, end), (first, end)]);
    let starts = (1..=first).flat_map(|start| [(start, last), (start, text.len())]);
    ends.chain(starts).any(|(start, end)| {
        (4..=LONGEST_ENTRY).contains(&end.saturating_sub(start))
            && (is_listed(&text[start..end].iter().copied())
                || is_listed(&text[start..end].iter().map(|&c| plain_letter(c))))
            && is_padding(&text[..start])
            && is_padding(&text[end..])
    })
}

/// Digits and signs that add nothing: at most three groups, each of one kind and each one a
/// year, one or two characters, a run or a repetition. Nothing at all is padding as well.
fn is_padding(text: &[char]) -> bool {
    let mut groups = text.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    groups.by_ref().take(3).all(|group| {
        !group[0].is_alphabetic()
            && (group.len() <= 2 || is_year(group) || is_repetition(group) || is_walks(group))
    }) && groups.next().is_none()
}

fn is_year(text: &[char]) -> bool {
    matches!(text, ['1', '9', a, b] | ['2', '0', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

/// At most three characters over and over: "111111", "!?!?!?", "123123".
fn is_repetition(text: &[char]) -> bool {
    (1..=3).any(|period| text.len() >= 2 * period && text.iter().zip(&text[period..]).all(|(a, b)| a == b))
}

/// Listed, as it is or in another spelling, or made of walks only.
fn is_word(text: &[char]) -> bool {
    if text.len() < 3 {
        return false;
    }
    is_listed(&text.iter().copied())
        || is_listed_without(text, |c| matches!(c, ' ' | '-' | '_' | '.' | ',' | '\''), 8)
        || (text.iter().any(|&c| plain_letter(c) != c) && is_listed(&text.iter().map(|&c| plain_letter(c))))
        || is_walks(text)
}

/// Whether it is listed once the separators are left out. Short words are not: "a.bc d" is no word.
fn is_listed_without(text: &[char], separator: impl Fn(char) -> bool + Copy, least: usize) -> bool {
    let rest = || text.iter().copied().filter(move |&c| !separator(c));
    let left = rest().count();
    left < text.len() && left >= least && is_listed(&rest())
}

/// The letter that a digit or sign is commonly written for.
fn plain_letter(character: char) -> char {
    match character {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        other => other,
    }
}

/// Whether it falls into pieces of three or more that each follow a walk or repeat one
/// character: "qwerty123456", "abc123abc", "aaa111". Cut greedily from the left.
fn is_walks(text: &[char]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let repeated = rest.iter().take_while(|&&c| c == rest[0]).count();
        let walked = WALKS.iter().map(|walk| longest_on(rest, walk.as_bytes())).max().unwrap_or(0);
        let piece = repeated.max(walked);
        if piece < 3 {
            return false;
        }
        rest = &rest[piece..];
    }
    true
}

/// How many characters from the start follow this walk, forwards or backwards, from any place.
fn longest_on(text: &[char], walk: &[u8]) -> usize {
    let along = |steps: &mut dyn Iterator<Item = &u8>| {
        steps.zip(text).take_while(|&(&step, &character)| char::from(step) == character).count()
    };
    (0..walk.len())
        .filter(|&at| char::from(walk[at]) == text[0])
        .map(|at| along(&mut walk[at..].iter()).max(along(&mut walk[..=at].iter().rev())))
        .max()
        .unwrap_or(0)
}

/// Looks an entry up by halves, over bytes and back to the start of a line.
fn is_listed(word: &(impl Iterator<Item = char> + Clone)) -> bool {
    let (mut low, mut high) = (0, LIST.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let bytes = LIST.as_bytes();
        let start = bytes[low..middle].iter().rposition(|&b| b == b'\n').map_or(low, |at| low + at + 1);
        let end = bytes[middle..high].iter().position(|&b| b == b'\n').map_or(high, |at| middle + at);
        // Both ends lie beside a line feed or an end of the text, so they are boundaries of characters.
        match LIST[start..end].chars().cmp(word.clone()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization as _;

    use super::*;

    #[test]
    fn the_list_is_as_the_lookup_needs_it() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(LIST.ends_with('\n') && LIST.len() <= 500_000, "{}", LIST.len());
        assert!(lines.is_sorted_by(|a, b| a < b), "sorted by bytes, each once");
        for line in lines {
            assert_eq!(line, line.nfkc().collect::<String>().to_lowercase());
            assert!((4..=LONGEST_ENTRY).contains(&line.chars().count()), "{line}");
            assert!(!line.contains(char::is_whitespace), "{line}");
            assert!(is_listed(&line.chars()), "{line}");
        }
        for none in
            ["", "\n", "zzzzzzzzzzzz", "!", "passwor", "asswords", "password\n", "яяяяяяя", "\u{10ffff}"]
        {
            assert!(!is_listed(&none.chars()), "{none:?}");
        }
    }

    /// Three thousand of at least 15 characters, as an attacker derives them from the list.
    fn long_ones() -> impl Iterator<Item = String> {
        let listed = LIST.lines().filter(|line| line.chars().count() >= 15).map(str::to_owned);
        let pads =
            ["1234567890", "!!!!!!!!!!!", "111111111111", "12312312312", "2024!", "123!", "1", "0987654321"];
        let made = LIST.lines().step_by(7).zip(pads.into_iter().cycle()).flat_map(|(word, pad)| {
            [
                format!("{word}{pad}"),
                format!("{pad}{word}"),
                format!("{word}{word}{word}{word}"),
                format!("{word} {word} {word} {word}"),
                format!("{word}{pad}{word}{pad}"),
                format!("{word}{}", "!".repeat(11)),
                word.to_uppercase() + "123456789012",
            ]
        });
        listed.chain(made).filter(|password| (15..=256).contains(&password.chars().count())).take(3000)
    }

    #[test]
    fn long_derivations_of_the_list_are_refused() {
        let all: Vec<String> = long_ones().collect();
        assert_eq!(all.len(), 3000);
        let missed: Vec<&String> = all.iter().filter(|password| !is_common(password)).collect();
        assert!(missed.len() <= 3, "{} of {}: {missed:?}", missed.len(), all.len());
    }

    #[test]
    fn padding_repeating_and_respelling_do_not_hide_a_word() {
        for common in [
            "password1234567",
            "qwerty!!!!!!!!!",
            "!!!!Dragon2019",
            "123456789012345",
            "12345678!!!!",
            "P@$$w0rd2024!",
            "adm1n1strat0r",
            "michael1michael1",
            "sunshinesunshine",
            "sunshinesun",
            "password password",
            "qwerty123456asdfgh",
            "abc123abc123abc",
            "1qaz2wsx3edc4rfv",
            "poiuytrewq12345",
            "aaaaaaaaaaaaaaa",
            "to be or not to be",
            "Correct Horse Battery Staple",
            "CONTRASEÑA123",
            "Пароль123456",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn phrases_and_random_strings_are_let_through() {
        for good in [
            "stapler horse correct lamp",
            "purple monkey dishwasher sings",
            "the dragon ate my password",
            "password is what I shout at owls",
            "my dog Buster hates the 9 o'clock news",
            "gravel tulip orbit sandwich",
            "velvet-anchor-mosaic-thirteen",
            "analytical engine 1843",
            "grün ist der Fluss im Mai",
            "山高水长风景好月圆花香",
            "7gK#pQ2v!mZx",
            "x4Tq9LbW2nRc8VdY",
            "kf83jd72lspq0xmv",
            "9b2e4f1a-7c3d-4e8f",
            "dragon83642917",
            "sunshine#7f2k",
            "correct horse",
            "all lower case words",
            "1234 567 and a half",
        ] {
            assert!(!is_common(good), "{good}");
        }
    }

    #[test]
    fn ten_thousand_random_passwords_are_let_through() {
        let characters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            let password: String = (0..12)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    characters[usize::try_from(state % 62).unwrap()]
                })
                .collect();
            assert!(!is_common(&password), "{password}");
        }
    }

    #[test]
    fn any_length_and_script_is_looked_at_without_a_panic() {
        for unit in ["", "ß", "İ", "🦀", "ﬁ", "\0", "\n", "é!", "1", "12", "é1ü2"] {
            for times in [0, 1, 2, 7, 8, 255, 256, 257, 1000] {
                is_common(&unit.repeat(times));
            }
        }
    }
}
