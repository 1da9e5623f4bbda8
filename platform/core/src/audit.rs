//! What the audit log says of a change, before it is written.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One entry of the audit log: what was done to what. Who did it, when, in which
/// request and from where is added when it is written, in the change's own transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    action: &'static str,
    target: String,
    changes: Map<String, Value>,
    details: Map<String, Value>,
}

impl AuditEntry {
    /// `action` is what was done (`user.updated`), `target` what it was done to
    /// (`user/0192…`; what has no id of its own is named by its kind alone).
    #[must_use]
    pub fn new(action: &'static str, target: impl Into<String>) -> Self {
        Self { action, target: target.into(), changes: Map::new(), details: Map::new() }
    }

    /// A field before and after the change, if it changed. Never for secrets.
    #[must_use]
    pub fn changed<T: Serialize + PartialEq>(mut self, field: &'static str, before: &T, after: &T) -> Self {
        if before != after {
            self.changes.insert(field.to_owned(), json!({"before": before, "after": after}));
        }
        self
    }

    /// A field of something new: there was nothing before.
    #[must_use]
    pub fn set(mut self, field: &'static str, value: impl Serialize) -> Self {
        self.changes.insert(field.to_owned(), json!({"before": null, "after": value}));
        self
    }

    /// That a field changed whose values are nobody's to read.
    #[must_use]
    pub fn changed_secret(mut self, field: &'static str) -> Self {
        self.changes.insert(field.to_owned(), json!({"secret": true}));
        self
    }

    /// Something else that helps to understand the entry: how, why, how many.
    #[must_use]
    pub fn note(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.details.insert(name.to_owned(), json!(value));
        self
    }

    /// What was done.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// What it was done to.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The fields before and after. Empty where no field changed.
    #[must_use]
    pub fn changes(&self) -> &Map<String, Value> {
        &self.changes
    }

    /// What else was noted.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_kept_and_secrets_never() {
        let entry = AuditEntry::new("user.updated", "user/1")
            .changed("name", &"Ada", &"Ada")
            .changed("active", &true, &false)
            .changed_secret("password");
        let changes = Value::Object(entry.changes().clone());
        assert_eq!(
            changes,
            json!({"active": {"before": true, "after": false}, "password": {"secret": true}})
        );
    }
}
