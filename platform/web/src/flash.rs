/// A message that is shown once, on the next page.
///
/// It travels in a signed cookie: nothing secret belongs into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flash {
    /// Something was done.
    Done(String),
    /// Something has to be known.
    Note(String),
}

/// What fits into a cookie beside the others.
const MOST: usize = 400;

impl Flash {
    /// Something was done.
    pub fn done(text: impl Into<String>) -> Self {
        Self::Done(text.into())
    }

    /// Something has to be known.
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Done(text) | Self::Note(text) => text,
        }
    }

    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Done(_) => "flash done",
            Self::Note(_) => "flash note",
        }
    }

    pub(crate) fn to_line(&self) -> String {
        let mark = match self {
            Self::Done(_) => '+',
            Self::Note(_) => '!',
        };
        std::iter::once(mark).chain(self.text().chars().take(MOST)).collect()
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut chars = line.chars();
        match chars.next()? {
            '+' => Some(Self::Done(chars.collect())),
            '!' => Some(Self::Note(chars.collect())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_journey() {
        for flash in [Flash::done("Saved."), Flash::note("Größer; \"quoted\"")] {
            assert_eq!(Flash::from_line(&flash.to_line()), Some(flash));
        }
        assert_eq!(Flash::from_line("?x"), None);
        assert_eq!(Flash::from_line(""), None);
    }
}
