use std::borrow::Cow;

use askama::Template;
use mainstay_core::{Fault, Invalid};

/// How a form's button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What one came for.
    Primary,
    /// One of several things to do.
    Quiet,
    /// What can't be undone.
    Danger,
}

/// A form to send.
#[derive(Debug, Template)]
#[template(path = "form.html")]
pub struct Form {
    id: Cow<'static, str>,
    action: Cow<'static, str>,
    button: Button,
    token: String,
    hidden: Vec<(&'static str, String)>,
    fields: Vec<Field>,
    fault: Option<String>,
}

/// The button of a form.
#[derive(Clone, Debug)]
pub struct Button {
    text: &'static str,
    tone: Tone,
    /// What it is about, for those who do not see where it stands.
    about: Option<String>,
}

impl Form {
    pub(crate) fn new(
        id: Cow<'static, str>,
        action: Cow<'static, str>,
        button: &'static str,
        token: String,
    ) -> Self {
        let button = Button { text: button, tone: Tone::Primary, about: None };
        Self { id, action, button, token, hidden: Vec::new(), fields: Vec::new(), fault: None }
    }

    /// With a value that nobody has to enter.
    #[must_use]
    pub fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// With a field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// With a button that looks like this.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.button.tone = tone;
        self
    }

    /// With a button of which it is read aloud what it is about, where several have the same text.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.button.about = Some(about.into());
        self
    }

    /// Says what is wrong with the form as a whole.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.fault = Some(text.into());
    }

    /// Says what is wrong with a field; of the whole form, if it has no such field.
    pub fn blame(&mut self, name: &str, message: &str) {
        match self.fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.fault = Some(sentence(field.label, message)),
            None => self.fault = Some(sentence("This", message)),
        }
    }

    /// The same for faults that a service found.
    pub fn blame_all(&mut self, faults: &[Fault]) {
        faults.iter().for_each(|fault| self.blame(&fault.field, &fault.message));
    }

    /// What was read of a field; otherwise says what is wrong with it.
    pub fn judge<T>(&mut self, name: &str, read: Result<T, Invalid>) -> Option<T> {
        read.map_err(|invalid| self.blame(name, &invalid.message)).ok()
    }

    /// Whether anything is wrong.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.fault.is_some() || self.fields.iter().any(|field| field.fault.is_some())
    }

    fn faulty_fields(&self) -> impl Iterator<Item = (&Field, &str)> {
        self.fields.iter().filter_map(|field| Some((field, field.fault.as_deref()?)))
    }

    fn button_class(&self) -> &'static str {
        match self.button.tone {
            Tone::Primary => "button",
            Tone::Quiet => "button quiet",
            Tone::Danger => "button danger",
        }
    }

    /// Only one thing of a page can have the focus first.
    fn has_focus(&self, field: &Field) -> bool {
        field.takes_focus && !self.is_faulty()
    }
}

fn sentence(subject: &str, message: &str) -> String {
    let end = if message.ends_with('.') { "" } else { "." };
    format!("{subject} {message}{end}")
}

/// A field of a form.
#[derive(Clone, Debug)]
pub struct Field {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    autocomplete: &'static str,
    hint: Option<String>,
    value: String,
    options: Vec<(&'static str, &'static str)>,
    fault: Option<String>,
    is_required: bool,
    takes_focus: bool,
}

impl Field {
    /// A line of text.
    #[must_use]
    pub fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            kind: "text",
            autocomplete: "off",
            hint: None,
            value: String::new(),
            options: Vec::new(),
            fault: None,
            is_required: true,
            takes_focus: false,
        }
    }

    /// An e-mail address.
    #[must_use]
    pub fn email(name: &'static str, label: &'static str) -> Self {
        Self { kind: "email", autocomplete: "email", ..Self::text(name, label) }
    }

    /// A password: `current-password` or `new-password`. What was entered is never shown again.
    #[must_use]
    pub fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self { kind: "password", autocomplete, ..Self::text(name, label) }
    }

    /// A text that may be longer than a line.
    #[must_use]
    pub fn long(name: &'static str, label: &'static str) -> Self {
        Self { kind: "long", ..Self::text(name, label) }
    }

    /// One of several: value and text of each.
    #[must_use]
    pub fn choice(name: &'static str, label: &'static str, options: &[(&'static str, &'static str)]) -> Self {
        Self { kind: "choice", options: options.to_vec(), ..Self::text(name, label) }
    }

    /// Helps browsers to fill it in (HTML's `autocomplete`).
    #[must_use]
    pub fn autocomplete(self, autocomplete: &'static str) -> Self {
        Self { autocomplete, ..self }
    }

    /// Says what is wanted.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With this in it; a password stays empty.
    #[must_use]
    pub fn value(self, value: impl Into<String>) -> Self {
        let value = if self.kind == "password" { String::new() } else { value.into() };
        Self { value, ..self }
    }

    /// May stay empty.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }

    /// Has the focus when the page opens.
    #[must_use]
    pub fn focused(self) -> Self {
        Self { takes_focus: true, ..self }
    }

    /// The ids of what describes it, the fault first.
    fn described_by(&self, form: &str) -> Option<String> {
        let fault = self.fault.as_ref().map(|_| format!("{form}-{}-fault", self.name));
        let hint = self.hint.as_ref().map(|_| format!("{form}-{}-hint", self.name));
        let ids: Vec<String> = fault.into_iter().chain(hint).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

/// Its own template escapes what it holds.
impl askama::filters::HtmlSafe for Form {}
