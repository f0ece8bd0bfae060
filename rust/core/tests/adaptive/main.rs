//! The equations of RMSprop and Adam against the oracles of specifications 4 and 11.

mod first;
mod ode;
mod one_step;
mod pieces;
mod problem;
mod reference;
mod second;
