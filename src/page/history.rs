//! The last minutes, for a teacher who says: look at that again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::row::{Row, RowId};
use super::view::{Face, Rules, id};

/// How far it goes back, in milliseconds.
const SPAN: u64 = 5 * 60 * 1000;

/// How much time makes one frame, in milliseconds.
const FRAME: u64 = 1000;

/// Rows in all frames together; beyond that it goes back less far. Each takes some 400 bytes here and 250 in JSON.
const ROWS: usize = 60_000;

/// The last minutes: the table as it was at their beginning, and what has changed in each second since.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    base: BTreeMap<RowId, Arc<Row>>,
    frames: VecDeque<Arc<Frame>>,
    /// Rows in all frames.
    rows: usize,
}

/// What has changed within a second; `None` for a row that went.
#[derive(Debug, Clone, Default)]
struct Frame {
    begun: u64,
    /// When the last of it happened.
    at: u64,
    rows: BTreeMap<RowId, Option<Arc<Row>>>,
}

impl History {
    pub fn push(&mut self, now: u64, rows: &[Arc<Row>], gone: &[RowId]) {
        if self.frames.back().is_none_or(|frame| now >= frame.begun + FRAME || now < frame.begun) {
            self.frames.push_back(Arc::new(Frame { begun: now, at: now, rows: BTreeMap::new() }));
        }
        // Who reads a copy of the history keeps the old frame.
        if let Some(frame) = self.frames.back_mut() {
            let frame = Arc::make_mut(frame);
            let before = frame.rows.len();
            frame.at = now;
            frame.rows.extend(rows.iter().map(|row| (row.id(), Some(Arc::clone(row)))));
            frame.rows.extend(gone.iter().map(|&id| (id, None)));
            self.rows += frame.rows.len() - before;
        }
        while let Some(oldest) = self.frames.front()
            && (oldest.begun + SPAN < now || self.rows > ROWS)
        {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.rows -= oldest.rows.len();
            for (&id, row) in &oldest.rows {
                match row {
                    Some(row) => drop(self.base.insert(id, Arc::clone(row))),
                    None => drop(self.base.remove(&id)),
                }
            }
        }
    }

    /// All of it as `face` sees it, in JSON.
    pub fn write(&self, face: &Face, rules: &Rules) -> String {
        let seen = |row: &Arc<Row>| rules.row(face, row);
        let base: Vec<String> = self.base.values().filter_map(seen).collect();
        let frames = self.frames.iter().map(|frame| {
            let rows: Vec<String> = frame.rows.values().flatten().filter_map(seen).collect();
            let gone = frame.rows.iter().filter(|(_, row)| row.is_none());
            let gone: Vec<String> = gone.map(|(&row, _)| format!("\"{}\"", id(row))).collect();
            format!("{{\"at\":{},\"rows\":[{}],\"gone\":[{}]}}", frame.at, rows.join(","), gone.join(","))
        });
        let frames: Vec<String> = frames.collect();
        format!("{{\"rows\":[{}],\"frames\":[{}]}}", base.join(","), frames.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::row::Kind;

    fn row(session: u64, opened: u64) -> Arc<Row> {
        Arc::new(Row::new(session, Kind::Control, 0, "192.0.2.1:21".parse().unwrap(), opened))
    }

    fn begins(history: &History) -> Vec<u64> {
        history.frames.iter().map(|frame| frame.begun).collect()
    }

    #[test]
    fn a_second_is_one_frame_and_what_is_old_becomes_the_beginning() {
        let mut history = History::default();
        history.push(1000, &[row(1, 0)], &[]);
        history.push(1900, &[row(1, 1), row(2, 0)], &[]);
        history.push(2000, &[], &[(1, Kind::Control)]);
        assert_eq!((begins(&history), history.rows), (vec![1000, 2000], 3));
        history.push(2001 + SPAN, &[], &[]);
        assert_eq!(begins(&history), [2001 + SPAN]);
        assert_eq!(history.base.keys().collect::<Vec<_>>(), [&(2, Kind::Control)]);
        assert_eq!(history.rows, 0);
    }

    #[test]
    fn so_many_rows_are_kept_and_no_more() {
        let mut history = History::default();
        for second in 0..100 {
            let rows: Vec<_> = (0..1000).map(|session| row(session, second)).collect();
            history.push(second * 1000, &rows, &[]);
        }
        assert_eq!(history.rows, ROWS);
        assert_eq!(begins(&history)[0], 40_000);
        assert_eq!(history.base.values().map(|row| row.opened).max(), Some(39));
    }
}
