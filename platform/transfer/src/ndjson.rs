//! NDJSON: a JSON object on each line.

use std::io::BufRead;

use mainstay_core::{Faults, Input, input};

use crate::Row;
use crate::lines::Lines;
use crate::records::{ReadError, Record};

pub(crate) fn rows<T: Row>(rows: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * 160);
    for row in rows {
        serde_json::to_writer(&mut bytes, &row.object()).expect("memory takes every row");
        bytes.push(b'\n');
    }
    bytes
}

pub(crate) fn next<N: Input, R: BufRead>(lines: &mut Lines<R>) -> Option<Result<Record<N>, ReadError>> {
    loop {
        lines.begin_record();
        let row = match lines.next_line() {
            Ok(None) => return None,
            Ok(Some(line)) if line.trim_ascii().is_empty() => continue,
            Ok(Some(line)) => read(line),
            Err(source) => return Some(Err(ReadError::Io { line: lines.count(), source })),
        };
        return Some(Ok(Record { line: lines.count(), row }));
    }
}

fn read<N: Input>(line: &[u8]) -> Result<N, Faults> {
    let value = serde_json::from_slice(line)
        .map_err(|error| Faults::one("", "malformed", format!("is not JSON: {error}")))?;
    input::from_json(&value)
}
