//! Calls to the file system on the async threads.
//!
//! Nearly all of them take microseconds, and giving the thread away for each would take longer than they do. But any of
//! them may hang, on a network's disk that has gone for instance. The runtime helps against neither: a thread that hangs
//! may be the one that was to look for what has come over the network, and nobody else looks then.

use std::future::ready;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// How long everybody else may wait behind a call that hangs.
const TICK: Duration = Duration::from_millis(100);

/// How many threads are in the file system now and were not given away.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Runs `work` on this thread, as long as another one is left for everybody else. The last one is given away first.
pub(crate) fn briefly<T>(work: impl FnOnce() -> T) -> T {
    // A runtime of one thread has none to give away, and is no server's.
    let runtime = Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    let Some(runtime) = runtime else { return work() };
    let inside = Inside(INSIDE.fetch_add(1, Ordering::Relaxed) + 1);
    if inside.0 < runtime.metrics().num_workers() {
        return work();
    }
    drop(inside);
    block_in_place(work)
}

/// One thread of [`INSIDE`], and how many there were with it.
struct Inside(usize);

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Wakes another thread of this runtime while one is in the file system, until `server` is gone: what sleeps in the
/// runtime does not know that nobody looks after the network.
pub(crate) fn watch<T: Send + Sync + 'static>(server: Weak<T>) -> std::io::Result<()> {
    let runtime = Handle::current();
    let watch = move || {
        while server.strong_count() > 0 {
            thread::sleep(TICK);
            if INSIDE.load(Ordering::Relaxed) > 0 {
                drop(runtime.spawn(ready(())));
            }
        }
    };
    thread::Builder::new().name("disk-watch".to_owned()).spawn(watch).map(drop)
}
