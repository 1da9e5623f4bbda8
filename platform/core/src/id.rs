//! Ids as types, so that a user's id can't be passed for a session's.

use std::sync::Arc;

use uuid::Uuid;

use crate::{Clock, Rng};

/// Makes UUIDv7 ids (RFC 9562 §5.7): they sort by the time they were made, so
/// that an index grows at its end.
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Ids {
    /// A generator that takes its time and its randomness from these.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng }
    }

    /// A new id of the type that the caller wants.
    #[must_use]
    pub fn make<I: From<Uuid>>(&self) -> I {
        let millis = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        let random = self.rng.bytes::<10>();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into()
    }
}

/// Declares id types over UUIDs.
///
/// ```
/// mainstay_core::uuid_ids! {
///     /// Names an invitation.
///     pub struct InvitationId;
/// }
/// let id: InvitationId = "0192f0c1-2f6e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
/// assert_eq!(id.to_string(), "0192f0c1-2f6e-7cc3-98c4-dc0c0c07398f");
/// ```
#[macro_export]
macro_rules! uuid_ids {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name($crate::macro_support::uuid::Uuid);

        impl $name {
            /// The bare UUID, as the database keeps it.
            #[must_use]
            pub const fn uuid(self) -> $crate::macro_support::uuid::Uuid {
                self.0
            }
        }

        impl From<$crate::macro_support::uuid::Uuid> for $name {
            fn from(uuid: $crate::macro_support::uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::macro_support::uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        // By hand: a derive would have to name this crate, which a program of one's own may not depend on.
        impl $crate::macro_support::serde::Serialize for $name {
            fn serialize<S: $crate::macro_support::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                $crate::macro_support::serde::Serialize::serialize(&self.0, serializer)
            }
        }

        impl<'de> $crate::macro_support::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::macro_support::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                $crate::macro_support::serde::Deserialize::deserialize(deserializer).map(Self)
            }
        }

        impl $crate::macro_support::utoipa::PartialSchema for $name {
            fn schema() -> $crate::macro_support::utoipa::openapi::RefOr<
                $crate::macro_support::utoipa::openapi::schema::Schema,
            > {
                $crate::input::schema($crate::macro_support::serde_json::json!({
                    "type": "string", "format": "uuid"
                }))
            }
        }

        impl $crate::macro_support::utoipa::ToSchema for $name {}
    )*};
}

/// A text that is no number of the kind that [`number_ids!`](crate::number_ids) declares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberIdError {
    /// It has another form than ours: `07`, `+7`, `0`.
    #[error("an id is a positive number without sign and leading zeros")]
    Form,
    /// It is no number, or too large for one.
    #[error(transparent)]
    Number(#[from] std::num::ParseIntError),
}

/// Reads the number of an id. There is one spelling for one thing: a cache in front of us keys by the path.
///
/// # Errors
/// If it is not a number from 1 on, written without sign and leading zeros.
#[doc(hidden)]
pub fn read_number_id(text: &str) -> Result<i64, NumberIdError> {
    if text.starts_with(['+', '-', '0']) {
        return Err(NumberIdError::Form);
    }
    Ok(text.parse()?)
}

/// Declares id types over the numbers that a database gives out: 1 and up.
///
/// ```
/// mainstay_core::number_ids! {
///     /// Names a book.
///     pub struct BookId;
/// }
/// let id: BookId = "7".parse().unwrap();
/// assert_eq!((id.number(), id.to_string()), (7, "7".to_owned()));
/// assert!("07".parse::<BookId>().is_err());
/// ```
#[macro_export]
macro_rules! number_ids {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(i64);

        impl $name {
            /// The id with this number, as the database keeps it.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// Its number.
            #[must_use]
            pub const fn number(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::NumberIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::id::read_number_id(text).map(Self)
            }
        }

        impl $crate::macro_support::serde::Serialize for $name {
            fn serialize<S: $crate::macro_support::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.0)
            }
        }

        impl<'de> $crate::macro_support::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::macro_support::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                $crate::macro_support::serde::Deserialize::deserialize(deserializer).map(Self)
            }
        }
    )*};
}

uuid_ids! {
    /// Names a user account.
    pub struct UserId;
    /// Names another program that may ask us about tokens.
    pub struct ServiceId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(read_number_id("1"), Ok(1));
        assert_eq!(read_number_id("9223372036854775807"), Ok(i64::MAX));
        for form in ["0", "07", "+7", "-7", "00"] {
            assert_eq!(read_number_id(form), Err(NumberIdError::Form), "{form}");
        }
        for text in ["", " 7", "7 ", "7.0", "seven", "٧", "9223372036854775808"] {
            assert!(matches!(read_number_id(text), Err(NumberIdError::Number(_))), "{text}");
        }
    }
}
