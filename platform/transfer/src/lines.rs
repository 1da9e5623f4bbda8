//! A file line by line, each counted and none without end.

use std::io::{self, BufRead, Read};

/// Most bytes of one record: more than the largest that an app exports. Whoever forgets a quotation mark makes the rest of
/// the file one record, which must not fill the memory.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Gives out physical lines. Line ends become `\n`, the last line gets one, and
/// a byte order mark goes.
///
/// As a [`Read`] it gives at most one line at a time, so that a parser behind
/// it has seen exactly the lines that were counted.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    file: R,
    line: Vec<u8>,
    /// What [`Read`] has given out of `line`.
    given: usize,
    count: u64,
    bytes_read: u64,
    /// Bytes since the record began.
    record_bytes: usize,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(file: R) -> Self {
        Self { file, line: Vec::new(), given: 0, count: 0, bytes_read: 0, record_bytes: 0 }
    }

    /// How many lines were given out: the number of the last one.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// From here on a new record is read.
    pub(crate) fn begin_record(&mut self) {
        self.record_bytes = 0;
    }

    /// The next line with its `\n`. `None` at the end of the file.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.given = 0;
        let most = MAX_RECORD_BYTES - self.record_bytes;
        let read = self.file.by_ref().take(most as u64 + 1).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.count += 1;
        self.bytes_read += read as u64;
        self.record_bytes += read;
        if self.record_bytes > MAX_RECORD_BYTES {
            let message =
                format!("the record is longer than {MAX_RECORD_BYTES} bytes; is a quotation mark left open?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if self.count == 1 && self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        if self.line.ends_with(b"\n") {
            self.line.pop();
        }
        if self.line.ends_with(b"\r") {
            self.line.pop();
        }
        self.line.push(b'\n');
        Ok(Some(&self.line))
    }
}

impl<R: BufRead> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.line.len() {
            self.next_line()?;
        }
        let mut rest = &self.line[self.given..];
        let read = rest.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_is_the_same() {
        let mut lines = Lines::new("\u{FEFF}a\r\n\r\nb\nc".as_bytes());
        let mut text = String::new();
        lines.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), lines.count(), lines.bytes_read()), ("a\n\nb\nc\n", 4, 11));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_read() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x')));
        assert!(lines.next_line().unwrap_err().to_string().contains("longer than"));
    }
}
