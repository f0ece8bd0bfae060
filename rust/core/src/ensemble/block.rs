//! One worker's memory, and the time loop of one block.

use super::Control;
use super::plan::Plan;
use crate::block::Span;
use crate::buffer::Buffer;
use crate::dynamics::Floor;
use crate::error::{Error, Result};
use crate::lanes::{LANE_MULTIPLE, Real};
use crate::observe::{Block, GROUP, Look, Recorder};
use crate::scheme::{Step, Steps};
use crate::wiener::{Element, WienerPath};
use std::sync::atomic::{AtomicU64, Ordering};

/// Steps between two reports of progress.
const REPORT: u64 = 256;

/// What a worker needs to run blocks, allocated once.
pub(super) struct Worker<'a, T: Element> {
    plan: &'a Plan<T>,
    control: &'a Control,
    /// Called at every step where the run is on the calling thread: signals and progress.
    tick: &'a dyn Fn(),
    x: Buffer<T>,
    scratch: Buffer<T>,
    noise: WienerPath<T>,
    recorders: Vec<Box<dyn Recorder<T> + 'a>>,
    /// For each step at which something is recorded: (step, observer, index of the time), ascending.
    agenda: &'a [(u64, usize, usize)],
    /// Observers of every step.
    lookers: Vec<usize>,
    /// Whether all are, and there are some: then a block may end when they have what they want.
    may_finish: bool,
    alive: Vec<u64>,
    first_bad: Vec<Option<u64>>,
    taken: Taken,
}

/// What a block took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Path-steps.
    pub steps: u64,
    /// Path-steps after which a variable was below its floor.
    pub touches: u64,
}

impl<'a, T: Element> Worker<'a, T> {
    pub(super) fn new(
        plan: &'a Plan<T>,
        control: &'a Control,
        tick: &'a dyn Fn(),
        agenda: &'a [(u64, usize, usize)],
        width: usize,
    ) -> Self {
        let draws = plan.stepper.draws();
        let observers = plan.observers.iter().enumerate();
        let lookers: Vec<usize> = observers.filter(|(_, observer)| observer.every_step()).map(|(o, _)| o).collect();
        Self {
            plan,
            control,
            tick,
            x: Buffer::new(plan.stepper.dim() * width),
            scratch: Buffer::new(plan.stepper.scratch_rows() * width),
            noise: WienerPath::new(plan.key, plan.grid, plan.cells(), plan.composes(), draws, width),
            recorders: plan.observers.iter().map(|observer| observer.recorder(width)).collect(),
            agenda,
            may_finish: !lookers.is_empty() && lookers.len() == plan.observers.len(),
            lookers,
            alive: Vec::with_capacity(width / GROUP as usize + 2),
            first_bad: vec![None; width],
            taken: Taken::default(),
        }
    }

    /// Runs paths `first..end` and commits them. Diverging paths are found at the end; the block is then run again
    /// without them, as its noise has an address.
    ///
    /// Gives what it took.
    pub(super) fn run_block(&mut self, first: u64, end: u64, bad: &mut Vec<(u64, u64)>, width: usize) -> Result<Taken> {
        let n = (end - first) as usize;
        // Rows are as long as the block needs; every block but the last fills them.
        let span = Span { n, width: n.next_multiple_of(LANE_MULTIPLE).min(width) };
        self.alive.clear();
        for group in first / GROUP..end.div_ceil(GROUP) {
            let begin = first.max(group * GROUP) - group * GROUP;
            let count = end.min((group + 1) * GROUP) - group * GROUP - begin;
            self.alive.push((u64::MAX >> (GROUP - count)) << begin);
        }
        self.advance(first, span, true, false)?;
        let d = self.plan.stepper.dim();
        let x = &self.x[..d * span.width];
        let finite = |p: usize| (0..d).all(|i| x[i * span.width + p].is_finite());
        let (may_finish, recorders) = (self.may_finish, &self.recorders);
        let lost: Vec<usize> = (0..n).filter(|p| !(finite(*p) || may_finish && have_finished(recorders, *p))).collect();
        if !lost.is_empty() {
            if !self.plan.keep_diverged {
                for p in &lost {
                    let path = first + *p as u64;
                    self.alive[(path / GROUP - first / GROUP) as usize] &= !(1 << (path % GROUP));
                }
            }
            self.first_bad.fill(None);
            self.advance(first, span, !self.plan.keep_diverged, true)?;
            bad.extend(lost.iter().map(|p| (first + *p as u64, self.first_bad[*p].unwrap_or(self.plan.n_steps))));
        }
        let block = Block { first_path: first, span, alive: &self.alive };
        for recorder in &mut self.recorders {
            recorder.commit(&block);
        }
        Ok(self.taken)
    }

    fn advance(&mut self, first: u64, span: Span, record: bool, watch: bool) -> Result<()> {
        let plan = self.plan;
        let block = Block { first_path: first, span, alive: &self.alive };
        let x = &mut self.x[..plan.stepper.dim() * span.width];
        let scratch = &mut self.scratch[..plan.stepper.scratch_rows() * span.width];
        plan.initial.fill(plan.key, plan.grid.antithetic, first, span, x)?;
        plan.stepper.begin(x, scratch, span)?;
        self.noise.start_block(first, span.width);
        if record {
            self.taken = Taken::default();
            for recorder in &mut self.recorders {
                recorder.begin(&block);
            }
        }
        let mut agenda = self.agenda.iter().peekable();
        let mut reported = 0;
        let leaps = if self.noise.is_plain() && !watch { plan.stepper.leaps() } else { 1 };
        let mut k = 0;
        loop {
            if watch {
                note_first_bad(x, span, k, &mut self.first_bad);
            }
            while let Some((_, observer, index)) = agenda.next_if(|(at, ..)| *at == k) {
                if record {
                    self.recorders[*observer].record(*index, x, &block)?;
                }
            }
            if record && !self.lookers.is_empty() {
                let ended = k.checked_sub(1).map(|k| plan.step(k));
                let last = ended.map(|(begin, cells, _)| self.noise.at(begin, cells));
                let look = Look { k, t: plan.time(k), last };
                for observer in &self.lookers {
                    self.recorders[*observer].look(&look, x, &block)?;
                }
                if self.may_finish && self.recorders.iter().all(|recorder| recorder.finished()) {
                    break;
                }
            }
            if k == plan.n_steps {
                break;
            }
            if self.control.is_stopped() {
                return Err(Error::Interrupted);
            }
            // Steps taken a second time were reported the first time.
            if k - reported >= REPORT && !watch {
                self.control.advance((k - reported) * span.n as u64);
                reported = k;
            }
            (self.tick)();
            if leaps > 1 {
                let next = agenda.peek().map_or(plan.n_steps, |(at, ..)| *at);
                let most = if self.lookers.is_empty() { leaps.min(next - k) } else { 1 };
                let at = self.noise.at(k, 1);
                let (dw, count) = self.noise.run(k, most);
                plan.stepper.leap(&Steps { t: plan.time(k), h: plan.grid.h, count, dw, at, span }, x)?;
                k += count as u64;
            } else {
                let (begin, cells, h) = plan.step(k);
                let at = self.noise.at(begin, cells);
                let (dw, beside) = self.noise.step(begin, cells);
                let step = Step { t: plan.time(k), h, dw, beside, at, span };
                plan.stepper.step(&step, x, scratch)?;
                if let Some(floor) = plan.floor.as_ref().filter(|_| record) {
                    let recorders = if self.may_finish { self.recorders.as_slice() } else { &[] };
                    self.taken.touches += touches(floor, x, &block, recorders);
                }
                k += 1;
            }
        }
        if record {
            self.taken.steps = k * span.n as u64;
        }
        if !watch {
            self.control.advance((plan.n_steps - reported) * span.n as u64);
        }
        Ok(())
    }
}

/// Whether there are recorders and all have what they want of lane `p`.
fn have_finished<T: Real>(recorders: &[Box<dyn Recorder<T> + '_>], p: usize) -> bool {
    !recorders.is_empty() && recorders.iter().all(|recorder| recorder.has_finished(p))
}

/// How many of the paths that count and go on have a variable below its floor.
fn touches<T: Real>(floor: &Floor, x: &[T], block: &Block<'_>, recorders: &[Box<dyn Recorder<T> + '_>]) -> u64 {
    let width = block.span.width;
    let mut below = 0;
    for (first, lanes) in (0..block.span.n).step_by(64).map(|p| (p, p..(p + 64).min(block.span.n))) {
        let mut mask = 0_u64;
        for (row, least) in x[floor.first_row * width..].chunks_exact(width).zip(&floor.least) {
            let least = T::from_f64(*least);
            for p in lanes.clone() {
                mask |= u64::from(row[p] < least) << (p - first);
            }
        }
        while mask != 0 {
            let p = first + mask.trailing_zeros() as usize;
            below += u64::from(block.is_alive(p) && !have_finished(recorders, p));
            mask &= mask - 1;
        }
    }
    below
}

/// Notes step `k` for every path that is not finite and was until now.
fn note_first_bad<T: Real>(x: &[T], span: Span, k: u64, first_bad: &mut [Option<u64>]) {
    for (p, bad) in first_bad[..span.n].iter_mut().enumerate() {
        if bad.is_none() && !x.iter().skip(p).step_by(span.width).all(|x| x.is_finite()) {
            *bad = Some(k);
        }
    }
}

/// Hands out blocks of paths to workers, in order.
pub(super) struct Queue {
    next: AtomicU64,
    end: u64,
    width: u64,
}

impl Queue {
    pub(super) fn new(range: (u64, u64), width: usize) -> Self {
        Self { next: AtomicU64::new(range.0), end: range.1, width: width as u64 }
    }

    /// The next block. Blocks end at multiples of the group size, wherever the range begins.
    pub(super) fn take(&self) -> Option<(u64, u64)> {
        let mut bounds = (0, 0);
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |first| {
                let aligned = (first / GROUP * GROUP + self.width.max(GROUP)).min(self.end);
                // A width below the group size comes from few paths: then the block is all of them.
                bounds = (first, aligned.min(first + self.width));
                (first < self.end).then_some(bounds.1)
            })
            .is_ok()
            .then_some(bounds)
    }
}
