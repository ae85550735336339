//! What the journals of all running turns may keep together.
//!
//! Rule: past the bound the largest reply ends, so that a small one is never cut for it. A turn that is silent cannot end itself;
//! so that it does not hold the door open for others, past an eighth more whoever writes ends. Deliberately absent: a bound for each
//! server of a process. Memory is the process's.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Bytes of all journals, on a machine that has four times as much memory; on others a quarter of it.
const JOURNALS_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// All journals of a process.
pub struct Journals {
    bytes_max: usize,
    bytes: AtomicUsize,
    sizes: Mutex<Sizes>,
}

#[derive(Default)]
struct Sizes {
    next: u64,
    of: HashMap<u64, Arc<AtomicUsize>>,
}

impl Journals {
    fn of(bytes_max: usize) -> Arc<Self> {
        Arc::new(Journals { bytes_max, bytes: AtomicUsize::new(0), sizes: Mutex::default() })
    }

    /// Those of this process.
    pub fn all() -> &'static Arc<Self> {
        static ALL: LazyLock<Arc<Journals>> =
            LazyLock::new(|| Journals::of(JOURNALS_BYTES_MAX.min(memory_bytes() / 4)));
        &ALL
    }

    /// The place of one more.
    pub fn place(self: &Arc<Self>) -> Place {
        let (mut sizes, size) = (self.sizes(), Arc::default());
        sizes.next += 1;
        let id = sizes.next;
        sizes.of.insert(id, Arc::clone(&size));
        Place { journals: self.clone(), id, size }
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One journal among the others.
pub struct Place {
    journals: Arc<Journals>,
    id: u64,
    size: Arc<AtomicUsize>,
}

impl Place {
    /// Says how large it is now.
    pub fn set(&self, bytes: usize) {
        let before = self.size.swap(bytes, Relaxed);
        self.journals.bytes.fetch_add(bytes, Relaxed);
        self.journals.bytes.fetch_sub(before, Relaxed);
    }

    /// Says that it grows no more; what it keeps for its readers still counts.
    pub fn settle(&self) {
        self.journals.sizes().of.remove(&self.id);
    }

    /// Whether it is to grow no more.
    pub fn must_end(&self) -> bool {
        let (all, max) = (self.journals.bytes.load(Relaxed), self.journals.bytes_max);
        if all <= max {
            return false;
        }
        let own = self.size.load(Relaxed);
        all > max + max / 8 || self.journals.sizes().of.values().all(|size| size.load(Relaxed) <= own)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.set(0);
        self.journals.sizes().of.remove(&self.id);
    }
}

/// The memory of this machine, or of the container; a bound that is nobody's where neither is known.
fn memory_bytes() -> usize {
    let of_machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
    });
    let of_container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    of_machine.into_iter().chain(of_container).min().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_the_largest_ends_and_far_past_it_whoever_writes() {
        let journals = Journals::of(800);
        let (small, large) = (journals.place(), journals.place());
        small.set(100);
        for (bytes, ends) in [(699, false), (700, false), (701, true)] {
            large.set(bytes);
            assert_eq!((large.must_end(), small.must_end()), (ends, false), "{bytes}");
        }
        large.set(800);
        assert!(!small.must_end());
        large.settle();
        assert!(small.must_end(), "the largest that can still end");
        large.set(801);
        assert!(small.must_end());
        drop(large);
        assert!(!small.must_end());
        drop(small);
        assert_eq!((journals.bytes.load(Relaxed), journals.sizes().of.len()), (0, 0));
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(memory_bytes() > JOURNALS_BYTES_MAX / 16);
    }
}
