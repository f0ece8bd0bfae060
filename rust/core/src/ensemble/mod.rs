//! Runs an ensemble: blocks of paths, each from the first step to the last, folded into observers.

mod block;
mod control;
mod initial;
mod run;

pub use control::Control;
pub use initial::Initial;
pub use run::{Outcome, Plan, run};
