//! Letters, as apps write and check them.

use mainstay_mail::testing::{check_letter, letterhead};
use mainstay_mail::{Body, Letter, render};

use crate::support::Report;

#[test]
fn the_sample_letter_keeps_the_rules() {
    check_letter::<Report>();
}

#[test]
fn markup_in_a_field_is_text_in_both_parts() {
    let hostile = "<script>alert(1)</script> & \"quotes\" '";
    let letter = Report { subject: "x".to_owned(), text: hostile.to_owned() };
    let content = render(&letter, &letterhead()).content;

    assert!(content.text.contains(hostile));
    assert!(!content.html.contains("<script"));
    assert!(content.html.contains("&#60;script&#62;alert(1)&#60;/script&#62; &#38; &#34;quotes&#34; &#39;"));
}

#[test]
fn a_mail_fetches_nothing() {
    let html = render(&Report::samples()[0], &letterhead()).content.html;
    for remote in ["src=", "url(", "@import", "<link", "<img"] {
        assert!(!html.contains(remote), "{remote}");
    }
    assert!(html.contains("prefers-color-scheme: dark"));
}

#[test]
fn line_breaks_of_a_paragraph_stay() {
    let letter = Report { subject: "x".to_owned(), text: "one\ntwo\r\nthree".to_owned() };
    let content = render(&letter, &letterhead()).content;
    assert!(content.text.contains("one\ntwo\nthree\n"), "{}", content.text);
    assert!(content.html.contains("one<br>two<br>three"));
}

#[test]
fn the_text_part_reads_like_a_letter() {
    let text = render(&Report::samples()[0], &letterhead()).content.text;
    let expected = "\
Hello,

The pump in the cellar is down.

Severity: high
Site: north

    493-201

Open the incident:
https://mainstay.example/incidents/1?from=mail&x=y

You get this because you are on duty.

-- 
Mainstay
https://mainstay.example/
";
    assert_eq!(text.trim_end(), expected.trim_end());
}

struct Broken(Body, &'static str);

impl Letter for Broken {
    const TEMPLATE: &'static str = "test.broken";

    fn subject(&self) -> String {
        self.1.to_owned()
    }

    fn body(&self) -> Body {
        self.0.clone()
    }

    fn samples() -> Vec<Self> {
        vec![Self(Body::new("Hi,").paragraph("x").action("Go", "javascript:alert(1)"), "Subject")]
    }
}

#[test]
#[should_panic(expected = "which is no link")]
fn a_letter_whose_button_leads_nowhere_is_found() {
    check_letter::<Broken>();
}
