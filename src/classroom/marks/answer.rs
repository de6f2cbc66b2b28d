//! Whether an answer is right: it is compared with what was observed, and with what was given to this student.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::sessions::{Fact, Session, Sessions, WINDOW};
use super::steps::{Trial, name_of, side};
use super::words::{Words, canonical, is_text};
use crate::classroom::Observation;
use crate::classroom::journal::{Entry, Record};
use crate::classroom::lesson::Part;
use crate::ports::PortClass;

/// What an answer is compared with.
pub(super) struct Known<'a> {
    pub now: DateTime<Utc>,
    pub own: &'a Sessions,
    /// Whatever sessions others have.
    pub others: &'a [&'a Sessions],
    /// What was seen for this way.
    pub trial: &'a Trial,
    /// The student's word in a quest file, and its digest, by its path.
    pub file_word: &'a dyn Fn(&str) -> Option<String>,
    pub file_digest: &'a dyn Fn(&str) -> Option<String>,
}

/// Why an answer is not right, in a sentence; it gives nothing away that was not seen by the student.
pub(super) type Judged = Result<Vec<Arc<Entry>>, String>;

/// An answer that is being compared, part by part.
struct Comparison<'a> {
    known: &'a Known<'a>,
    words: Words,
    /// The port that was written last.
    port: Option<u32>,
    evidence: Vec<Arc<Entry>>,
}

/// What an answer rests on beside the trial, or why it is not right.
pub(super) fn judge(parts: &[Part], answer: &str, known: &Known<'_>) -> Judged {
    if let [Part::Text(texts)] = parts {
        let is_right = texts.iter().any(|text| is_text(answer, text));
        return if is_right { Ok(Vec::new()) } else { Err("That is not it.".to_owned()) };
    }
    let expected: Vec<&str> = parts.iter().filter_map(expected_word).collect();
    let words = Words::of(answer, &expected);
    let mut comparison = Comparison { known, words, port: None, evidence: Vec::new() };
    for part in parts {
        comparison.part(part)?;
    }
    match comparison.words.has_more() {
        true => Err("You wrote more than was asked for.".to_owned()),
        false => Ok(comparison.evidence),
    }
}

/// A word of the set that a part expects one of.
fn expected_word(part: &Part) -> Option<&str> {
    match part {
        Part::Word(word) => Some(word),
        Part::ClientClass | Part::NeighbourClass | Part::ServerClass => Some("system"),
        Part::ClosedFirst(_) => Some("server"),
        Part::Compared(_) | Part::ComparedPort => Some("same"),
        _ => None,
    }
}

impl Comparison<'_> {
    fn part(&mut self, part: &Part) -> Result<(), String> {
        match part {
            Part::Text(_) => Ok(()),
            Part::Word(word) => self.choice(|| vec![(canonical(word), None)], "That is not it."),
            Part::Number(number) => match self.number()? == *number {
                true => Ok(()),
                false => Err("That is not the number.".to_owned()),
            },
            Part::ClientPort => self.session_port(false, |session| session.client.port()),
            Part::ServerPort => self.session_port(false, |session| session.server.port()),
            Part::NeighbourPort => self.session_port(true, |session| session.client.port()),
            Part::ClientClass => self.class(false, |session| session.client.port()),
            Part::ServerClass => self.class(false, |session| session.server.port()),
            Part::NeighbourClass => self.class(true, |session| session.client.port()),
            Part::ClientPorts { count, right } => self.client_ports(*count, *right),
            Part::Connections(path) => {
                let why = format!("So many were not open at any moment while you downloaded {path}.");
                self.fact(
                    &why,
                    |fact, number| matches!(fact, Fact::Connections(of, count) if of == path && *count == number),
                )
            }
            Part::ClosedFirst(verb) => self.closed_first(verb),
            Part::ListPort => self.fact(
                "No listing of yours came over this port of the server.",
                |fact, number| matches!(fact, Fact::ListPort(port) if u32::from(*port) == number),
            ),
            Part::ActivePort => self.fact(
                "No data connection of yours in active mode came from this port.",
                |fact, number| matches!(fact, Fact::ActivePort(port) if u32::from(*port) == number),
            ),
            Part::PasvPort => self.offered(&["PASV"], "No 227 that you got names this port."),
            Part::EpsvPort => self.offered(&["EPSV"], "No 229 that you got names this port."),
            Part::PortPort => self.offered(&["PORT", "EPRT"], "No PORT or EPRT of yours names this port."),
            Part::DataConnections => {
                let number = self.number()?;
                match self.known.trial.data_connections() {
                    Some((from_first, all)) if number == from_first || number == all => Ok(()),
                    _ => Err("That is not how many data connections there were.".to_owned()),
                }
            }
            Part::CodeOf(step) => {
                let number = self.number()?;
                let entry = self.known.trial.of_step(step - 1);
                match entry.and_then(|entry| code_of(entry)) {
                    Some(code) if u32::from(code) == number => Ok(()),
                    _ => Err(format!("{number} is not the code of that reply.")),
                }
            }
            Part::CaptureWord => {
                let word = self.code_word()?;
                let session = self.known.own.recent(self.known.now).find(|session| session.word == word);
                let session = session.ok_or("This word is not in a session of yours from the last minutes.")?;
                self.evidence.push(Arc::clone(&session.login));
                Ok(())
            }
            Part::FileWord(path) => match Some(self.code_word()?) == (self.known.file_word)(path) {
                true => Ok(()),
                false => Err(format!("This word is not in your {path}.")),
            },
            Part::Compared(path) => self.compared(path),
            Part::ComparedPort => self.compared_port(),
        }
    }

    fn number(&mut self) -> Result<u32, String> {
        self.words.number().ok_or_else(|| "A number is missing in your answer.".to_owned())
    }

    fn code_word(&mut self) -> Result<String, String> {
        self.words.code_word().ok_or_else(|| "Your answer has no word of the kind quick-river-482.".to_owned())
    }

    /// Whether the next word is one of these.
    fn choice(
        &mut self,
        right: impl FnOnce() -> Vec<(&'static str, Option<Arc<Entry>>)>,
        why: &str,
    ) -> Result<(), String> {
        let word = self.words.choice().ok_or("A word is missing in your answer.")?;
        let (_, entry) = right().into_iter().find(|(right, _)| *right == word).ok_or(why)?;
        self.evidence.extend(entry);
        Ok(())
    }

    /// The sessions that a port may be of.
    fn sessions(&self, others: bool) -> Vec<&Session> {
        let known = self.known;
        match others {
            false => known.own.recent(known.now).collect(),
            true => known.others.iter().flat_map(|sessions| sessions.recent(known.now)).collect(),
        }
    }

    fn session_port(&mut self, others: bool, port: impl Fn(&Session) -> u16) -> Result<(), String> {
        let number = self.number()?;
        self.port = Some(number);
        let found = self.sessions(others).into_iter().rev().find(|session| u32::from(port(session)) == number);
        let login = found.map(|session| Arc::clone(&session.login));
        let whose = if others { "of somebody else's" } else { "of one of your" };
        let minutes = WINDOW.num_minutes();
        self.evidence.push(login.ok_or_else(|| {
            format!("{number} is not the port {whose} control connections in the last {minutes} minutes.")
        })?);
        Ok(())
    }

    fn class(&mut self, others: bool, port: impl Fn(&Session) -> u16) -> Result<(), String> {
        if let Some(port) = self.port.take() {
            let class = u16::try_from(port).map_or("", class_of);
            return self.choice(|| vec![(class, None)], &format!("{port} is not in that range."));
        }
        let of = |session: &Session| (class_of(port(session)), Some(Arc::clone(&session.login)));
        let right = self.sessions(others).into_iter().rev().map(of).collect();
        self.choice(|| right, "That is not the range of that port.")
    }

    fn client_ports(&mut self, count: usize, right: usize) -> Result<(), String> {
        let numbers: Vec<u32> = std::iter::from_fn(|| self.words.number()).collect();
        if numbers.len() != count {
            return Err(format!("Write {count} ports; you wrote {}.", numbers.len()));
        }
        let sessions = self.sessions(false);
        let ports: Vec<u32> = sessions.iter().map(|session| u32::from(session.client.port())).collect();
        let logins: Vec<_> = sessions.iter().map(|session| Arc::clone(&session.login)).collect();
        match in_order(&ports, &numbers) {
            found if found.len() >= right => {
                self.evidence.extend(found.into_iter().map(|at| Arc::clone(&logins[at])));
                Ok(())
            }
            found => Err(format!("{} of these ports are yours in this order.", found.len())),
        }
    }

    fn offered(&mut self, verbs: &[&str], why: &str) -> Result<(), String> {
        self.fact(why, |fact, number| {
            matches!(fact, Fact::Offered(verb, port) if verbs.contains(&verb.as_str()) && u32::from(*port) == number)
        })
    }

    /// Whether the next number is in a fact.
    fn fact(&mut self, why: &str, is_it: impl Fn(&Fact, u32) -> bool) -> Result<(), String> {
        let number = self.number()?;
        let (_, entry) = self.known.own.facts(self.known.now).find(|(fact, _)| is_it(fact, number)).ok_or(why)?;
        self.evidence.push(Arc::clone(entry));
        Ok(())
    }

    fn closed_first(&mut self, verb: &str) -> Result<(), String> {
        let last = self.known.own.facts(self.known.now).find_map(|(fact, entry)| match fact {
            Fact::Closed(of, by) if of == verb => Some((side(*by), Some(Arc::clone(entry)))),
            _ => None,
        });
        let last = last.ok_or_else(|| format!("I have seen no whole {verb} of yours in the last minutes."))?;
        self.choice(|| vec![last], &format!("That side did not close first after {verb}."))
    }

    fn compared(&mut self, path: &str) -> Result<(), String> {
        let name = name_of(path);
        let last = self.known.own.facts(self.known.now).find_map(|(fact, entry)| match fact {
            Fact::Ascii(of, digest) if of == name => Some((digest, entry)),
            _ => None,
        });
        let (digest, entry) = last.ok_or_else(|| format!("I have seen no upload of {name} in TYPE A."))?;
        let is_same = (self.known.file_digest)(path).as_ref() == Some(digest);
        let right = (if is_same { "same" } else { "different" }, Some(Arc::clone(entry)));
        self.choice(|| vec![right], "Compare once more.")
    }

    fn compared_port(&mut self) -> Result<(), String> {
        let number = self.number()?;
        let own = self.sessions(false).into_iter().find(|session| u32::from(session.client.port()) == number);
        let right = match own {
            Some(session) => ("same", Some(Arc::clone(&session.login))),
            None => ("different", None),
        };
        self.choice(|| vec![right], &format!("Compare {number} with the port that the server sees once more."))
    }
}

/// The places in `all` of the longest part of `some` that is in `all` in the same order.
fn in_order(all: &[u32], some: &[u32]) -> Vec<usize> {
    // Both are short. `best[i]` is for some[..i] beside what of `all` has been looked at.
    let mut best: Vec<Vec<usize>> = vec![Vec::new(); some.len() + 1];
    for (at, port) in all.iter().enumerate() {
        for i in (1..=some.len()).rev() {
            if some[i - 1] == *port && best[i - 1].len() + 1 > best[i].len() {
                best[i] = [&best[i - 1][..], &[at]].concat();
            }
        }
        for i in 1..=some.len() {
            if best[i - 1].len() > best[i].len() {
                best[i] = best[i - 1].clone();
            }
        }
    }
    best.pop().unwrap_or_default()
}

fn class_of(port: u16) -> &'static str {
    match PortClass::of(port) {
        PortClass::System => "system",
        PortClass::User => "user",
        PortClass::Dynamic => "dynamic",
    }
}

/// The code of the reply that an entry is about.
fn code_of(entry: &Entry) -> Option<u16> {
    match &entry.record {
        Record::Seen { what: Observation::Command { code, .. } | Observation::Refused { code }, .. } => Some(*code),
        _ => None,
    }
}
