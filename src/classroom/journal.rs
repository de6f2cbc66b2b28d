//! The journal of a class: what was seen of the students, what they answered and what was decided, a line of JSON each.
//! The marks follow from it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Observation;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The line's number, from 1.
    pub number: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// The student's user name; empty where it is about all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A server began to serve the class. Session numbers begin again.
    Started {
        /// Whether it was an exam.
        exam: bool,
    },
    /// Events were missed, since too much happened at once.
    Missed {
        /// How many.
        events: u64,
    },
    /// Something was seen.
    Seen {
        /// The session's number.
        session: u64,
        /// What.
        what: Observation,
    },
    /// A task was answered.
    Answered {
        /// The task's id.
        task: String,
        /// What was written.
        text: String,
        /// How it came.
        via: Via,
    },
    /// A hint was given.
    Hinted {
        /// The task's id.
        task: String,
    },
    /// A task's folder was restored; what was done before it counts no longer, unless the task was done.
    Reset {
        /// The task's id.
        task: String,
    },
    /// The teacher has decided.
    Overridden {
        /// The task's id.
        task: String,
        /// The points; `None` takes an earlier decision back.
        points: Option<u32>,
        /// Why.
        reason: String,
    },
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// SITE ANSWER.
    Session,
    /// `answers.txt`.
    File,
    /// The page.
    Page,
}
