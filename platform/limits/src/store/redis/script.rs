//! The script that decides, and the words in which it is asked.

use std::fmt::Write;
use std::sync::Arc;

use ::redis::aio::ConnectionManager;
use ::redis::{ErrorKind, RedisResult, Script};
use mainstay_core::Clock;
use mainstay_redis::Probe;

use crate::key::{Charge, Key};
use crate::policy::Policy;
use crate::state::Kind;
use crate::store::{Order, Tally};

/// What the script says of one key: admitted, left, ms until more, ms until admitted, time, extra.
type Answer = (bool, u32, u64, i64, i64, u32);

/// Decides in Redis.
pub(super) struct ChargeScript {
    script: Script,
    prefix: String,
    /// Another time than the server's.
    clock: Option<Arc<dyn Clock>>,
}

impl ChargeScript {
    /// Keys begin with `prefix`.
    pub(super) fn new(prefix: &str, clock: Option<Arc<dyn Clock>>) -> Self {
        let script = Script::new(include_str!("charge.lua"));
        Self { script, prefix: prefix.to_owned(), clock }
    }

    /// Decides calls, one after the other, in one round trip. Gives one tally for each order, in their order.
    pub(super) async fn charge(
        &self,
        connection: &mut ConnectionManager,
        calls: &[&[Order]],
    ) -> RedisResult<Vec<Tally>> {
        let mut invocation = self.script.prepare_invoke();
        invocation.arg(self.clock.as_ref().map_or(-1, |clock| clock.now().millis()));
        let mut key = String::with_capacity(self.prefix.len() + 32);
        for orders in calls {
            invocation.arg(orders.len());
            for order in *orders {
                key.clear();
                key.push_str(&self.prefix);
                write!(key, "{:032x}", order.digest).expect("a String takes any text");
                invocation.key(key.as_str());
                let (kind, one, two) = match order.shape.kind {
                    Kind::Log { parts, ahead } => ("l", parts, u32::from(ahead)),
                    Kind::Bucket { burst, drain } => ("g", burst, drain),
                };
                invocation.arg(kind).arg(order.shape.limit).arg(order.shape.window_ms).arg(one).arg(two);
                invocation.arg(order.cost).arg(order.extra);
            }
        }
        let answers: Vec<Answer> = invocation.invoke_async(connection).await?;
        let questions: usize = calls.iter().map(|orders| orders.len()).sum();
        if answers.len() != questions {
            let counts = format!("{} answers to {questions} questions", answers.len());
            return Err((ErrorKind::UnexpectedReturnType, "the script is another", counts).into());
        }
        let tally = |(admitted, remaining, reset_ms, retry_ms, at_ms, granted)| Tally {
            admitted,
            remaining,
            reset_ms,
            retry_ms: u64::try_from(retry_ms).ok(),
            at_ms,
            granted,
        };
        Ok(answers.into_iter().map(tally).collect())
    }
}

impl Probe for ChargeScript {
    /// Charges something that is always written: one that takes no writes is no use.
    async fn probe(&self, connection: &mut ConnectionManager) -> RedisResult<()> {
        let policy = Policy::parse("probe", "1000000/s").expect("a policy");
        let order = Order::new(Charge::one(&Key::new(&policy, "")));
        self.charge(connection, &[&[order]]).await.map(drop)
    }
}
