//! What a letter says: a small structured document, from which the text and the HTML are made.

/// One kind of mail: its fields are what the mail is about, its methods what it says.
///
/// A letter is written in data, not in markup: whatever a field holds, it is text in both parts.
pub trait Letter {
    /// Its name, stored with each mail: `identity.welcome`. At most 100 bytes; never changes.
    const TEMPLATE: &'static str;

    /// The subject, one line under 100 characters. What is longer is cut.
    fn subject(&self) -> String;

    /// What it says.
    fn body(&self) -> Body;

    /// Letters that show what there can be: the plain one, the longest one, one whose
    /// fields hold markup. A test renders them all.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// The content of a letter, in the order in which it is shown: greeting, paragraphs, facts,
/// code, button, note.
///
/// ```
/// use mainstay_mail::Body;
/// let body = Body::new("Hello Ada,")
///     .paragraph("Please confirm that this address is yours.")
///     .action("Confirm address", "/verify-email?token=abc")
///     .note("If you did not register, ignore this mail.");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub(crate) greeting: Option<String>,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) code: Option<String>,
    pub(crate) action: Option<(String, String)>,
    pub(crate) note: Option<String>,
}

impl Body {
    /// A body that begins with this line: `Hello Ada,`.
    #[must_use]
    pub fn new(greeting: impl Into<String>) -> Self {
        Self { greeting: Some(greeting.into()), ..Self::default() }
    }

    /// Adds a paragraph. Its line breaks are kept.
    #[must_use]
    pub fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.paragraphs.push(text.into());
        self
    }

    /// Adds a line to the table of facts: `Severity`, `high`.
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// Shows a code to type in. The last one counts.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Shows a button, and its address under it. `target` is a path under the installation's
    /// public URL (`/invitations/…`) or a whole `http` or `https` address; anything else is left
    /// out. The last one counts: a mail asks for one thing.
    #[must_use]
    pub fn action(mut self, label: impl Into<String>, target: impl Into<String>) -> Self {
        self.action = Some((label.into(), target.into()));
        self
    }

    /// What stands at the end, in small print. The last one counts.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.note = Some(text.into());
        self
    }
}
