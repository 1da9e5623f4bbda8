//! Things that happened, as apps tell each other of them.
//!
//! An event is recorded in the transaction of the change that it tells of
//! (`WriteUnit::emit` in the database crate) and reaches every consumer at least once, in order
//! for each subject. On the wire it is a CloudEvent 1.0.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Timestamp;

/// What an event of one kind says. Plain data that can be written and read as a
/// JSON object: no secrets, because events are kept, shown to operators and sent to others.
pub trait EventData: Serialize + DeserializeOwned {
    /// The kind: `user.registered`. Never changes its meaning; a new meaning is a new kind.
    const KIND: &'static str;

    /// What it is about: `user/0192…`. Events about one subject stay in order.
    fn subject(&self) -> String;
}

/// One event, as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, the same however often it is delivered.
    pub id: Uuid,
    /// Its kind: [`EventData::KIND`].
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// Who did it: `anonymous`, `user/…`, `service/…` or `system/…`.
    pub actor: String,
    /// In which request. `None` outside of one.
    pub request_id: Option<String>,
    /// What happened.
    pub data: Value,
}

/// An event whose data is not what its kind promises.
#[derive(Debug, thiserror::Error)]
#[error("the data of {kind} can't be read")]
pub struct UnreadableEvent {
    kind: String,
    source: serde_json::Error,
}

impl Event {
    /// What happened, if the event is of this kind.
    ///
    /// # Errors
    /// If it is of this kind, but its data can't be read.
    pub fn read<D: EventData>(&self) -> Result<Option<D>, UnreadableEvent> {
        if self.kind != D::KIND {
            return Ok(None);
        }
        // Read from the reference: the data may be large, and most fields are copied only once.
        match D::deserialize(&self.data) {
            Ok(data) => Ok(Some(data)),
            Err(source) => Err(UnreadableEvent { kind: self.kind.clone(), source }),
        }
    }

    /// As a CloudEvent 1.0 in JSON. `source` is the installation's public URL.
    #[must_use]
    pub fn to_cloud_event(&self, source: &str) -> Value {
        let mut event = Map::new();
        let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
        put("specversion", json!("1.0"));
        put("id", json!(self.id));
        put("source", json!(source));
        put("type", json!(self.kind));
        put("subject", json!(self.subject));
        put("time", json!(self.time));
        put("datacontenttype", json!("application/json"));
        // Extension attributes: lower-case letters and digits only (CloudEvents 1.0 §3).
        put("actor", json!(self.actor));
        if let Some(id) = &self.request_id {
            put("requestid", json!(id));
        }
        put("data", self.data.clone());
        Value::Object(event)
    }

    /// From a CloudEvent 1.0 in JSON, as [`Event::to_cloud_event`] writes it.
    /// `None` if it is not one.
    #[must_use]
    pub fn from_cloud_event(event: &Value) -> Option<Self> {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        if text("specversion") != Some("1.0") {
            return None;
        }
        Some(Self {
            id: text("id")?.parse().ok()?,
            kind: text("type")?.to_owned(),
            subject: text("subject")?.to_owned(),
            time: text("time")?.parse().ok()?,
            actor: text("actor").unwrap_or("anonymous").to_owned(),
            request_id: text("requestid").map(str::to_owned),
            data: event.get("data").cloned().unwrap_or(Value::Null),
        })
    }
}

/// Whether an event's kind is meant by a pattern: a kind, `user.*` for everything
/// that begins with `user.`, or `*` for all.
#[must_use]
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix) && (prefix.is_empty() || prefix.ends_with('.')),
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Opened {
        door: u32,
    }

    impl EventData for Opened {
        const KIND: &'static str = "door.opened";

        fn subject(&self) -> String {
            format!("door/{}", self.door)
        }
    }

    fn event() -> Event {
        Event {
            id: Uuid::from_u128(7),
            kind: "door.opened".to_owned(),
            subject: "door/3".to_owned(),
            time: Timestamp::from_millis(1_769_851_800_000),
            actor: "system/test".to_owned(),
            request_id: Some("r-1".to_owned()),
            data: json!({"door": 3}),
        }
    }

    #[test]
    fn a_cloud_event_reads_back_as_it_was() {
        let cloud = event().to_cloud_event("https://example.com");
        assert_eq!(cloud["type"], "door.opened");
        assert_eq!(cloud["time"], "2026-01-31T09:30:00.000Z");
        assert_eq!(Event::from_cloud_event(&cloud), Some(event()));
        assert_eq!(Event::from_cloud_event(&json!({"specversion": "0.3"})), None);
    }

    #[test]
    fn data_is_read_by_its_kind_only() {
        assert_eq!(event().read::<Opened>().unwrap(), Some(Opened { door: 3 }));
        let other = Event { kind: "door.closed".to_owned(), ..event() };
        assert_eq!(other.read::<Opened>().unwrap(), None);
        let broken = Event { data: json!({"door": "three"}), ..event() };
        assert!(broken.read::<Opened>().is_err());
    }

    #[test]
    fn a_pattern_means_a_kind_or_all_of_a_family() {
        assert!(matches("user.registered", "user.registered") && !matches("user.registered", "user.deleted"));
        assert!(matches("user.*", "user.deleted") && !matches("user.*", "username.taken"));
        assert!(matches("*", "anything.at_all") && !matches("us*", "user.deleted"));
    }
}
