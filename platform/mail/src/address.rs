//! Addresses, as headers and SMTP commands may carry them.

use lettre::Address;
use lettre::message::Mailbox;
use unicode_normalization::UnicodeNormalization as _;
use url::Host;

use crate::render::one_line;

/// Most bytes of an address: RFC 5321 §4.5.3.1 allows 64 before the `@` and 255 behind it.
pub(crate) const MOST_BYTES: usize = 320;
/// Most characters of a name.
const MOST_NAME: usize = 100;

/// Who a mail is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Their name, as they are shown it. `None` if they told none.
    pub name: Option<String>,
    /// Their address.
    pub address: String,
}

/// As addresses are compared: those that differ only in case are one.
pub(crate) fn normalized(address: &str) -> String {
    address.nfc().collect::<String>().to_lowercase()
}

/// What of an address can be stored, right or wrong: bounded, and nothing that a text
/// of PostgreSQL can't hold.
pub(crate) fn storable(address: &str) -> String {
    let mut end = MOST_BYTES.min(address.len());
    while !address.is_char_boundary(end) {
        end -= 1;
    }
    address[..end].replace('\0', "\u{FFFD}")
}

/// A name and an address for a header. `None` if the address is not one.
pub(crate) fn mailbox(name: Option<&str>, address: &str) -> Option<Mailbox> {
    let name = name.map(|name| one_line(name, MOST_NAME)).filter(|name| !name.is_empty());
    Some(Mailbox::new(name, parse(address)?))
}

/// The sender out of `Name <address>` or a bare address.
pub(crate) fn sender(text: &str) -> Option<Mailbox> {
    match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => mailbox(Some(name.trim().trim_matches('"')), address),
        None => mailbox(None, text.trim()),
    }
}

/// An address with its domain in ASCII (IDNA), so that a server needs no extension for it.
fn parse(address: &str) -> Option<Address> {
    let (local, domain) = address.rsplit_once('@')?;
    // No quoted local parts: nobody has one, and quoting is where injections begin.
    let special = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"@".contains(c);
    if address.len() > MOST_BYTES || local.contains(special) {
        return None;
    }
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return None };
    Address::new(local, domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_are_read_and_domains_become_ascii() {
        for (address, expected) in [
            ("ada@example.com", "ada@example.com"),
            ("o'neil+x@Mail.Example.org", "o'neil+x@mail.example.org"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ü@bücher.example", "ü@xn--bcher-kva.example"),
            ("root@localhost", "root@localhost"),
        ] {
            assert_eq!(parse(address).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn nothing_that_could_break_a_header_or_a_command_is_an_address() {
        let long = format!("{}@b.c", "x".repeat(400));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c.d",
            "a@b@c.d",
            "a@b.c\r\nBcc: x@y.z",
            "a\r\nRCPT TO:<x@y.z>@b.c",
            "<a@b.c>",
            "a,b@c.d",
            "a@b.c,d@e.f",
            "a\0@b.c",
            "a@b\0.c",
            "a@b.c\0",
            "a@b.c>\r\n",
            "\"a b\"@c.d",
            "a@[1.2.3.4]",
            "a@b.c ",
            &long,
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        assert_eq!(sender("Mainstay <no-reply@localhost>").unwrap().name.as_deref(), Some("Mainstay"));
        assert_eq!(sender("\"A, B\" <x@example.com>").unwrap().name.as_deref(), Some("A, B"));
        assert_eq!(sender("x@example.com").unwrap().name, None);
        for bad in ["", "Mainstay", "<>", "A <x@y.z> <", "x@y.z, a@b.c"] {
            assert!(sender(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_stored_is_bounded_and_has_no_nul() {
        assert!(storable(&"ü".repeat(400)).len() <= MOST_BYTES);
        assert_eq!(storable("a\0b"), "a\u{FFFD}b");
        assert_eq!(normalized("Ada@EXAMPLE.com"), "ada@example.com");
    }
}
