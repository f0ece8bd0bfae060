//! What each scheme can do, as data: the public table of methods, and the source of the convergence tests.

use crate::error::{Error, Result};
use crate::noise::NoiseKind;

/// A scheme's row.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name in the public interface.
    pub name: &'static str,
    /// Strong order, the least over the noise kinds it takes.
    pub strong: Option<f64>,
    /// Weak order.
    pub weak: Option<f64>,
    /// Order of the stationary law.
    pub stationary: Option<f64>,
    /// Itô, Stratonovich, or none.
    pub calculus: &'static str,
    /// The noise kinds it takes.
    pub noise_kinds: &'static [NoiseKind],
    /// Normals drawn in a step of `m` Wiener processes, in words.
    pub normals_per_step: &'static str,
    /// Where it is published.
    pub source: &'static str,
}

use NoiseKind::{
    AdditiveDiagonal, AdditiveFull, Commutative, Diagonal, DiagonalCoupled, Full, Levy, None as NoNoise, Scalar,
};

/// Every scheme. Orders of exact schemes are infinite.
pub const METHODS: &[Method] = &[
    Method {
        name: "rk4",
        strong: Some(4.0),
        weak: Some(4.0),
        stationary: None,
        calculus: "none",
        noise_kinds: &[NoNoise],
        normals_per_step: "0",
        source: "Kutta 1901",
    },
    Method {
        name: "euler_maruyama",
        strong: Some(0.5),
        weak: Some(1.0),
        stationary: Some(1.0),
        calculus: "ito",
        noise_kinds: &[NoNoise, AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m",
        source: "Maruyama 1955; Kloeden & Platen 1992, section 10.2",
    },
    Method {
        name: "milstein",
        strong: Some(1.0),
        weak: Some(1.0),
        stationary: Some(1.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m; with Levy areas m + m(2p + 1) + m(m-1)/2, p terms",
        source: "Milstein 1974; Kloeden & Platen 1992, sections 10.3 and 11.1; areas: Mrongowius & Roessler 2022",
    },
    Method {
        name: "heun",
        strong: Some(1.0),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[NoNoise, AdditiveDiagonal, AdditiveFull],
        normals_per_step: "m",
        source: "Heun 1900; with additive noise: Kloeden & Platen 1992, section 15.1; Milstein & Tretyakov 2004, section 2.2",
    },
    Method {
        name: "platen",
        strong: Some(0.5),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m; and m(m-1)/2 signs where the noise is not diagonal",
        source: "Platen 1984; Kloeden & Platen 1992, section 15.1",
    },
    Method {
        name: "dri1",
        strong: Some(0.5),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m; and m - 1 signs where the noise is not diagonal",
        source: "Debrabant & Roessler 2009, DRI1",
    },
    Method {
        name: "sra1",
        strong: Some(1.5),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull],
        normals_per_step: "2m",
        source: "Roessler 2010, SRA1",
    },
    Method {
        name: "sra3",
        strong: Some(1.5),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull],
        normals_per_step: "2m",
        source: "Roessler 2010, SRA3",
    },
    Method {
        name: "sriw1",
        strong: Some(1.5),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[Diagonal, Scalar],
        normals_per_step: "2m",
        source: "Roessler 2010, SRI1W1",
    },
    Method {
        name: "stratonovich_heun",
        strong: Some(0.5),
        weak: Some(1.0),
        stationary: Some(1.0),
        calculus: "stratonovich",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m",
        source: "Ruemelin 1982; Kloeden & Platen 1992, section 11.1",
    },
    Method {
        name: "exponential_splitting",
        strong: Some(1.0),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull],
        normals_per_step: "m + 2d",
        source: "Strang 1968; exact part: Van Loan 1978",
    },
    Method {
        name: "tamed_euler",
        strong: Some(0.5),
        weak: Some(1.0),
        stationary: Some(1.0),
        calculus: "ito",
        noise_kinds: &[NoNoise, AdditiveDiagonal, AdditiveFull, Diagonal, DiagonalCoupled, Scalar, Commutative, Full],
        normals_per_step: "m",
        source: "Hutzenthaler, Jentzen & Kloeden 2012",
    },
    Method {
        name: "ornstein_uhlenbeck",
        strong: Some(f64::INFINITY),
        weak: Some(f64::INFINITY),
        stationary: Some(f64::INFINITY),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull],
        normals_per_step: "m + d",
        source: "exact; Van Loan 1978",
    },
    Method {
        name: "levy_euler",
        strong: None,
        weak: None,
        stationary: Some(1.0),
        calculus: "ito",
        noise_kinds: &[Levy],
        normals_per_step: "0; d stable numbers",
        source: "Protter & Talay 1997; Simsekli, Sagun & Gurbuzbalaban 2019",
    },
];

/// The row of that name.
pub fn find(name: &str) -> Result<&'static Method> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| {
        let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
        Error::invalid("method", format!("got {name:?}, expected one of {}", names.join(", ")))
    })
}

impl Method {
    /// Refuses a noise kind that the scheme does not take, naming the schemes that would.
    pub fn check(&self, kind: NoiseKind) -> Result<()> {
        if self.noise_kinds.contains(&kind) {
            return Ok(());
        }
        let able: Vec<_> = METHODS.iter().filter(|m| m.noise_kinds.contains(&kind)).map(|m| m.name).collect();
        Err(Error::invalid(
            "method",
            format!("{} does not take noise of kind {:?}; these do: {}", self.name, kind.name(), able.join(", ")),
        ))
    }
}
