//! How an entry stands in Redis: a header of fixed layout, the tags, the value.
//!
//! Whatever can't be read to its end is a miss.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::entry::Times;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 1 + 16 + 5 * 8 + 2;

/// An entry as it came out of Redis.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The horizon that it was loaded behind.
    pub(crate) horizon: i64,
    pub(crate) times: Times,
    pub(crate) hashes: Box<[u32]>,
    /// `None`: there is nothing.
    pub(crate) value: Option<Bytes>,
}

/// `log` tells logs apart: an entry of another database's log is no entry.
pub(crate) fn write(log: u128, stored: &Stored) -> Option<Bytes> {
    let value = stored.value.as_deref().unwrap_or_default();
    let mut out = BytesMut::with_capacity(HEADER + stored.hashes.len() * 4 + value.len());
    out.put_u8(VERSION);
    out.put_u8(u8::from(stored.value.is_some()));
    out.put_u128(log);
    let Times { expires, stale_until, error_until, delta } = stored.times;
    for number in [stored.horizon, expires, stale_until, error_until, delta] {
        out.put_i64(number);
    }
    out.put_u16(u16::try_from(stored.hashes.len()).ok()?);
    stored.hashes.iter().for_each(|hash| out.put_u32(*hash));
    out.put_slice(value);
    Some(out.freeze())
}

/// The horizon of an entry, if it is one.
pub(crate) fn horizon(bytes: &[u8]) -> i64 {
    let at = bytes.get(18..26).and_then(|eight| eight.try_into().ok());
    at.filter(|_| bytes.first() == Some(&VERSION)).map_or(i64::MIN, i64::from_be_bytes)
}

pub(crate) fn read(log: u128, mut bytes: Bytes) -> Option<Stored> {
    if bytes.len() < HEADER || bytes.get_u8() != VERSION {
        return None;
    }
    let is_there = bytes.get_u8() == 1;
    if bytes.get_u128() != log {
        return None;
    }
    let horizon = bytes.get_i64();
    let times = Times {
        expires: bytes.get_i64(),
        stale_until: bytes.get_i64(),
        error_until: bytes.get_i64(),
        delta: bytes.get_i64(),
    };
    let count = usize::from(bytes.get_u16());
    if bytes.len() < count * 4 {
        return None;
    }
    let hashes = (0..count).map(|_| bytes.get_u32()).collect();
    Some(Stored { horizon, times, hashes, value: is_there.then_some(bytes) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(value: Option<Vec<u8>>, hashes: Vec<u32>, number: i64) -> Stored {
        let times = Times { expires: number, stale_until: 2, error_until: 3, delta: 4 };
        Stored { horizon: 7, times, hashes: hashes.into(), value: value.map(Bytes::from) }
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(value: Option<Vec<u8>>, hashes: Vec<u32>, number: i64) {
            let stored = stored(value, hashes, number);
            let bytes = write(9, &stored).unwrap();
            prop_assert_eq!(horizon(&bytes), 7);
            prop_assert_eq!(read(8, bytes.clone()), None);
            prop_assert_eq!(read(9, bytes), Some(stored));
        }

        #[test]
        fn rubbish_is_a_miss_and_no_panic(bytes: Vec<u8>, cut in 0_usize..80) {
            let _none_or_some = read(0, Bytes::from(bytes));
            let whole = write(9, &stored(Some(vec![1]), vec![1, 2], 5)).unwrap();
            let part = whole.slice(..cut.min(whole.len() - 1));
            prop_assert!(read(9, part.clone()).is_none_or(|stored| stored.value == Some(Bytes::new())));
        }
    }
}
