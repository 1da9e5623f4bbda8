//! The bytes of a mail (RFC 5322), the same at every attempt.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use mainstay_core::Timestamp;
use uuid::Uuid;

use crate::Content;

/// A mail that can be sent.
pub(crate) struct Outgoing {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) bytes: Vec<u8>,
}

/// What a mail is made of.
pub(crate) struct Written<'a> {
    pub(crate) id: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) from: Mailbox,
    pub(crate) to: Mailbox,
    pub(crate) subject: &'a str,
    pub(crate) content: Content,
    /// The right side of the Message-ID.
    pub(crate) host: &'a str,
}

impl Outgoing {
    /// Nothing in it depends on the attempt: a server, or a reader, that gets a mail twice
    /// sees by its Message-ID that it is one.
    pub(crate) fn write(written: Written<'_>) -> Result<Self, lettre::error::Error> {
        let Written { id, created_at, from, to, subject, content, host } = written;
        let millis = u64::try_from(created_at.millis()).unwrap_or(0);
        let body = MultiPart::alternative()
            .boundary(format!("part-{}", id.simple()))
            .singlepart(SinglePart::plain(content.text))
            .singlepart(SinglePart::html(content.html));
        let (sender, recipient) = (from.email.clone(), to.email.clone());
        let message = Message::builder()
            .date(UNIX_EPOCH + Duration::from_millis(millis))
            .message_id(Some(format!("<{id}@{host}>")))
            .from(from)
            .to(to)
            .subject(subject)
            // RFC 3834: out-of-office answers stay away.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(body)?;
        Ok(Self { from: sender, to: recipient, bytes: message.formatted() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::mailbox;
    use crate::render::one_line;

    fn written(name: &str, subject: &str) -> String {
        let outgoing = Outgoing::write(Written {
            id: Uuid::from_u128(7),
            created_at: Timestamp::from_millis(1_769_851_800_000),
            from: mailbox(Some("Mainstay"), "no-reply@example.com").unwrap(),
            to: mailbox(Some(name), "ada@bücher.example").unwrap(),
            subject: &one_line(subject, 150),
            content: Content { text: "ç\n.\n..dots\n".to_owned(), html: "<p>ç</p>".to_owned() },
            host: "example.com",
        });
        String::from_utf8(outgoing.unwrap().bytes).unwrap()
    }

    #[test]
    fn headers_are_stable_and_say_what_it_is() {
        let mail = written("Ada", "Hello");
        for line in [
            "Message-ID: <00000000-0000-0000-0000-000000000007@example.com>\r\n",
            "Date: Sat, 31 Jan 2026 09:30:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "From: Mainstay <no-reply@example.com>\r\n",
            "To: Ada <ada@xn--bcher-kva.example>\r\n",
            "Subject: Hello\r\n",
        ] {
            assert!(mail.contains(line), "{line:?} in\n{mail}");
        }
        assert_eq!(mail, written("Ada", "Hello"));
    }

    #[test]
    fn no_name_and_no_subject_adds_a_header() {
        for hostile in [
            "x\r\nBcc: evil@example.com",
            "x\nBcc: evil@example.com",
            "x\rBcc: evil@example.com",
            "x\r\n\r\n<script>",
            "x\0Bcc: evil@example.com",
            "\"><evil@example.com>, \"y",
            "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
            "x\u{2028}Bcc: evil@example.com",
            "x\u{85}Bcc: evil@example.com",
            "Ünal Çığ 🎉\u{202e}\r\nBcc: evil@example.com",
        ] {
            let mail = written(hostile, hostile);
            let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
            assert!(mail.is_ascii(), "{hostile:?}");
            let names: Vec<&str> = headers
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(": ").unwrap().0)
                .collect();
            let expected = [
                "Date",
                "Message-ID",
                "From",
                "To",
                "Subject",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type",
            ];
            assert_eq!(names, expected, "{hostile:?}");
        }
    }
}
