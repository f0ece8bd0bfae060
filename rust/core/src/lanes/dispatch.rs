//! Chooses the instruction set at run time and enters it: one branch per kernel call, none inside.

use super::{Portable, Simd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// An instruction set this library has kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors (F, DQ, VL, BW).
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// Plain arrays, any machine; right but slow where there is no hardware fused multiply-add.
    Portable,
}

impl Isa {
    /// The name used by `OPTSDE_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// The instruction set of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().find(|isa| isa.name() == name)
    }
}

/// A computation that runs on any instruction set. `run` must be `#[inline(always)]`, as must all that it calls.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The computation, on the vectors of `S`.
    fn run<S: Simd>(self) -> Self::Output;
}

/// The instruction sets that this machine can run, best first.
pub fn available() -> Vec<Isa> {
    let mut list = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("fma")
        {
            list.push(Isa::Avx512);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            list.push(Isa::Avx2);
        }
    }
    list.push(Isa::Portable);
    list
}

/// The instruction set in use: an index into [`ORDER`] plus one, or 0 before the first use.
static CHOSEN: AtomicU8 = AtomicU8::new(0);
const ORDER: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

/// The instruction set in use: the best available unless [`choose`] was called first.
#[inline]
pub fn isa() -> Isa {
    match CHOSEN.load(Ordering::Relaxed) {
        1 => Isa::Avx512,
        2 => Isa::Avx2,
        3 => Isa::Portable,
        _ => {
            let best = available()[0];
            choose(best);
            best
        }
    }
}

/// Makes the kernels of this process run on `isa`; false if the machine lacks it. Results are the same on each.
pub fn choose(isa: Isa) -> bool {
    let able = available().contains(&isa);
    if able {
        let index = ORDER.iter().position(|other| *other == isa).unwrap_or(0);
        CHOSEN.store(index as u8 + 1, Ordering::Relaxed);
    }
    able
}

/// Runs `f` with all kernels of the process on `isa`, one caller at a time (for tests; the machine must have it).
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = self::isa();
    assert!(choose(isa), "this machine has no {}", isa.name());
    let result = f();
    choose(before);
    result
}

/// Runs a kernel on the instruction set in use.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    match isa() {
        // SAFETY: `isa` only names instruction sets that were detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { on_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { on_avx2(kernel) },
        _ => kernel.run::<Portable>(),
    }
}

/// Has the function's frame begin a line of the cache, so that vectors for which there are no registers straddle none.
/// The compiler aligns a frame only if it knows before it assigns registers that something in it must be aligned.
#[cfg(target_arch = "x86_64")]
macro_rules! align_stack {
    () => {
        let line = std::mem::MaybeUninit::<Line>::uninit();
        std::hint::black_box(&line);
    };
}

/// A line of the cache.
#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
unsafe fn on_avx512<K: Kernel>(kernel: K) -> K::Output {
    align_stack!();
    kernel.run::<super::avx512::Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2<K: Kernel>(kernel: K) -> K::Output {
    align_stack!();
    kernel.run::<super::avx2::Avx2>()
}
