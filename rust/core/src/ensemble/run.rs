//! The plan of a run, and its execution on some threads.

use super::block::{Queue, Worker};
use super::{Control, Initial};
use crate::error::Error;
use crate::lanes::LANE_MULTIPLE;
use crate::observe::{GROUP, Observer};
use crate::scheme::Stepper;
use crate::wiener::{Element, Grid};
use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Everything that decides the numbers of a run.
pub struct Plan<T: Element> {
    /// What advances a block.
    pub stepper: Arc<dyn Stepper<T>>,
    /// Where paths start.
    pub initial: Initial<T>,
    /// The address of all noise.
    pub key: u64,
    /// Steps and cells.
    pub grid: Grid,
    /// Time at the start.
    pub t0: f64,
    /// Absolute index of the first step: noise is addressed by it.
    pub first_step: u64,
    /// Steps to take.
    pub n_steps: u64,
    /// Paths of the ensemble.
    pub n_paths: u64,
    /// The paths of it to run.
    pub range: (u64, u64),
    /// What is recorded.
    pub observers: Vec<Arc<dyn Observer<T>>>,
    /// Whether diverged paths count in the statistics.
    pub keep_diverged: bool,
}

impl<T: Element> Plan<T> {
    /// Time at the `k`-th step: on the absolute grid where the start is on it, so that a run split in two sees the
    /// same times as the whole.
    pub(super) fn time(&self, k: u64) -> f64 {
        let h = self.grid.h;
        let start = self.first_step as f64 * h;
        if (start - self.t0).abs() <= 1e-9 * h.max(self.t0.abs()) {
            (self.first_step + k) as f64 * h
        } else {
            self.t0 + k as f64 * h
        }
    }

    /// Whether a callback binds the run to the calling thread.
    pub fn needs_calling_thread(&self) -> bool {
        self.stepper.needs_calling_thread() || self.observers.iter().any(|observer| observer.needs_calling_thread())
    }

    /// Lanes of a block: its memory in the first-level cache or, where one group of paths is too much, beyond it.
    /// Python is called with thousands of paths at a time.
    fn width(&self, threads: usize) -> usize {
        const NEAR: usize = 24 << 10;
        const FAR: usize = 1 << 20;
        let draws = self.stepper.draws();
        let squares = if draws.iterated { 2 * draws.wiener * draws.wiener } else { 0 };
        let rows = self.stepper.dim() + self.stepper.scratch_rows() + 2 * (draws.wiener + draws.residuals) + squares;
        let lane = rows * T::BYTES;
        let group = GROUP as usize;
        let calls_python = self.needs_calling_thread();
        let (least, most, memory) = if calls_python { (5 * group, 255 * group, FAR) } else { (group, 9 * group, NEAR) };
        // An odd number of groups: rows a power of two apart would share few sets of the cache.
        let width = ((memory / lane / group).saturating_sub(1) / 2 * 2 + 1) * group;
        let width = width.clamp(least, most);
        let paths = (self.range.1 - self.range.0) as usize;
        // Few paths: shorter blocks, one for each thread at least.
        let share = if calls_python { paths } else { paths.div_ceil(threads).next_multiple_of(group).min(paths) };
        width.min(share.next_multiple_of(LANE_MULTIPLE))
    }

    fn agenda(&self) -> Vec<(u64, usize, usize)> {
        let mut agenda: Vec<_> = self
            .observers
            .iter()
            .enumerate()
            .flat_map(|(o, observer)| observer.at().iter().enumerate().map(move |(k, at)| (*at, o, k)))
            .collect();
        agenda.sort_unstable();
        agenda
    }
}

/// What a run leaves besides its observers.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether every path was run to the end.
    pub complete: bool,
    /// Ranges of paths that were, in order.
    pub finished: Vec<(u64, u64)>,
    /// Paths that diverged and the first step at which each was not finite, by path.
    pub diverged: Vec<(u64, u64)>,
    /// Threads that ran.
    pub threads: usize,
    /// The failure that stopped the run; what was finished before it is kept.
    pub error: Option<Error>,
}

/// How often the calling thread looks up from waiting.
const POLL: Duration = Duration::from_millis(50);

/// Runs a plan. `poll` is called from this thread about twenty times a second while it waits; it stops the run through
/// `control`. Threads live no longer than the call.
pub fn run<T: Element>(plan: &Plan<T>, threads: usize, control: &Control, poll: &mut dyn FnMut()) -> Outcome {
    let inline = plan.needs_calling_thread();
    let threads = if inline { 1 } else { threads.max(1) };
    let width = plan.width(threads);
    let queue = Queue::new(plan.range, width);
    let blocks = (plan.range.1 - plan.range.0).div_ceil(width as u64).max(1);
    let threads = threads.min(usize::try_from(blocks).unwrap_or(usize::MAX));
    let agenda = plan.agenda();
    let outcome = Mutex::new(Outcome { threads, ..Outcome::default() });

    let work = |tick: &dyn Fn()| {
        let mut worker = Worker::new(plan, control, tick, &agenda, width);
        let mut bad = Vec::new();
        while let Some((first, end)) = queue.take() {
            bad.clear();
            match worker.run_block(first, end, &mut bad, width) {
                Ok(()) => {
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    outcome.finished.push((first, end));
                    outcome.diverged.extend(&bad);
                }
                Err(Error::Interrupted) => return,
                Err(error) => return control.fail(error),
            }
            if control.is_stopped() {
                return;
            }
        }
    };

    if inline {
        let last = Cell::new(Instant::now());
        let poll = std::cell::RefCell::new(poll);
        work(&|| {
            if last.get().elapsed() >= POLL {
                (poll.borrow_mut())();
                last.set(Instant::now());
            }
        });
    } else {
        let running = (Mutex::new(threads), Condvar::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    // Counted down also when unwinding, or the wait below would never end.
                    let _done = CountDown(&running);
                    work(&|| ());
                });
            }
            let (count, changed) = &running;
            let mut left = count.lock().unwrap_or_else(PoisonError::into_inner);
            while *left > 0 {
                let (guard, wait) = changed.wait_timeout(left, POLL).unwrap_or_else(PoisonError::into_inner);
                left = guard;
                if wait.timed_out() {
                    drop(left);
                    poll();
                    left = count.lock().unwrap_or_else(PoisonError::into_inner);
                }
            }
        });
    }

    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.finished.sort_unstable();
    outcome.diverged.sort_unstable();
    outcome.error = control.take_error();
    outcome.complete = outcome.finished.iter().map(|(a, b)| b - a).sum::<u64>() == plan.range.1 - plan.range.0;
    outcome
}

struct CountDown<'a>(&'a (Mutex<usize>, Condvar));

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.1.notify_all();
    }
}
