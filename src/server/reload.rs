//! Reloading: settings, accounts, certificate and key are read again while the server runs, and taken as a whole or not
//! at all.

use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

use super::{Server, advice};
use crate::accounts::Accounts;
use crate::control::InForce;
use crate::limits::files;
use crate::ports::PassivePorts;
use crate::reach::Surroundings;
use crate::settings::keys::{self, KEYS};
use crate::settings::{Faults, Loaded, Settings};
use crate::tls::Tls;

/// What a reload has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// What holds from now on and did not before, as `key = value`.
    pub changed: Vec<String>,
    /// What is written now and waits for the next start, as `key = value`.
    pub needs_restart: Vec<String>,
    /// Whether the certificate or its key are others than before.
    pub certificate_renewed: bool,
}

/// Loads the settings again, with everything checked.
type Source = Box<dyn Fn() -> Result<Loaded, Faults> + Send>;

/// Puts in force what a [`Part`] has prepared. It cannot fail.
pub type Commit = Box<dyn FnOnce() + Send>;

/// Something beside the server that follows its settings, such as a log. It makes ready what they ask for, and changes
/// nothing before its [`Commit`] is called: another part may find faults.
pub type Part = Box<dyn Fn(&Settings) -> Result<Commit, Faults> + Send>;

/// What a reload goes by. One runs at a time.
#[derive(Default)]
pub(super) struct Reloading {
    source: Option<Source>,
    parts: Vec<Part>,
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// Says where reloads get their settings; without it they keep those in force, and read accounts and certificate again.
    pub fn reload_from(&self, source: impl Fn() -> Result<Loaded, Faults> + Send + 'static) {
        self.reloading().source = Some(Box::new(source));
    }

    /// Has reloads reach this part too.
    pub fn on_reload(&self, part: Part) {
        self.reloading().parts.push(part);
    }

    /// Loads settings, accounts, certificate and key again, and puts them in force for what comes next: sessions and
    /// transfers go on. When anything is wrong anywhere, nothing changes. What came of it is logged.
    pub async fn reload(&self) -> Result<Reloaded, Faults> {
        // Whoever waits for another one's files, on a disk that hangs, holds no thread meanwhile.
        let turn = Arc::clone(&self.reload_turn).lock_owned().await;
        let server = self.clone();
        let result = spawn_blocking(move || {
            let _turn = turn;
            server.reload_now()
        });
        let result = result.await;
        let result = result.unwrap_or_else(|error| Err(Faults::one("reload", format!("it broke off: {error}"))));
        match &result {
            Ok(reloaded) => reloaded.log(),
            Err(faults) => {
                faults.iter().for_each(|fault| tracing::error!("{}: {}", fault.origin, fault.text));
                tracing::error!("nothing was reloaded: settings, accounts and certificate stay as they were");
            }
        }
        result
    }

    fn reload_now(&self) -> Result<Reloaded, Faults> {
        let reloading = self.reloading();
        let before = self.shared.in_force();
        let mut loaded = match &reloading.source {
            Some(source) => source()?,
            None => Loaded::of(Settings::clone(&before.settings)),
        };
        let written = loaded.settings.clone();
        keys::keep_until_restart(&mut loaded.settings, &before.settings);
        let needs_restart = differences(&written, &loaded.settings);
        let mut faults = Faults::default();
        if !needs_restart.is_empty() {
            // What is right as it is written may be wrong beside what stays.
            loaded.check(&mut faults);
            if faults.iter().next().is_some() {
                let stays = needs_restart.join(", ");
                faults
                    .push("reload", format!("{stays} changes at a restart only, and the rest not without it; restart"));
                return Err(faults);
            }
        }
        let settings = loaded.settings;
        let next = prepare(&settings, Some(&before))?;
        let mut commits = Vec::new();
        for part in &reloading.parts {
            match part(&settings) {
                Ok(commit) => commits.push(commit),
                Err(more) => faults.extend(more),
            }
        }
        let reloaded = Reloaded {
            changed: differences(&settings, &before.settings),
            needs_restart,
            certificate_renewed: match (&next.tls, &before.tls) {
                (Some(next), Some(before)) => next.was_renewed(before),
                _ => false,
            },
        };
        let reloaded = faults.or(reloaded)?;
        // Nothing fails from here on.
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(settings.storage.umask));
        if settings.limits.max_sessions != before.settings.limits.max_sessions
            && let Some(advice) = files::advice(&settings, self.addresses.len(), false)
        {
            tracing::warn!("{advice}");
        }
        let around = Surroundings::look();
        let known = advice(&before, &around);
        let news = advice(&next, &around);
        news.iter().filter(|text| !known.contains(text)).for_each(|text| tracing::warn!("{text}"));
        self.shared.limits.change(settings.limits);
        self.shared.put_in_force(next);
        commits.into_iter().for_each(|commit| commit());
        Ok(reloaded)
    }

    fn reloading(&self) -> MutexGuard<'_, Reloading> {
        // A part that panicked has committed nothing that others rely on.
        self.reloading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what these settings name, to follow what was in force `before`.
pub(super) fn prepare(settings: &Settings, before: Option<&InForce>) -> Result<InForce, Faults> {
    let accounts = match before {
        Some(before) => before.accounts.load_again(settings),
        None => Accounts::load(settings),
    };
    let tls = Tls::start(&settings.tls, before.and_then(|before| before.tls.as_deref()));
    let range = settings.server.passive_ports.clone();
    let passive =
        before.map_or_else(|| PassivePorts::new(range.clone()), |before| before.passive.with_range(range.clone()));
    match (accounts, tls) {
        (Ok(accounts), Ok(tls)) => Ok(InForce {
            settings: Arc::new(settings.clone()),
            accounts: Arc::new(accounts),
            passive: Arc::new(passive),
            tls: tls.map(Arc::new),
        }),
        (accounts, tls) => {
            let mut faults = accounts.err().unwrap_or_default();
            faults.extend(tls.err().unwrap_or_default());
            Err(faults)
        }
    }
}

/// The settings that differ, as `key = value`, with the new values.
fn differences(new: &Settings, old: &Settings) -> Vec<String> {
    let settings = KEYS.iter().map(|key| (key.name, key.show(new), key.show(old)));
    let settings = settings.filter(|(_, new, old)| new != old).map(|(name, new, _)| format!("{name} = {new}"));
    let given = (new.accounts.given != old.accounts.given).then(|| "accounts that variables give".to_owned());
    settings.chain(given).collect()
}

impl Reloaded {
    /// What is new, in a few sentences; none when nothing is.
    pub fn sentences(&self) -> Vec<String> {
        let certificate = self.certificate_renewed.then(|| "the certificate was read again".to_owned());
        let changed = (!self.changed.is_empty()).then(|| format!("in force from now on: {}", self.changed.join(", ")));
        let later = (!self.needs_restart.is_empty())
            .then(|| format!("takes effect at the next start: {}", self.needs_restart.join(", ")));
        [certificate, changed, later].into_iter().flatten().collect()
    }

    fn log(&self) {
        match self.sentences().as_slice() {
            [] => tracing::info!("reload: nothing has changed"),
            news => news.iter().for_each(|new| tracing::info!("reload: {new}")),
        }
    }
}
