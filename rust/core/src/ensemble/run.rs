//! Runs a plan on some threads, which live no longer than the call.

use super::Control;
use super::block::{Queue, Worker};
use super::desk::Desk;
use super::plan::Plan;
use crate::error::Error;
use crate::wiener::Element;
use std::cell::{Cell, RefCell};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a run leaves besides its observers.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether every path was run to the end.
    pub complete: bool,
    /// Ranges of paths that were, in order.
    pub finished: Vec<(u64, u64)>,
    /// Paths that diverged and the first step at which each was not finite, by path.
    pub diverged: Vec<(u64, u64)>,
    /// Path-steps after which a variable was below its floor, of the paths that count.
    pub floor_touches: u64,
    /// Path-steps of the finished paths.
    pub path_steps: u64,
    /// Threads that ran.
    pub threads: usize,
    /// The failure that stopped the run; what was finished before it is kept.
    pub error: Option<Error>,
}

/// How often the calling thread looks up from waiting.
const POLL: Duration = Duration::from_millis(50);

/// Runs a plan. `poll` is called from this thread about twenty times a second; it stops the run through `control`.
///
/// Workers hand calls of Python over to this thread. One worker alone, if there are such calls, is this thread itself.
pub fn run<T: Element>(plan: &Plan<T>, threads: usize, control: &Control, poll: &mut dyn FnMut()) -> Outcome {
    let width = plan.width(threads.max(1));
    let queue = Queue::new(plan.range, width);
    let blocks = (plan.range.1 - plan.range.0).div_ceil(width as u64).max(1);
    let threads = threads.max(1).min(usize::try_from(blocks).unwrap_or(usize::MAX));
    let agenda = plan.agenda();
    let outcome = Mutex::new(Outcome { threads, ..Outcome::default() });

    let work = |tick: &dyn Fn()| {
        let mut worker = Worker::new(plan, control, tick, &agenda, width);
        let mut bad = Vec::new();
        while let Some((first, end)) = queue.take() {
            bad.clear();
            match worker.run_block(first, end, &mut bad, width) {
                Ok(taken) => {
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    outcome.finished.push((first, end));
                    outcome.diverged.extend(&bad);
                    outcome.floor_touches += taken.touches;
                    outcome.path_steps += taken.steps;
                }
                Err(Error::Interrupted) => return,
                Err(error) => return control.fail(error),
            }
            if control.is_stopped() {
                return;
            }
        }
    };

    if threads == 1 && plan.needs_calling_thread() {
        let last = Cell::new(Instant::now());
        let poll = RefCell::new(poll);
        work(&|| {
            if last.get().elapsed() >= POLL {
                (poll.borrow_mut())();
                last.set(Instant::now());
            }
        });
    } else {
        let (desk, door) = Desk::new();
        std::thread::scope(|scope| {
            let worker = |_| {
                let door = door.clone();
                scope.spawn(|| door.open(|| work(&|| ())))
            };
            let workers: Vec<_> = (0..threads).map(worker).collect();
            drop(door);
            desk.attend(POLL, poll);
            // The scope would wait for the closures alone; a joined thread is gone from the system too.
            for worker in workers {
                if let Err(panic) = worker.join() {
                    let said = panic.downcast_ref::<String>().map(String::as_str);
                    let message = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a worker broke down");
                    control.fail(Error::Defect { message: message.to_owned() });
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
