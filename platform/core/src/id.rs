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

uuid_ids! {
    /// Names a user account.
    pub struct UserId;
    /// Names another program that may ask us about tokens.
    pub struct ServiceId;
}
