//! Reading files again while the server runs: SIGHUP and `longshore reload`.

use super::{ServeArgs, serve_settings};
use crate::server::Server;
use crate::settings::Faults;
use crate::settings::keys::KEYS;

/// Has everything read again that can change while the server runs, and says what is new. Nothing changes when there
/// are faults anywhere.
pub fn reload(args: &ServeArgs, server: &Server) -> Result<Vec<String>, Faults> {
    let result = serve_settings(args).map(|loaded| {
        let mut news = Vec::new();
        if server.reload() {
            news.push("the certificate was read again".to_owned());
        }
        let changed = KEYS.iter().map(|key| (key.name, key.show(&loaded.settings), key.show(server.settings())));
        let changed = changed.filter(|(_, new, in_force)| new != in_force);
        news.extend(changed.map(|(name, new, _)| format!("{name} = {new} takes effect at the next start")));
        news
    });
    match &result {
        Ok(news) if news.is_empty() => tracing::info!("reload: nothing has changed"),
        Ok(news) => news.iter().for_each(|new| tracing::info!("reload: {new}")),
        Err(faults) => {
            faults.iter().for_each(|fault| tracing::error!("reload, without effect: {}: {}", fault.origin, fault.text))
        }
    }
    result
}
