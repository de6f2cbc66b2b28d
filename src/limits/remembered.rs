//! A memory of bounded size: what was not touched for longest is forgotten first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// The keys by the number of their last touch.
    by_age: BTreeMap<u64, K>,
    touches: u64,
    limit: usize,
}

impl<K: Copy + Eq + Hash, V> Remembered<K, V> {
    pub fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), by_age: BTreeMap::new(), touches: 0, limit }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value of `key`, made when there is none, and the newest from now on.
    pub fn touch(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let is_full = !self.entries.contains_key(&key) && self.entries.len() >= self.limit;
        if let Some((_, oldest)) = is_full.then(|| self.by_age.pop_first()).flatten() {
            self.entries.remove(&oldest);
        }
        self.touches += 1;
        let (touch, value) = self.entries.entry(key).or_insert_with(|| (0, make()));
        self.by_age.remove(touch);
        *touch = self.touches;
        self.by_age.insert(*touch, key);
        value
    }

    pub fn remove(&mut self, key: &K) {
        if let Some((touch, _)) = self.entries.remove(key) {
            self.by_age.remove(&touch);
        }
    }

    /// Forgets what `forget` holds for, and says how much that was.
    pub fn remove_where(&mut self, forget: impl Fn(&K) -> bool) -> usize {
        let keys: Vec<K> = self.entries.keys().filter(|key| forget(key)).copied().collect();
        keys.iter().for_each(|key| self.remove(key));
        keys.len()
    }

    /// Forgets from the oldest on while `is_over` holds.
    pub fn forget_while(&mut self, is_over: impl Fn(&V) -> bool) {
        while let Some((_, key)) = self.by_age.first_key_value() {
            let key = *key;
            if !self.get(&key).is_some_and(&is_over) {
                break;
            }
            self.remove(&key);
        }
    }

    /// Everything, from the oldest on.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_age.values().filter_map(|key| Some((key, self.get(key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_a_touch_makes_young() {
        let mut memory = Remembered::new(3);
        for key in [1, 2, 3, 1, 4] {
            *memory.touch(key, || 0) += 1;
        }
        let entries: Vec<(i32, i32)> = memory.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(entries, [(3, 1), (1, 2), (4, 1)]);
        memory.forget_while(|count| *count == 1);
        assert_eq!(memory.iter().count(), 2);
        assert_eq!(memory.remove_where(|key| *key == 4), 1);
        memory.remove(&1);
        assert_eq!((memory.entries.len(), memory.by_age.len()), (0, 0));
    }
}
