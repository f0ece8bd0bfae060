//! The user's own functions on blocks, whatever language they are written in, and compiled ones called by address.

use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::Real;
use std::ffi::c_void;

/// A function of time and state that answers with some rows for each path.
pub trait BlockFunction<T: Real>: Send + Sync {
    /// Fills `out` with the answer at `x`: its shape for one path is `shape`, entry `r` (last index fastest) of lane `p`
    /// in `out[r * width + p]`.
    fn call(&self, t: f64, x: &[T], shape: &[usize], out: &mut [T], span: Span) -> Result<()>;
    /// Whether it must run on the calling thread, as Python does.
    fn needs_calling_thread(&self) -> bool;
}

/// `f(x, out, n, dim, stride, user_data)`: component `i` of point `p` at `x[i * stride + p]`; 0, or a code that stops.
pub type StateFunction = unsafe extern "C" fn(*const f64, *mut f64, i64, i64, i64, *mut c_void) -> i32;
/// The same with time first.
pub type TimeStateFunction = unsafe extern "C" fn(f64, *const f64, *mut f64, i64, i64, i64, *mut c_void) -> i32;

/// The two signatures.
#[derive(Clone, Copy, Debug)]
enum Signature {
    State(StateFunction),
    TimeState(TimeStateFunction),
}

/// A compiled function, called from several threads at once.
#[derive(Clone, Copy, Debug)]
pub struct Compiled {
    signature: Signature,
    /// Handed through, never read: kept as a number because it is the user's to share between threads.
    user_data: usize,
}

impl Compiled {
    /// A function of the state at `address`; None for a null address.
    ///
    /// # Safety
    /// `address` must be that of a thread-safe function with the signature [`StateFunction`], alive as long as this.
    pub unsafe fn of_state(address: usize, user_data: usize) -> Option<Self> {
        // SAFETY: the caller vouches for the signature; an optional function pointer takes 0 as None.
        let function = unsafe { std::mem::transmute::<usize, Option<StateFunction>>(address) }?;
        Some(Self { signature: Signature::State(function), user_data })
    }

    /// A function of time and state at `address`; None for a null address.
    ///
    /// # Safety
    /// As for [`Compiled::of_state`], with [`TimeStateFunction`].
    pub unsafe fn of_time_and_state(address: usize, user_data: usize) -> Option<Self> {
        // SAFETY: as above.
        let function = unsafe { std::mem::transmute::<usize, Option<TimeStateFunction>>(address) }?;
        Some(Self { signature: Signature::TimeState(function), user_data })
    }
}

impl BlockFunction<f64> for Compiled {
    fn call(&self, t: f64, x: &[f64], shape: &[usize], out: &mut [f64], span: Span) -> Result<()> {
        let (n, stride) = (span.n as i64, span.width as i64);
        let dim = (x.len() / span.width) as i64;
        let rows = shape.iter().product::<usize>();
        span.check(out, rows, "out")?;
        let data = self.user_data as *mut c_void;
        // SAFETY: whoever made this vouched for the function; `x` and `out` hold the rows it is told of.
        let code = unsafe {
            match self.signature {
                Signature::State(f) => f(x.as_ptr(), out.as_mut_ptr(), n, dim, stride, data),
                Signature::TimeState(f) => f(t, x.as_ptr(), out.as_mut_ptr(), n, dim, stride, data),
            }
        };
        if code == 0 { Ok(()) } else { Err(Error::Callback { code }) }
    }
    fn needs_calling_thread(&self) -> bool {
        false
    }
}
