//! Taking connections, and not too many of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    BACKLOG, PeerAddr, TrustAddress,
    connection::{self, Common},
    stats::ConnectionStats,
};

/// First pause after an `accept` that failed for want of resources. It doubles
/// up to [`PAUSE_MAX`] while the failures go on.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) common: Arc<Common>,
    pub(super) places: Arc<Semaphore>,
    pub(super) addresses: Arc<AddressTable>,
}

impl Acceptor {
    /// Accepts until the future is dropped, which loses no connection.
    pub(super) async fn run(&self) {
        let mut pause = PAUSE_MIN;
        loop {
            // The place first: with none free, peers wait in the kernel's queue.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    pause = PAUSE_MIN;
                    self.admit(stream, peer, place);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    // The listener stays readable: without a pause this spins.
                    drop(place);
                    self.common.stats.accept_failed();
                    if pause == PAUSE_MIN || pause == PAUSE_MAX {
                        tracing::error!(%error, "cannot accept connections; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Takes what already waits in the kernel's queue: closing the listener
    /// would reset it.
    pub(super) async fn run_down(&self) {
        // Lets the reactor see what has arrived.
        tokio::task::yield_now().await;
        // No more than the queue holds, or new arrivals would keep it going.
        for _ in 0..BACKLOG {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                return;
            };
            let Some(Ok((stream, peer))) = self.listener.accept().now_or_never() else {
                return;
            };
            self.admit(stream, peer, place);
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let peer = PeerAddr(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let Some(share) = self.addresses.enter(peer.0.ip()) else {
            self.common.stats.refused();
            return;
        };
        // A socket that refuses the option has lost its peer; reading tells.
        let _ = stream.set_nodelay(true);
        let admission = Admission::new(place, share, Arc::clone(&self.common.stats));
        let common = Arc::clone(&self.common);
        drop(self.common.tasks.spawn(async move {
            let _admission = admission;
            connection::run(stream, peer, common).await;
        }));
    }
}

/// The connection was lost between its arrival and `accept`.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What a connection occupies, given back when it is dropped.
struct Admission {
    _place: OwnedSemaphorePermit,
    _share: Option<Share>,
    stats: Arc<ConnectionStats>,
}

impl Admission {
    fn new(place: OwnedSemaphorePermit, share: Option<Share>, stats: Arc<ConnectionStats>) -> Self {
        stats.connection_opened();
        Self { _place: place, _share: share, stats }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.stats.connection_closed();
    }
}

/// Open connections by address.
pub(super) struct AddressTable {
    max: usize,
    exempt: TrustAddress,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl AddressTable {
    pub(super) fn new(max: usize, exempt: TrustAddress) -> Self {
        Self { max, exempt, open: Mutex::default() }
    }

    /// A place for one more connection of `address`: `None` if it has its
    /// share, `Some(None)` if it is not counted.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Option<Share>> {
        if (self.exempt)(address) {
            return Some(None);
        }
        let key = network(address);
        let mut table = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = table.entry(key).or_default();
        if *open >= self.max {
            return None;
        }
        *open += 1;
        Some(Some(Share { table: Arc::clone(self), key }))
    }
}

struct Share {
    table: Arc<AddressTable>,
    key: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.table.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = table.entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What counts as one address: all of IPv4, the /64 of IPv6 that one customer
/// holds.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_share_their_places() {
        let table = Arc::new(AddressTable::new(1, Arc::new(|_| false)));
        let first = table.enter("2001:db8:1:2::3".parse().unwrap());
        assert!(first.is_some());
        assert!(table.enter("2001:db8:1:2:ffff::4".parse().unwrap()).is_none());
        assert!(table.enter("2001:db8:1:3::3".parse().unwrap()).is_some());
        drop(first);
        assert!(table.enter("2001:db8:1:2:ffff::4".parse().unwrap()).is_some());
        assert!(table.open.lock().unwrap().is_empty(), "nothing is kept");
    }
}
