//! The equations of RMSprop and Adam against formulas written here anew, quadrature and published solutions.

mod first;
mod ode;
mod one_step;
mod pieces;
mod problem;
mod reference;
mod second;
