//! What makes no sense in a lesson, although each of its values is allowed.

use std::collections::BTreeSet;

use super::super::marks::words;
use super::super::quest::QuestFile;
use super::{Lesson, Part, Step, Task, Way};

/// The most tasks of a lesson, ways of a task, and steps or parts of a way.
const MOST_TASKS: usize = 100;
const MOST_WAYS: usize = 5;
const MOST_STEPS: usize = 20;

/// The most files of a step.
const MOST_FILES: usize = 100;

/// The most points of a task, and logins of a step.
const MOST_POINTS: u32 = 100;
const MOST_LOGINS: u32 = 20;

/// The longest text in characters.
const LONGEST: usize = 500;

/// The longest title and id in characters.
const LONGEST_TITLE: usize = 60;
const LONGEST_ID: usize = 8;

/// What a student does. Everything else client programs send by themselves, or it is seen in another way.
const CREDITED: [&str; 10] = ["CWD", "CDUP", "PWD", "MKD", "RMD", "DELE", "RNTO", "ABOR", "STAT", "HELP"];

const OFFERS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// A part of a lesson that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    task: Option<usize>,
    way: Option<usize>,
    step: Option<usize>,
    part: Option<usize>,
}

impl Place {
    pub fn lesson() -> Self {
        Self { task: None, way: None, step: None, part: None }
    }

    pub fn task(task: usize) -> Self {
        Self { task: Some(task), ..Self::lesson() }
    }

    pub fn way(self, way: usize) -> Self {
        Self { way: Some(way), ..self }
    }

    pub fn step(self, step: usize) -> Self {
        Self { step: Some(step), ..self }
    }

    pub fn part(self, part: usize) -> Self {
        Self { part: Some(part), ..self }
    }
}

type Checked = Result<(), String>;

/// What is wrong with this part of a lesson, if anything. Folders are looked up only where all `folders_are_known`.
pub(super) fn check(lesson: &Lesson, place: Place, folders_are_known: bool) -> Checked {
    let Some(task) = place.task.and_then(|at| lesson.tasks.get(at)) else { return whole(lesson) };
    let Some(way) = place.way.and_then(|at| task.ways.get(at)) else {
        return self::task(lesson, task, place.task.unwrap_or_default());
    };
    let folders = Folders { lesson, are_known: folders_are_known };
    match (place.step.and_then(|at| way.need.get(at)), place.part.and_then(|at| way.answer.get(at))) {
        (Some(step), _) => self::step(step, task, &folders),
        (_, Some(part)) => self::part(part, way, &folders),
        (None, None) => self::way(way),
    }
}

fn whole(lesson: &Lesson) -> Checked {
    match lesson.tasks.len() {
        0 => Err("there is no task; write [[task]] above each task's keys".to_owned()),
        1..=MOST_TASKS => length("title", &lesson.title, 1, LONGEST_TITLE),
        count => Err(format!("there are {count} tasks; at most {MOST_TASKS} are allowed")),
    }
}

fn task(lesson: &Lesson, task: &Task, at: usize) -> Checked {
    let Task { id, title, ask, points, hint, ways, folder } = task;
    let is_plain = id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if id.is_empty() || id.len() > LONGEST_ID || !is_plain {
        return Err(format!(
            "the id {id:?} is not allowed; write at most {LONGEST_ID} letters, digits and '-', such as A3"
        ));
    }
    if lesson.tasks[..at].iter().any(|other| other.id.eq_ignore_ascii_case(id)) {
        return Err(format!("there are two tasks {id}; give each an id of its own"));
    }
    length("title", title, 1, LONGEST_TITLE)?;
    length("ask", ask, 1, LONGEST)?;
    length("hint", hint, 0, LONGEST)?;
    if !(1..=MOST_POINTS).contains(points) {
        return Err(format!("{id} has {points} points; write points = 1 to {MOST_POINTS}"));
    }
    if ways.is_empty() || ways.len() > MOST_WAYS {
        return Err(format!(
            "{id} can be done in {} ways; write need or answer, or at most {MOST_WAYS} [[task.way]]",
            ways.len()
        ));
    }
    let path = folder.as_ref().map(|folder| &folder.path);
    let others = lesson.tasks[..at].iter().filter_map(|other| other.folder.as_ref());
    match path {
        Some(path) if others.into_iter().any(|other| other.path == *path) => {
            Err(format!("another task has the folder {path}; give each a folder of its own"))
        }
        _ => Ok(()),
    }
}

fn length(name: &str, text: &str, least: usize, most: usize) -> Checked {
    let count = text.chars().count();
    match text.chars().any(char::is_control) {
        true => Err(format!("{name} has control characters; write text")),
        false if (least..=most).contains(&count) => Ok(()),
        false => Err(format!("{name} has {count} characters; write {least} to {most}")),
    }
}

fn way(way: &Way) -> Checked {
    let Way { need, in_order, one_session, answer } = way;
    if need.is_empty() && answer.is_empty() {
        return Err("there is nothing to be seen and nothing to answer; write need or answer".to_owned());
    }
    if need.len() > MOST_STEPS || answer.len() > MOST_STEPS {
        return Err(format!("there are more than {MOST_STEPS} steps or parts of an answer; make several tasks"));
    }
    if need.len() < 2 && *in_order {
        return Err("in_order needs two steps at least; leave it out".to_owned());
    }
    let several = need.iter().any(|step| matches!(step, Step::Sessions { .. }));
    if several && (*one_session || *in_order) {
        return Err(
            "sessions are not in one session and not in an order; leave in_order and one_session out".to_owned()
        );
    }
    Ok(())
}

fn step(step: &Step, task: &Task, folders: &Folders<'_>) -> Checked {
    match step {
        Step::Login { refused: true, tls, family, ftp_exe } if *tls || family.is_some() || *ftp_exe => {
            Err("of a refused login nothing else is known; leave tls, family and ftp_exe out".to_owned())
        }
        Step::Sessions { count, .. } if !(2..=MOST_LOGINS).contains(count) => {
            Err(format!("count = {count} is not allowed; write 2 to {MOST_LOGINS}"))
        }
        Step::List { path, .. } => path.iter().try_for_each(|path| absolute(path)),
        Step::Download { files, only, within, broken, .. } => {
            self::files(files)?;
            within_is_some_time(*within)?;
            if *broken && (files.len() > 1 || *only) {
                return Err("a broken download is of one file, and not only; write a step for each".to_owned());
            }
            if *only { leaves_others(files, task, folders) } else { Ok(()) }
        }
        Step::Upload { files, copy_of, within, .. } => {
            self::files(files)?;
            within_is_some_time(*within)?;
            let Some(copy_of) = copy_of else { return Ok(()) };
            files.iter().try_for_each(|file| {
                let path = format!("{copy_of}/{}", name_of(file));
                folders.knows(&path, true)
            })
        }
        Step::Delete { files, keep } => {
            self::files(files)?;
            keep.iter().try_for_each(|path| absolute(path))?;
            match (files.last(), keep.last()) {
                (Some(last), Some(kept)) if kept >= last => Err(format!(
                    "whoever deletes everything in the order of names has done this before {kept} is deleted; delete a \
                     file with a later name, too"
                )),
                _ => Ok(()),
            }
        }
        Step::Command { verb, path, to, .. } => command(verb, path.as_deref(), to.as_deref()),
        Step::Refused { verbs, path, codes } => {
            if verbs.is_empty() {
                return Err("no verb is named; write verbs = [\"RETR\"]".to_owned());
            }
            verbs.iter().try_for_each(|verb| capitals(verb))?;
            path.iter().try_for_each(|path| absolute(path))?;
            let is_refusal = |code: &u16| (400..600).contains(code);
            match codes.iter().flatten().find(|code| !is_refusal(code)) {
                Some(code) => Err(format!("{code} is no refusal; write codes from 400 to 599")),
                None => Ok(()),
            }
        }
        Step::Offer { verb, .. } if !OFFERS.contains(&verb.as_str()) => {
            Err(format!("verb = {verb:?} is not allowed; write one of {}", OFFERS.join(", ")))
        }
        Step::Login { .. } | Step::Sessions { .. } | Step::Data { .. } | Step::Offer { .. } | Step::ByHand {} => Ok(()),
    }
}

fn command(verb: &str, path: Option<&str>, to: Option<&str>) -> Checked {
    if !CREDITED.contains(&verb) {
        return Err(format!(
            "{verb} shows nothing: client programs send it by themselves, or another step is about it; write one of {}",
            CREDITED.join(", ")
        ));
    }
    path.into_iter().chain(to).try_for_each(absolute)?;
    match (verb, path, to) {
        ("PWD", None | Some("/"), _) => {
            Err("client programs send PWD behind the login; write the path of another working directory".to_owned())
        }
        ("RNTO", Some(_), Some(_)) => Ok(()),
        ("RNTO", ..) => Err("RNTO needs the old path and the new one; write path and to".to_owned()),
        (_, _, Some(_)) => Err("only RNTO has a new path; leave to out".to_owned()),
        _ => Ok(()),
    }
}

fn part(part: &Part, way: &Way, folders: &Folders<'_>) -> Checked {
    match part {
        Part::Text(texts) if texts.is_empty() => Err("no text is named; write at least one".to_owned()),
        Part::Text(_) if way.answer.len() > 1 => {
            Err("text is the whole answer; write word, or leave the other parts out".to_owned())
        }
        Part::Word(word) if words::choices(word).is_empty() => Err(format!(
            "{word:?} is no word that can be told from others; write text, or a class of ports, a side, an FTP verb, yes, no, \
             same or different"
        )),
        Part::ClientPorts { count, right }
            if !(2..=MOST_LOGINS as usize).contains(count) || right > count || *right == 0 =>
        {
            Err(format!("count must be 2 to {MOST_LOGINS}, and right 1 to count"))
        }
        Part::ClientPorts { .. } if way.answer.len() > 1 => {
            Err("client-ports is the whole answer; leave the other parts out".to_owned())
        }
        Part::Connections(path) => absolute(path),
        Part::ClosedFirst(verb) if !["RETR", "STOR", "APPE", "LIST"].contains(&verb.as_str()) => {
            Err(format!("{verb:?} is no transfer; write RETR, STOR, APPE or LIST (for every listing)"))
        }
        Part::DataConnections if !way.one_session || way.need.is_empty() => {
            Err("data-connections are those of one session; write one_session = true and what it has to do".to_owned())
        }
        Part::CodeOf(step) => match step.checked_sub(1).and_then(|at| way.need.get(at)) {
            Some(Step::Refused { .. } | Step::Login { refused: true, .. }) => Ok(()),
            Some(_) => Err(format!("step {step} is no refusal, so its code is nothing to ask for; name one that is")),
            None => Err(format!("there is no step {step}; count them from 1")),
        },
        Part::FileWord(path) => folders.knows(path, false),
        Part::Compared(path) => folders.knows(path, true),
        _ => Ok(()),
    }
}

/// The quest folders of all tasks.
struct Folders<'a> {
    lesson: &'a Lesson,
    are_known: bool,
}

impl Folders<'_> {
    /// Whether there is a file at this path, perhaps in an archive.
    fn knows(&self, path: &str, in_archive: bool) -> Checked {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let is_it =
            |file: &QuestFile| file.name == name || in_archive && file.files.iter().any(|member| member.name == name);
        let found =
            self.lesson.folders().filter(|other| other.path == folder).flat_map(|folder| &folder.files).any(is_it);
        match found || !self.are_known {
            true => Ok(()),
            false => Err(format!("there is no {path} in the folder of any task; write it there, or name another")),
        }
    }
}

/// Whoever takes everything in the order of names must take something else before these are complete.
fn leaves_others(files: &BTreeSet<String>, task: &Task, folders: &Folders<'_>) -> Checked {
    let Some(folder) = task.folder.as_ref().filter(|_| folders.are_known) else { return Ok(()) };
    let all: BTreeSet<String> = folder.files.iter().map(|file| format!("{}/{}", folder.path, file.name)).collect();
    if files.last() == all.last() || !files.is_subset(&all) || files == &all {
        return Ok(());
    }
    Err(format!(
        "whoever takes everything in the order of names has only these at a moment; have the last name be one of them, and not \
         {}",
        all.last().map_or("", |last| name_of(last))
    ))
}

fn files(files: &BTreeSet<String>) -> Checked {
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(format!("there are {} files; name 1 to {MOST_FILES}", files.len()));
    }
    files.iter().try_for_each(|file| absolute(file))
}

fn absolute(path: &str) -> Checked {
    let is_plain = path == "/" || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_name));
    match is_plain && !path.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!("{path:?} is no path in the home; write one that begins with / and has no ..")),
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn within_is_some_time(within: Option<u32>) -> Checked {
    match within {
        Some(0) => Err("within = 0 leaves no time; write seconds".to_owned()),
        _ => Ok(()),
    }
}

fn capitals(verb: &str) -> Checked {
    match !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err(format!("{verb:?} is no verb; write it in capitals, such as RETR")),
    }
}
