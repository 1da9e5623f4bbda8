#![doc = include_str!("../README.md")]

pub mod actor;
mod audit;
pub mod clock;
pub mod event;
pub mod id;
pub mod input;
pub mod money;
pub mod page;
pub mod problem;
pub mod rng;
pub mod seal;
pub mod settings;
pub mod text;

pub use actor::{Actor, ActorKind, RequestId};
pub use audit::AuditEntry;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use event::{Event, EventData};
pub use id::{Ids, ServiceId, UserId};
pub use input::{Input, Invalid, Many, Patch};
pub use money::{Currency, Decimal, Money};
pub use page::{Page, Paging, Sorting};
pub use problem::{Fault, Faults, Problem, ProblemKind};
pub use rng::{OsRng, Rng, SeededRng};

#[doc(hidden)]
pub mod macro_support {
    pub use serde;
    pub use serde_json;
    pub use utoipa;
    pub use uuid;
}
