//! Where an HTTP/2 peer stands in its byte stream.
//!
//! The protocol library reports complete requests only. A peer that drips one
//! frame, or a header block that never ends, is silent from its point of view
//! and indistinguishable from an idle one. So the frame boundaries (RFC 9113
//! §4.1) are followed here: nine bytes of header, a length to skip, nothing
//! decoded, nothing kept.

/// The bytes every HTTP/2 client sends first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_LEN: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// What the peer has begun and not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// The preface, a header block, or a frame of any kind but DATA.
    Head,
    /// A DATA frame: a request body in progress if there is a request.
    Data,
}

#[derive(Debug, Default)]
pub(super) struct FrameWatch {
    preface: usize,
    header: [u8; HEADER_LEN],
    header_len: usize,
    payload_left: usize,
    in_block: bool,
    greeted: bool,
}

impl FrameWatch {
    /// Follows `bytes`. True when they completed something, so that what is
    /// unfinished now began with these bytes and not earlier.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut completed = false;
        let preface = bytes.len().min(PREFACE.len() - self.preface);
        self.preface += preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.header_len < HEADER_LEN {
                let take = bytes.len().min(HEADER_LEN - self.header_len);
                self.header[self.header_len..self.header_len + take].copy_from_slice(&bytes[..take]);
                self.header_len += take;
                bytes = &bytes[take..];
                if self.header_len < HEADER_LEN {
                    break;
                }
                let [a, b, c, kind, flags, ..] = self.header;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if kind == HEADERS || kind == CONTINUATION {
                    self.in_block = flags & END_HEADERS == 0;
                }
            }
            let skip = bytes.len().min(self.payload_left);
            self.payload_left -= skip;
            bytes = &bytes[skip..];
            if self.payload_left == 0 {
                self.header_len = 0;
                self.greeted = true;
                completed |= !self.in_block;
            }
        }
        completed
    }

    pub(super) fn unfinished(&self) -> Option<Unfinished> {
        if self.in_block || !self.greeted {
            Some(Unfinished::Head)
        } else if self.header_len == 0 {
            None
        } else if self.header_len == HEADER_LEN && self.header[3] == DATA {
            Some(Unfinished::Data)
        } else {
            Some(Unfinished::Head)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        let mut stream = PREFACE.to_vec();
        stream.extend(frame(4, 0, &[0; 12]));
        stream.extend(frame(HEADERS, 0, b"part one"));
        stream.extend(frame(CONTINUATION, END_HEADERS, b"part two"));
        stream.extend(frame(DATA, 1, b"body"));
        for step in 1..=stream.len() {
            let mut watch = FrameWatch::default();
            for piece in stream.chunks(step) {
                watch.feed(piece);
            }
            assert_eq!(watch.unfinished(), None, "in steps of {step}");
        }
    }

    #[test]
    fn an_open_header_block_is_unfinished_between_its_frames() {
        let mut watch = FrameWatch::default();
        watch.feed(PREFACE);
        assert_eq!(watch.unfinished(), Some(Unfinished::Head), "no SETTINGS yet");
        assert!(watch.feed(&frame(4, 0, &[])));
        assert_eq!(watch.unfinished(), None);

        assert!(!watch.feed(&frame(HEADERS, 0, b"start")));
        assert_eq!(watch.unfinished(), Some(Unfinished::Head));
        assert!(!watch.feed(&frame(CONTINUATION, 0, b"more")));
        assert!(watch.feed(&frame(CONTINUATION, END_HEADERS, b"end")));
        assert_eq!(watch.unfinished(), None);
    }

    #[test]
    fn part_of_a_data_frame_is_told_from_part_of_another() {
        let mut watch = FrameWatch::default();
        watch.feed(PREFACE);
        watch.feed(&frame(4, 0, &[]));
        watch.feed(&frame(DATA, 0, b"0123456789")[..12]);
        assert_eq!(watch.unfinished(), Some(Unfinished::Data));
        watch.feed(b"3456789");
        assert_eq!(watch.unfinished(), None);
        watch.feed(&frame(6, 0, &[0; 8])[..10]);
        assert_eq!(watch.unfinished(), Some(Unfinished::Head));
    }
}
