//! What is wrong with a file, a variable or a flag, all of it at once.

use std::fmt;

use super::value::Bad;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was written: `file:line`, a variable or a flag.
    pub origin: String,
    /// What is wrong and what to do about it.
    pub text: String,
    /// The key whose value is wrong. `None` when more may be in doubt, as behind a misspelt key.
    key: Option<String>,
}

/// Everything that is wrong, in the order of the layers and within a file from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A single fault.
    pub fn one(origin: impl Into<String>, text: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.push(origin, text);
        faults
    }

    /// Adds a fault.
    pub fn push(&mut self, origin: impl Into<String>, text: impl Into<String>) {
        self.0.push(Fault { origin: origin.into(), text: text.into(), key: None });
    }

    /// Adds what is wrong with the value of `key` and with no other.
    pub(crate) fn push_value(&mut self, key: &str, origin: impl Into<String>, text: impl Into<String>) {
        self.0.push(Fault { origin: origin.into(), text: text.into(), key: Some(key.to_owned()) });
    }

    /// Adds what is wrong with the value of `key`, for which `allowed` says what to write.
    pub(crate) fn push_bad(&mut self, key: &str, allowed: &str, bad: Vec<Bad>) {
        for Bad { origin, found, why } in bad {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            self.push_value(key, origin, format!("{key} = {found} is not allowed{why}; write {allowed}"));
        }
    }

    /// Adds a key or section that does not exist, with the nearest of the `known` ones. `place` says where it would be.
    pub(crate) fn push_unknown(&mut self, origin: impl Into<String>, name: &str, place: &str, known: &[&str]) {
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, known)| *distance <= known.len() / 2)
            .map(|(_, known)| format!(" (did you mean {known}?)"))
            .unwrap_or_default();
        let (name, known) = (name.escape_debug(), known.join(", "));
        self.push(origin, format!("there is no \"{name}\" {place}{near}; write one of {known}"));
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Faults) {
        self.0.extend(others.0);
    }

    /// Adds what else is wrong with the same file, and brings all into the order of its lines. A line that was faulty
    /// before keeps its faults: what it seems to say now is not what it was meant to say.
    pub(crate) fn extend_lines(&mut self, others: Faults) {
        let others = others.0.into_iter().filter(|other| self.0.iter().all(|fault| fault.origin != other.origin));
        self.0.extend(others.collect::<Vec<_>>());
        self.0.sort_by_key(|fault| fault.origin.rsplit_once(':').and_then(|(_, line)| line.parse::<usize>().ok()));
    }

    /// Whether the values of `keys` can be relied upon, because only values of others are wrong.
    pub(crate) fn leave_usable(&self, keys: &[&str]) -> bool {
        self.0.iter().all(|fault| fault.key.as_deref().is_some_and(|key| !keys.contains(&key)))
    }

    /// `value`, if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Faults> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Each fault.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { origin, text, .. }) in self.0.iter().enumerate() {
            let end_of_last = if index == 0 { "" } else { "\n" };
            write!(f, "{end_of_last}{origin}: {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
