//! A class: its directory, its students, their lesson and their marks.
//!
//! A class lives in one [`Directory`]. `longshore classroom new` makes it, `start` serves it. Nothing in the sessions
//! knows of it: it learns what happens from the events, like the session log, and is asked by control through
//! [`Practice`](crate::Practice).

mod cards;
mod class;
mod credentials;
mod directory;
mod enrolment;
mod escape;
pub mod export;
mod files;
mod founding;
pub mod homes;
pub mod journal;
pub mod lesson;
mod live;
pub mod marks;
mod observation;
mod observer;
pub mod quest;
mod roster;
pub mod seed;
mod site;
mod student;
pub mod term;

pub use cards::{Address, cards, credentials, lan_address};
pub use class::{Card, Class, lesson_of, pin, settings};
pub use directory::Directory;
pub use enrolment::{Change, Enrolment};
pub use files::replace;
pub use founding::found;
pub use live::{Classroom, ClassroomRequest, Verdict, decision, told};
pub use observation::Observation;
pub use roster::{Entry, Roster};
pub use student::{Student, Students};
