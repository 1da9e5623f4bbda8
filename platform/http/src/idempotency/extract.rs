//! What handlers take, and how they carry it out.

use std::error::Error;
use std::sync::Arc;

use axum::extract::{FromRequest, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use mainstay_auth::Caller;
use mainstay_core::input::{self, Input};
use mainstay_core::problem::TIMEOUT;
use mainstay_core::{Actor, ActorKind, Problem, ProblemKind, RequestId};
use mainstay_db::{DbProblem as _, UnitWork, WriteUnit};
use sea_orm::DbErr;

use super::answer::Answer;
use super::key::{digest_of, fingerprint};
use super::store::{self, Stored};
use super::{IDEMPOTENCY_KEY_REQUIRED, Idempotency, IdempotencyKey, Inner, Running, Slot};
use crate::RequestContext;
use crate::extract::read_json;

/// A JSON body that keeps every rule of its type, of a request that may carry an
/// `Idempotency-Key`: [`Valid`](crate::Valid) for requests whose effect must happen once.
///
/// The handler can't get at the body without saying what is to happen once:
///
/// ```ignore
/// async fn open_box(
///     State(boxes): State<Boxes>, caller: Caller, request: Idempotent<NewBox>,
/// ) -> Result<Response, Problem> {
///     request
///         .run(async |new| {
///             let unit = boxes.db().write(&caller.actor()).await?;
///             let made = boxes.open(&unit, new).await?;
///             Ok::<_, BoxError>((unit, Created { location, etag: None, body }))
///         })
///         .await
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens until it is run"]
pub struct Idempotent<T> {
    body: T,
    request: Asked,
}

/// The request without its body.
#[derive(Debug)]
struct Asked {
    idempotency: Idempotency,
    actor: Actor,
    request_id: RequestId,
    path: String,
    kept_refusals: Vec<&'static ProblemKind>,
    /// Where its answer is kept and what it asks for. `None` without a key.
    key: Option<(Arc<Slot>, String)>,
}

impl<S: Send + Sync, T: Input> FromRequest<S> for Idempotent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let extensions = request.extensions();
        let context = extensions.get::<RequestContext>().cloned();
        let context = context.ok_or_else(|| Problem::internal("this route is not behind the stack"))?;
        let caller = extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::internal("this route has no access rule"))?;
        let key = IdempotencyKey::read(request.headers())?;
        if key.is_none() && context.shared.require_idempotency_key {
            return Err(IDEMPOTENCY_KEY_REQUIRED.because("Send an Idempotency-Key with this request."));
        }
        let uri = request.uri().clone();
        let route = extensions.get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let actor = caller.actor();
        let scope = key.is_some().then(|| {
            let route = route.as_ref().map_or(uri.path(), MatchedPath::as_str);
            scope(&actor, method.as_str(), route, uri.path())
        });

        let value = read_json(request).await?;
        let body = input::from_json(&value)?;
        let slot = key.zip(scope).map(|(key, scope)| Arc::new(Slot { scope, key: key.into_string() }));
        let request = Asked {
            idempotency: context.shared.idempotency.clone(),
            actor,
            request_id: context.request_id,
            path: uri.path().to_owned(),
            kept_refusals: Vec::new(),
            key: slot.map(|slot| (slot, fingerprint(Some(&value), uri.query()))),
        };
        Ok(Self { body, request })
    }
}

/// Whose keys they are and for what. Readable, for an operator; the path in full only
/// as a digest, because an index's entries have a largest size.
fn scope(actor: &Actor, method: &str, route: &str, path: &str) -> String {
    let who = match (&actor.kind, actor.address) {
        (ActorKind::Anonymous, Some(address)) => format!("anonymous/{address}"),
        (kind, _) => kind.to_string(),
    };
    if route == path {
        format!("{who} {method} {route}")
    } else {
        format!("{who} {method} {route} {}", digest_of(path))
    }
}

impl<T> Idempotent<T> {
    /// The body, to look at.
    #[must_use]
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Refusals of these kinds are final for their key: kept and replayed as if they
    /// were answers. For verdicts on what was asked that a later state must not turn
    /// around, such as insufficient funds.
    ///
    /// # Panics
    /// If one of them is of a status that is never final: 401, 403, 409, 429 or from 500 on.
    pub fn keeping(mut self, refusals: &[&'static ProblemKind]) -> Self {
        for kind in refusals {
            let passing = matches!(kind.status, 401 | 403 | 409 | 429 | 500..);
            assert!(!passing, "{} says that trying again may help, so it is not kept", kind.code);
        }
        self.request.kept_refusals = refusals.to_vec();
        self
    }

    /// Lets `act` happen once for the request's key. Without a key it just happens.
    ///
    /// `act` makes the change in a unit and gives back the unit, open, and the answer: a
    /// success. The answer is put into the unit too, and the unit is committed here. If
    /// another node was quicker the unit is rolled back and that node's answer is given.
    /// An error of `act` leaves nothing behind, and the key is free again, unless it is
    /// among those of [`Idempotent::keeping`].
    ///
    /// # Errors
    /// What `act` returned; 409 while the key's first request is in progress; 422 if the
    /// key stands for another body; or the database's.
    pub async fn run<R, E, F>(self, act: impl FnOnce(T) -> F) -> Result<Response, Problem>
    where
        F: Future<Output = Result<(WriteUnit, R), E>>,
        R: IntoResponse,
        E: Into<Problem>,
    {
        let Self { body, request } = self;
        let attempt = match request.begin().await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Fresh(attempt) => attempt,
        };
        let outcome = attempt.act(act(body)).await;
        attempt.settle(outcome).await
    }

    /// The same for a change that reads and then decides: `work` runs in a unit of
    /// [`Db::write_retrying`](mainstay_db::Db::write_retrying), whose rules it keeps. It
    /// leaves the unit open.
    ///
    /// ```ignore
    /// request
    ///     .keeping(&[&INSUFFICIENT_FUNDS])
    ///     .run_retrying(|unit, transfer| UnitWork::new(ledger.transfer_in(unit, transfer)))
    ///     .await
    /// ```
    ///
    /// # Errors
    /// As [`Idempotent::run`], or the last collision.
    pub async fn run_retrying<'outer, R, E, W>(self, work: W) -> Result<Response, Problem>
    where
        T: Send + Sync,
        R: IntoResponse + Send,
        E: Into<Problem> + Error + Send + 'static,
        W: for<'unit> Fn(&'unit WriteUnit, &'unit T) -> UnitWork<'outer, 'unit, Result<R, E>> + Send + Sync,
    {
        let Self { body, request } = self;
        let attempt = match request.begin().await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Fresh(attempt) => attempt,
        };
        let (attempt_ref, body, work) = (&attempt, &body, &work);
        let outcome = attempt
            .request
            .idempotency
            .0
            .db
            .write_retrying(&attempt.request.actor, |unit| {
                UnitWork::new(async move {
                    let answer = work(unit, body).await.map_err(Setback::Act)?;
                    attempt_ref.keep(unit, answer.into_response()).await
                })
            })
            .await;
        let outcome = outcome.map_err(Setback::into_halt);
        attempt.settle(outcome).await
    }
}

/// How a request begins.
enum Begun {
    /// It was carried out before.
    Answered(Response),
    /// It is to be carried out.
    Fresh(Attempt),
}

/// The request that is carried out for its key, if it has one.
struct Attempt {
    request: Asked,
    _running: Option<Running>,
}

/// Why an attempt was not committed.
enum Halt {
    /// It failed by itself.
    Failed(Problem),
    /// Somebody else's answer stands in its slot.
    Outrun,
    /// Somebody else is about to put one there.
    Blocked,
}

/// The same inside of a unit that may be run again: collisions are found by their source.
#[derive(Debug, thiserror::Error)]
enum Setback<E> {
    #[error("the change failed")]
    Act(#[source] E),
    #[error("the unit failed")]
    Unit(#[from] DbErr),
    #[error("the answer could not be stored")]
    Keep(#[source] DbErr),
    #[error("the answer can't be stored: {0}")]
    Answer(Problem),
    #[error("another request with the same key was quicker")]
    Outrun,
}

impl<E: Into<Problem>> Setback<E> {
    fn into_halt(self) -> Halt {
        match self {
            Self::Act(error) => Halt::Failed(error.into()),
            Self::Unit(error) => Halt::Failed(error.into_problem()),
            Self::Answer(problem) => Halt::Failed(problem),
            Self::Outrun => Halt::Outrun,
            Self::Keep(error) => {
                let problem = error.into_problem();
                // A row is waited for only while another transaction holds it.
                if *problem.kind() == TIMEOUT { Halt::Blocked } else { Halt::Failed(problem) }
            }
        }
    }
}

impl Asked {
    async fn begin(self) -> Result<Begun, Problem> {
        let running = match &self.key {
            None => None,
            Some((slot, _)) => {
                let running = self.idempotency.claim(slot);
                Some(running.ok_or_else(|| self.idempotency.in_progress())?)
            }
        };
        Ok(match self.look_up().await? {
            Some(response) => Begun::Answered(response),
            None => Begun::Fresh(Attempt { request: self, _running: running }),
        })
    }

    /// The first answer, if there is one.
    async fn look_up(&self) -> Result<Option<Response>, Problem> {
        let Some((slot, asked)) = &self.key else { return Ok(None) };
        let Inner { db, sealer, .. } = &*self.idempotency.0;
        let stored = store::find(db.primary(), slot, db.clock().now()).await;
        let Some(stored) = stored.map_err(DbErr::into_problem)? else { return Ok(None) };
        if stored.fingerprint != *asked {
            return Err(self.idempotency.reused());
        }
        let answer = Answer::open(stored, sealer, slot).map_err(Problem::internal)?;
        self.idempotency.count("replayed");
        Ok(Some(answer.replay(&self.request_id)))
    }
}

impl Attempt {
    async fn act<R, E>(
        &self,
        acting: impl Future<Output = Result<(WriteUnit, R), E>>,
    ) -> Result<Response, Halt>
    where
        R: IntoResponse,
        E: Into<Problem>,
    {
        let (unit, answer) = acting.await.map_err(|error| Halt::Failed(error.into()))?;
        match self.keep::<Problem>(&unit, answer.into_response()).await {
            Ok(response) => {
                unit.commit().await.map_err(|error| Halt::Failed(error.into_problem()))?;
                Ok(response)
            }
            Err(setback) => {
                // Waited for, so that its connection is free for what is asked next. One that can't
                // be rolled back was closed, which comes to the same.
                let _ = unit.rollback().await;
                Err(setback.into_halt())
            }
        }
    }

    /// Puts the answer into the unit that it is the answer of.
    async fn keep<E>(&self, unit: &WriteUnit, response: Response) -> Result<Response, Setback<E>> {
        let (answer, response) = Answer::of(response).await.map_err(Setback::Answer)?;
        if self.store(unit, &answer).await.map_err(Setback::Keep)? {
            Ok(response)
        } else {
            Err(Setback::Outrun)
        }
    }

    /// False if another answer is there.
    async fn store(&self, unit: &WriteUnit, answer: &Answer) -> Result<bool, DbErr> {
        let Some((slot, asked)) = &self.request.key else { return Ok(true) };
        let Inner { db, sealer, .. } = &*self.request.idempotency.0;
        let stored: Stored = answer.seal(sealer, slot, asked);
        store::keep(unit, slot, &stored, db.clock().now()).await
    }

    /// The answer to give, whoever made it.
    async fn settle(self, outcome: Result<Response, Halt>) -> Result<Response, Problem> {
        let mut halt = match outcome {
            Ok(response) => return Ok(response),
            Err(halt) => halt,
        };
        let request = &self.request;
        if let Halt::Failed(problem) = &halt
            && request.key.is_some()
            && request.kept_refusals.contains(&problem.kind())
        {
            match self.refuse(problem).await {
                Ok(()) => return Err(problem.clone()),
                Err(instead) => halt = instead,
            }
        }
        match halt {
            Halt::Blocked => Err(request.idempotency.in_progress()),
            Halt::Outrun => request.look_up().await?.ok_or_else(|| request.idempotency.in_progress()),
            // It may have failed just because the same request was carried out by another node
            // ("taken already"), or be a commit whose outcome was not heard.
            Halt::Failed(problem) => match request.look_up().await {
                Ok(Some(response)) => Ok(response),
                Ok(None) | Err(_) => Err(problem),
            },
        }
    }

    /// Keeps a final refusal, in a unit of its own.
    async fn refuse(&self, problem: &Problem) -> Result<(), Halt> {
        let answer = Answer::refusal(problem, &self.request.path);
        let failed = |error: DbErr| Setback::<Problem>::Keep(error).into_halt();
        let unit = self.request.idempotency.0.db.write(&self.request.actor).await.map_err(failed)?;
        if self.store(&unit, &answer).await.map_err(failed)? {
            return unit.commit().await.map_err(failed);
        }
        let _ = unit.rollback().await;
        Err(Halt::Outrun)
    }
}
