//! Who wrote lately, on any node, and what this node can know about that.
//!
//! Nodes talk over one ordered channel (NOTIFY delivers in the order of commits,
//! to everybody). Each node numbers its messages and hears its own: having heard
//! number *n*, it has heard everything that anybody said before it sent *n*. From
//! that follow the two rules that this module keeps, and with them the promise
//! that nobody's read misses their own write (`docs/read-replicas.md` has the proof):
//!
//! - a node reads from replicas only under a *lease*: while it has heard a message
//!   that it sent at most [`LEASE`] ago, and has been so without a gap for long
//!   enough that every node that writes has heard of it;
//! - a write is answered once every node that may hold a lease has confirmed the
//!   mark, or once it is as old as a replica may be: then they all contain it.
//!
//! Nothing here does I/O or looks at a clock: moments are given.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use mainstay_core::{Actor, ActorKind};
use tokio::sync::watch;

/// How long a node may use replicas on the strength of one message of its own.
pub(super) const LEASE: Duration = Duration::from_millis(400);
/// How often a node says something even if there is nothing to say.
pub(super) const BEAT: Duration = Duration::from_millis(100);
/// A node that was not heard for this long may hold no lease; one that holds a
/// lease was heard by every other node that listens.
const SILENCE: Duration = Duration::from_millis(5 * 400);
/// Added where two moments of one clock are compared: clocks of two machines run
/// at almost, not exactly, the same speed.
const DRIFT: Duration = Duration::from_millis(5);
/// The most marks that fit into one notification of PostgreSQL (8,000 bytes).
const MOST_KEYS: usize = 300;

/// Stands for somebody who writes and reads. Two may share one; then one's write
/// sends the other's reads to the primary too, and nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    /// Whom a write of `actor` is remembered for: the person or the program (the system's own reads
    /// need no mark, they go to the primary); for somebody without a sign-in the address (of IPv6 the network), which is all
    /// that is known of them.
    pub(crate) fn of(actor: &Actor) -> Self {
        match actor.kind {
            ActorKind::User(id) => Self::mix(1, id.uuid().as_bytes()),
            ActorKind::Service(id) => Self::mix(2, id.uuid().as_bytes()),
            ActorKind::System(part) => Self::mix(3, part.as_bytes()),
            ActorKind::Anonymous => Self::at(actor.address),
        }
    }

    /// For whom a read of `actor` must see the writes: themselves, and whoever wrote from there
    /// without a sign-in, because people register before they sign in.
    pub(crate) fn seen_by(actor: &Actor) -> [Self; 2] {
        let own = Self::of(actor);
        [own, actor.address.map_or(own, |address| Self::at(Some(address)))]
    }

    /// A number that spreads callers over replicas.
    pub(super) fn spread(self) -> u64 {
        // The low bits of FNV are its weakest.
        self.0 ^ (self.0 >> 32)
    }

    fn at(address: Option<IpAddr>) -> Self {
        match address {
            Some(IpAddr::V4(address)) => Self::mix(4, &address.octets()),
            Some(IpAddr::V6(address)) => Self::mix(5, &address.octets()[..8]),
            None => Self::mix(6, &[]),
        }
    }

    /// FNV-1a: the same on every node and in every version.
    fn mix(kind: u8, bytes: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(step(0xcbf2_9ce4_8422_2325, &kind), step))
    }
}

/// What nodes say to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: String,
    pub(super) said: Said,
    pub(super) wrote: Vec<Key>,
    /// The highest number heard of these nodes.
    pub(super) heard: Vec<(String, u64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    /// Part of the next numbered message, which did not fit into one notification.
    #[default]
    Part,
    Number(u64),
    /// The node stops: it uses no replica any more.
    Bye,
}

impl Message {
    /// As notifications, in the order to send them.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut chunks = self.wrote.chunks(MOST_KEYS).collect::<Vec<_>>();
        let last = chunks.pop().unwrap_or_default();
        let keys = |keys: &[Key]| join(keys.iter().map(|key| format!("{:x}", key.0)));
        let mut texts: Vec<_> =
            chunks.into_iter().map(|chunk| format!("{} part {} -", self.from, keys(chunk))).collect();
        let said = match self.said {
            Said::Part => "part".to_owned(),
            Said::Number(number) => number.to_string(),
            Said::Bye => "bye".to_owned(),
        };
        let heard = join(self.heard.iter().map(|(node, number)| format!("{node}:{number}")));
        texts.push(format!("{} {said} {} {heard}", self.from, keys(last)));
        texts
    }

    /// `None` for what no node says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let from = fields.next()?.to_owned();
        let said = match fields.next()? {
            "part" => Said::Part,
            "bye" => Said::Bye,
            number => Said::Number(number.parse().ok()?),
        };
        let wrote = list(fields.next()?).map(|key| u64::from_str_radix(key, 16).ok().map(Key));
        let wrote = wrote.collect::<Option<_>>()?;
        let heard = list(fields.next()?).map(|entry| {
            let (node, number) = entry.split_once(':')?;
            Some((node.to_owned(), number.parse().ok()?))
        });
        Some(Self { from, said, wrote, heard: heard.collect::<Option<_>>()? })
    }
}

fn join(items: impl Iterator<Item = String>) -> String {
    let text = items.collect::<Vec<_>>().join(",");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| *item != "-")
}

/// What one node knows.
#[derive(Debug)]
pub(crate) struct Marks {
    node: String,
    bound: Duration,
    written: RwLock<HashMap<Key, Instant>>,
    lease: RwLock<Option<Lease>>,
    talk: Mutex<Talk>,
    /// Counts confirmations.
    confirmed: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// When the last own message that was heard had been sent.
    heard_until: Instant,
    /// Since when there was no gap.
    since: Instant,
}

#[derive(Debug)]
struct Talk {
    /// The number of the next message.
    next: u64,
    /// Own messages not heard yet, and when they were sent.
    sent: VecDeque<(u64, Instant)>,
    untold: Vec<Key>,
    unconfirmed: BTreeMap<String, u64>,
    peers: HashMap<String, Peer>,
}

#[derive(Debug)]
struct Peer {
    heard_at: Instant,
    /// The highest number of ours that it confirmed.
    confirmed: u64,
}

/// A mark on its way.
#[derive(Debug)]
pub(super) struct Announcement {
    number: u64,
    /// Who must confirm it. `None`: nobody knows.
    peers: Option<Vec<String>>,
}

impl Marks {
    /// `node` is this node's name, without blanks, commas and colons; `bound` the age that a
    /// replica's data may have.
    pub(super) fn new(node: String, bound: Duration) -> Self {
        let talk = Talk {
            next: 1,
            sent: VecDeque::new(),
            untold: Vec::new(),
            unconfirmed: BTreeMap::new(),
            peers: HashMap::new(),
        };
        Self {
            node,
            bound,
            written: RwLock::default(),
            lease: RwLock::default(),
            talk: Mutex::new(talk),
            confirmed: watch::Sender::new(0),
        }
    }

    /// How long a write must be remembered, and how long it is kept from being answered at the most.
    pub(super) fn bound(&self) -> Duration {
        self.bound + DRIFT
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that `key` wrote until now.
    pub(super) fn wrote(&self, keys: &[Key], now: Instant) {
        if keys.is_empty() {
            return;
        }
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        if written.len() + keys.len() > written.capacity() {
            // Before it grows, what is over goes.
            written.retain(|_, at| now.saturating_duration_since(*at) <= self.bound());
        }
        written.extend(keys.iter().map(|key| (*key, now)));
    }

    /// Whether one of `keys` wrote so lately that a replica may not contain it.
    pub(super) fn wrote_lately(&self, keys: &[Key], now: Instant) -> bool {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        !written.is_empty()
            && keys.iter().any(|key| {
                written.get(key).is_some_and(|at| now.saturating_duration_since(*at) <= self.bound())
            })
    }

    /// Whether this node knows of every write that was answered, so that replicas may be used.
    /// Ask this before [`Marks::wrote_lately`]: the other way round, a mark that comes
    /// between the two questions is missed.
    pub(super) fn is_informed(&self, now: Instant) -> bool {
        // Who was not here must also wait until what they did not hear is over.
        self.has_lease_for(SILENCE + self.bound(), now)
    }

    fn has_lease_for(&self, time: Duration, now: Instant) -> bool {
        let lease = *self.lease.read().unwrap_or_else(PoisonError::into_inner);
        lease.is_some_and(|lease| {
            now.saturating_duration_since(lease.heard_until) + DRIFT <= LEASE
                && now.saturating_duration_since(lease.since) >= time
        })
    }

    /// Puts a mark into the next message. `None` if there is nobody to tell.
    pub(super) fn announce(&self, key: Key, now: Instant) -> Option<Announcement> {
        let known = self.has_lease_for(SILENCE, now);
        let mut talk = self.talk();
        if known {
            // Who hears nothing can't tell silence from deafness.
            talk.peers.retain(|_, peer| now.saturating_duration_since(peer.heard_at) <= SILENCE + DRIFT);
        }
        if known && talk.peers.is_empty() {
            return None;
        }
        talk.untold.push(key);
        Some(Announcement { number: talk.next, peers: known.then(|| talk.peers.keys().cloned().collect()) })
    }

    /// Whether everybody confirmed it.
    pub(super) fn is_confirmed(&self, announcement: &Announcement) -> bool {
        let Some(peers) = &announcement.peers else { return false };
        let talk = self.talk();
        // A peer that is not there any more said goodbye, or was silent for too long.
        peers.iter().all(|name| talk.peers.get(name).is_none_or(|peer| peer.confirmed >= announcement.number))
    }

    /// Is woken by every confirmation.
    pub(super) fn confirmations(&self) -> watch::Receiver<u64> {
        self.confirmed.subscribe()
    }

    /// The next message, to be sent after `now`.
    pub(super) fn next_message(&self, now: Instant) -> Message {
        let mut talk = self.talk();
        let number = talk.next;
        talk.next += 1;
        talk.sent.push_back((number, now));
        let wrote = std::mem::take(&mut talk.untold);
        let heard = std::mem::take(&mut talk.unconfirmed).into_iter().collect();
        Message { from: self.node.clone(), said: Said::Number(number), wrote, heard }
    }

    /// A message that may not have been sent: what it said goes into the next one.
    pub(super) fn unsent(&self, message: Message) {
        let mut talk = self.talk();
        talk.untold.extend(message.wrote);
        for (node, number) in message.heard {
            let highest = talk.unconfirmed.entry(node).or_default();
            *highest = number.max(*highest);
        }
    }

    /// The last message.
    pub(super) fn goodbye(&self) -> Message {
        Message { from: self.node.clone(), said: Said::Bye, ..Message::default() }
    }

    /// Takes in what was heard. Says whether somebody waits for an answer.
    pub(super) fn hear(&self, message: Message, now: Instant) -> bool {
        if message.from == self.node {
            if let Said::Number(number) = message.said {
                self.heard_own(number, now);
            }
            return false;
        }
        // Before anything else, so that whoever sees the confirmation or the lease sees the marks.
        self.wrote(&message.wrote, now);
        let mut talk = self.talk();
        let number = match message.said {
            Said::Part => return false,
            Said::Bye => {
                talk.peers.remove(&message.from);
                drop(talk);
                self.confirmed.send_modify(|count| *count += 1);
                return false;
            }
            Said::Number(number) => number,
        };
        let own = message.heard.iter().find(|(node, _)| *node == self.node).map(|(_, number)| *number);
        let peer = talk.peers.entry(message.from.clone()).or_insert(Peer { heard_at: now, confirmed: 0 });
        peer.heard_at = now;
        peer.confirmed = peer.confirmed.max(own.unwrap_or(0));
        let asks = !message.wrote.is_empty();
        if asks {
            talk.unconfirmed.insert(message.from, number);
        }
        drop(talk);
        if own.is_some() {
            self.confirmed.send_modify(|count| *count += 1);
        }
        asks
    }

    fn heard_own(&self, number: u64, now: Instant) {
        let mut sent_at = None;
        let mut talk = self.talk();
        while let Some((sent, at)) = talk.sent.front().copied().filter(|(sent, _)| *sent <= number) {
            talk.sent.pop_front();
            if sent == number {
                sent_at = Some(at);
            }
        }
        drop(talk);
        let Some(heard_until) = sent_at else { return };
        let mut lease = self.lease.write().unwrap_or_else(PoisonError::into_inner);
        let unbroken = lease.filter(|lease| now.saturating_duration_since(lease.heard_until) <= LEASE);
        *lease = Some(Lease { heard_until, since: unbroken.map_or(now, |lease| lease.since) });
    }

    /// The link was cut: what is said from now on is not heard.
    pub(super) fn deaf(&self) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.talk().sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::UserId;
    use uuid::Uuid;

    use super::*;

    const BOUND: Duration = Duration::from_millis(500);

    fn key(number: u128) -> Key {
        Key::of(&user(number, None))
    }

    fn user(number: u128, address: Option<IpAddr>) -> Actor {
        let kind = ActorKind::User(UserId::from(Uuid::from_u128(number)));
        Actor { kind, request_id: None, address }
    }

    /// Nodes, and a channel on which messages wait until they are delivered to all.
    struct Nodes {
        marks: Vec<Marks>,
        now: Instant,
    }

    impl Nodes {
        fn new(count: usize) -> Self {
            let marks = (0..count).map(|index| Marks::new(format!("n{index}"), BOUND)).collect();
            Self { marks, now: Instant::now() }
        }

        /// Time passes, and these nodes talk and hear.
        fn pass(&mut self, time: Duration, talking: &[usize]) {
            let end = self.now + time;
            while self.now < end {
                self.now += BEAT;
                for index in talking {
                    self.say(*index, talking);
                }
            }
        }

        fn say(&self, index: usize, heard_by: &[usize]) {
            for text in self.marks[index].next_message(self.now).texts() {
                for other in heard_by {
                    self.marks[*other].hear(Message::parse(&text).unwrap(), self.now);
                }
            }
        }
    }

    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn a_node_alone_uses_replicas_after_a_while_and_tells_nobody() {
        let mut nodes = Nodes::new(1);
        assert!(!nodes.marks[0].is_informed(nodes.now));
        nodes.pass(Duration::from_secs(2), &[0]);
        assert!(!nodes.marks[0].is_informed(nodes.now), "others may not have heard of it");
        nodes.pass(LONG, &[0]);
        assert!(nodes.marks[0].is_informed(nodes.now));
        assert!(nodes.marks[0].announce(key(1), nodes.now).is_none());
    }

    #[test]
    fn a_write_is_confirmed_when_every_other_node_knows_of_it() {
        let mut nodes = Nodes::new(3);
        nodes.pass(LONG, &[0, 1, 2]);
        let announcement = nodes.marks[0].announce(key(1), nodes.now).unwrap();
        assert!(!nodes.marks[0].is_confirmed(&announcement));
        nodes.say(0, &[0, 1, 2]);
        nodes.say(1, &[0, 1, 2]);
        assert!(!nodes.marks[0].is_confirmed(&announcement), "one of two");
        nodes.say(2, &[0, 1, 2]);
        assert!(nodes.marks[0].is_confirmed(&announcement));
        for marks in &nodes.marks[1..] {
            assert!(marks.wrote_lately(&[key(1)], nodes.now));
            assert!(!marks.wrote_lately(&[key(2)], nodes.now));
        }
        nodes.pass(2 * BOUND, &[0, 1, 2]);
        assert!(!nodes.marks[1].wrote_lately(&[key(1)], nodes.now), "by then every replica contains it");
    }

    #[test]
    fn a_node_that_hears_nothing_uses_no_replica_and_is_not_waited_for_in_the_long_run() {
        let mut nodes = Nodes::new(2);
        nodes.pass(LONG, &[0, 1]);
        nodes.now += LEASE;
        assert!(!nodes.marks[1].is_informed(nodes.now));
        nodes.pass(Duration::from_secs(1), &[0]);
        let announcement = nodes.marks[0].announce(key(1), nodes.now);
        assert!(announcement.is_none_or(|it| !nodes.marks[0].is_confirmed(&it)), "it may hold a lease");
        nodes.pass(LONG, &[0]);
        assert!(nodes.marks[0].announce(key(1), nodes.now).is_none());

        // Back again, it is known to all before it uses a replica.
        nodes.pass(Duration::from_secs(1), &[0, 1]);
        assert!(!nodes.marks[1].is_informed(nodes.now));
        assert!(nodes.marks[0].announce(key(1), nodes.now).is_some());
    }

    #[test]
    fn a_node_that_hears_nobody_knows_of_nobody_and_so_waits_for_all() {
        let mut nodes = Nodes::new(2);
        nodes.pass(LONG, &[0, 1]);
        nodes.marks[0].deaf();
        let announcement = nodes.marks[0].announce(key(1), nodes.now).unwrap();
        nodes.say(0, &[1]);
        nodes.say(1, &[1]);
        assert!(!nodes.marks[0].is_confirmed(&announcement));
    }

    #[test]
    fn whoever_leaves_is_waited_for_no_longer() {
        let mut nodes = Nodes::new(2);
        nodes.pass(LONG, &[0, 1]);
        let announcement = nodes.marks[0].announce(key(1), nodes.now).unwrap();
        nodes.marks[0].hear(nodes.marks[1].goodbye(), nodes.now);
        assert!(nodes.marks[0].is_confirmed(&announcement));
        assert!(nodes.marks[0].announce(key(1), nodes.now).is_none());
    }

    #[test]
    fn a_message_that_was_not_sent_is_said_again_and_a_long_one_in_parts() {
        let mut nodes = Nodes::new(2);
        nodes.pass(LONG, &[0, 1]);
        let first = nodes.marks[0].announce(key(0), nodes.now).unwrap();
        for number in 1..1000 {
            nodes.marks[0].announce(key(number), nodes.now);
        }
        let lost = nodes.marks[0].next_message(nodes.now);
        assert!(lost.texts().len() > 1 && lost.texts().iter().all(|text| text.len() < 8000));
        nodes.marks[0].unsent(lost);
        nodes.say(0, &[0, 1]);
        assert!((0..1000).all(|number| nodes.marks[1].wrote_lately(&[key(number)], nodes.now)));
        nodes.say(1, &[0, 1]);
        assert!(nodes.marks[0].is_confirmed(&first));
    }

    #[test]
    fn a_caller_sees_what_was_written_from_their_address_before_they_signed_in() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let guest = Actor { kind: ActorKind::Anonymous, request_id: None, address: Some(address) };
        let marks = Marks::new("n".to_owned(), BOUND);
        let now = Instant::now();
        marks.wrote(&[Key::of(&guest)], now);
        assert!(marks.wrote_lately(&Key::seen_by(&guest), now));
        assert!(marks.wrote_lately(&Key::seen_by(&user(1, Some(address))), now));
        assert!(!marks.wrote_lately(&Key::seen_by(&user(1, Some("192.0.2.2".parse().unwrap()))), now));
        assert!(!marks.wrote_lately(&Key::seen_by(&user(1, None)), now));
    }

    #[test]
    fn what_no_node_says_is_nothing() {
        for text in ["", "n", "n 1", "n 1 -", "n x - -", "n 1 zz -", "n 1 - m", "n 1 - m:x"] {
            assert_eq!(Message::parse(text), None, "{text:?}");
        }
    }
}
