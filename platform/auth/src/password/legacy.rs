//! Hashes that another system made, so that its users keep their passwords.
//!
//! Two families: bcrypt, and what Werkzeug's `generate_password_hash` writes. They are
//! only ever checked, over the bytes as typed: those systems normalized nothing.
//! Every cost is bounded while reading, because an imported row must not be able to
//! take all memory or a core for minutes.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Eight times the work of the usual 12: some seconds of a core.
const MOST_BCRYPT_COST: u32 = 15;
/// bcrypt reads no further; the systems it comes from cut without a word.
const BCRYPT_BYTES: usize = 72;
const MOST_ITERATIONS: u32 = 5_000_000;
/// N · r, of which each takes 128 bytes: 64 MiB, twice Werkzeug's default.
const MOST_SCRYPT_BLOCKS: u64 = 512 * 1024;
const MOST_SCRYPT_LANES: u32 = 16;
const MOST_SALT_BYTES: usize = 128;

/// A hash of another system, read and within the bounds.
pub(super) enum Legacy {
    /// `$2a$`, `$2b$`, `$2y$`: one algorithm by three names.
    Bcrypt { cost: u32, salt: [u8; 16], tag: [u8; 23] },
    /// `pbkdf2:sha256:1000000$salt$hex`.
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salt: Box<str>, tag: Vec<u8> },
    /// `scrypt:32768:8:1$salt$hex`.
    Scrypt { params: scrypt::Params, salt: Box<str>, tag: [u8; 64] },
}

impl Legacy {
    /// `None` for what is none of these, is damaged or costs more than the bounds allow.
    pub(super) fn parse(hash: &str) -> Option<Self> {
        if let Some(rest) = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix)) {
            return parse_bcrypt(rest);
        }
        let mut parts = hash.split('$');
        let (method, salt, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let plain =
            !salt.is_empty() && salt.len() <= MOST_SALT_BYTES && salt.bytes().all(|b| b.is_ascii_graphic());
        if parts.next().is_some() || !plain {
            return None;
        }
        match method.split_once(':')? {
            ("pbkdf2", rest) => parse_pbkdf2(rest, salt, tag),
            ("scrypt", rest) => parse_scrypt(rest, salt, tag),
            _ => None,
        }
    }

    /// Whether these bytes have this hash.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt { cost, salt, tag } => {
                // The key is repeated with a NUL between, so one inside would make two passwords one.
                if password.contains(&0) {
                    return false;
                }
                let mut key = password.to_vec();
                key.push(0);
                key.truncate(BCRYPT_BYTES);
                let made = bcrypt::bcrypt(*cost, *salt, &key);
                verify_slices_are_equal(&made[..tag.len()], tag).is_ok()
            }
            Self::Pbkdf2 { algorithm, iterations, salt, tag } => {
                pbkdf2::verify(*algorithm, *iterations, salt.as_bytes(), password, tag).is_ok()
            }
            Self::Scrypt { params, salt, tag } => {
                let mut made = [0; 64];
                scrypt::scrypt(password, salt.as_bytes(), params, &mut made).is_ok()
                    && verify_slices_are_equal(&made, tag).is_ok()
            }
        }
    }
}

/// What follows `$2b$`: two digits, `$`, 22 characters of salt, 31 of the tag.
fn parse_bcrypt(rest: &str) -> Option<Legacy> {
    // The last character of either part carries bits that nobody reads, and old programs filled them.
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &BCRYPT,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
    );
    let (cost, body) = rest.split_once('$')?;
    if cost.len() != 2 || body.len() != 53 || !body.is_ascii() {
        return None;
    }
    let cost = number(cost).filter(|cost| (4..=MOST_BCRYPT_COST).contains(cost))?;
    let (salt, tag) = body.split_at(22);
    Some(Legacy::Bcrypt {
        cost,
        salt: ENGINE.decode(salt).ok()?.try_into().ok()?,
        tag: ENGINE.decode(tag).ok()?.try_into().ok()?,
    })
}

fn parse_pbkdf2(rest: &str, salt: &str, tag: &str) -> Option<Legacy> {
    let (digest, iterations) = rest.split_once(':')?;
    let (algorithm, length) = match digest {
        "sha256" => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        "sha512" => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        _ => return None,
    };
    let iterations = NonZeroU32::new(number(iterations).filter(|&count| count <= MOST_ITERATIONS)?)?;
    let tag = unhex(tag).filter(|tag| tag.len() == length)?;
    Some(Legacy::Pbkdf2 { algorithm, iterations, salt: salt.into(), tag })
}

fn parse_scrypt(rest: &str, salt: &str, tag: &str) -> Option<Legacy> {
    let mut numbers = rest.split(':').map(number);
    let (n, r, p) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let bounded = n > 1
        && n.is_power_of_two()
        && u64::from(n) * u64::from(r) <= MOST_SCRYPT_BLOCKS
        && (1..=MOST_SCRYPT_LANES).contains(&p);
    if numbers.next().is_some() || !bounded {
        return None;
    }
    let log_n = u8::try_from(n.ilog2()).ok()?;
    let params = scrypt::Params::new(log_n, r, p).ok()?;
    Some(Legacy::Scrypt { params, salt: salt.into(), tag: unhex(tag)?.try_into().ok()? })
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}
