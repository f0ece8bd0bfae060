//! The native module of optsde: turns descriptions into runs of the core, and their results into NumPy arrays.

mod callback;
mod describe;
mod errors;
mod generator;
mod heavy_tails;
mod info;
mod minibatch;
mod observers;
mod optimizers;
mod points;
mod simulate;
mod stats;

/// The native module; its stub says what each function takes.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use super::errors::CallbackError;
    #[pymodule_export]
    use super::generator::{normals, time_minibatches, time_normals};
    #[pymodule_export]
    use super::info::{default_threads, info, methods};
    #[pymodule_export]
    use super::points::{
        check_method, drift, dynamics_n_wiener, dynamics_noise_kind, loss_example_grads, loss_grad, loss_hessian,
        loss_third, loss_value, noise_factor,
    };
    #[pymodule_export]
    use super::simulate::simulate;
    #[pymodule_export]
    use super::stats::merge_forests;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::info::choose_instruction_set()
    }
}
