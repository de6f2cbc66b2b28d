//! A server's processes: what CPU time and memory the whole tree has used, and how to end it.
//!
//! Some servers fork once or twice for each session, so the tree is read anew each time. A child that has ended
//! is counted by its parent, which has waited for it.

use std::collections::HashMap;
use std::fs;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

/// `/proc/PID/stat` counts in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/PID/stat` says of one process.
struct Stat {
    parent: u32,
    /// User and system time, its own and that of the children it has waited for.
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold blanks and brackets; all fields after its last bracket are plain.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// The process and all that descend from it, itself first. Empty where there is no `/proc`.
fn tree(root: u32) -> Vec<(u32, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut all: HashMap<u32, Stat> = pids.filter_map(|pid| Some((pid, Stat::read(pid)?))).collect();
    let mut found: Vec<(u32, Stat)> = all.remove_entry(&root).into_iter().collect();
    let mut next = 0;
    while let Some(&(parent, _)) = found.get(next) {
        let children: Vec<u32> = all.iter().filter(|(_, stat)| stat.parent == parent).map(|(&pid, _)| pid).collect();
        found.extend(children.iter().filter_map(|pid| all.remove_entry(pid)));
        next += 1;
    }
    found
}

/// CPU seconds that the tree below `root` has used so far, if the system tells.
pub fn cpu_seconds(root: u32) -> Option<f64> {
    let tree = tree(root);
    let ticks: u64 = tree.iter().map(|(_, stat)| stat.ticks).sum();
    (!tree.is_empty()).then_some(ticks as f64 / TICKS_PER_SECOND)
}

/// Bytes of memory that the tree below `root` holds, if the system tells. What processes share is counted once.
pub fn memory(root: u32) -> Option<f64> {
    let proportional = |pid: u32| -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
    };
    // A process that has ended meanwhile holds none.
    let held: Vec<f64> = tree(root).into_iter().filter_map(|(pid, _)| proportional(pid)).collect();
    (!held.is_empty()).then(|| held.iter().sum())
}

/// Asks a process to end.
pub fn end(child: &Child) -> std::io::Result<()> {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(std::io::ErrorKind::NotFound)?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Kills the whole tree, the root first so that it starts nothing more, and waits for the root.
pub fn kill(root: &mut Child) {
    for (pid, _) in tree(root.id()) {
        if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
            // One that has gone in the meantime is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    // Where there is no `/proc`, at least the root is known.
    let _ = root.kill();
    let _ = root.wait();
}
