//! Work that only the calling thread may do, such as calling Python: workers hand it over and wait for the answer.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Where this thread, a worker, hands work over; none on a calling thread.
    static DESK: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
}

/// Runs `f` on the thread that called the engine; None where that thread has gone.
pub fn on_calling_thread<R: Send>(f: impl FnOnce() -> R + Send) -> Option<R> {
    let Some(desk) = DESK.with_borrow(Clone::clone) else { return Some(f()) };
    let (answer, answered) = sync_channel(1);
    let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || drop(answer.send(f())));
    // SAFETY: this function waits until the job has run or been dropped: `answered` hangs up then, not before. So what
    // the job borrows outlives it.
    let job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
    desk.send(job).ok()?;
    drop(desk);
    answered.recv().ok()
}

/// The calling thread's side.
pub(super) struct Desk {
    jobs: Receiver<Job>,
}

/// A worker's side.
#[derive(Clone)]
pub(super) struct Door(Sender<Job>);

impl Desk {
    pub(super) fn new() -> (Self, Door) {
        let (sender, jobs) = channel();
        (Self { jobs }, Door(sender))
    }

    /// Does what is handed over until every door is closed; `poll` is called every `interval`.
    pub(super) fn attend(self, interval: Duration, poll: &mut dyn FnMut()) {
        let mut next = Instant::now() + interval;
        loop {
            match self.jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(job) => job(),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                poll();
                next = Instant::now() + interval;
            }
        }
    }
}

impl Door {
    /// Runs `work` on this thread, with the desk open to it.
    pub(super) fn open<R>(self, work: impl FnOnce() -> R) -> R {
        DESK.set(Some(self.0));
        let result = work();
        DESK.set(None);
        result
    }
}
