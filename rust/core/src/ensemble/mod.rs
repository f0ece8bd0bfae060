//! Runs an ensemble: blocks of paths, each from the first step to the last, folded into observers.

mod block;
mod control;
mod desk;
mod initial;
mod plan;
mod run;

pub use control::Control;
pub use desk::on_calling_thread;
pub use initial::{Complete, Initial, Start};
pub use plan::{Plan, Run};
pub use run::{Outcome, run};
