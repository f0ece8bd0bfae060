//! What each scheme can do, as data: the public table of methods, and the source of the convergence tests.

use crate::dynamics::Sde;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::noise::{Factor, NoiseKind};

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
        name: "leimkuhler_matthews",
        strong: Some(0.5),
        weak: Some(1.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveDiagonal, AdditiveFull],
        normals_per_step: "m",
        source: "Leimkuhler & Matthews 2013; Leimkuhler, Matthews & Tretyakov 2014",
    },
    Method {
        name: "baoab",
        strong: Some(1.0),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveFull],
        normals_per_step: "m",
        source: "Leimkuhler & Matthews 2013",
    },
    Method {
        name: "obabo",
        strong: Some(1.0),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveFull],
        normals_per_step: "2m",
        source: "Bussi & Parrinello 2007; Leimkuhler & Matthews 2013",
    },
    Method {
        name: "ubu",
        strong: Some(2.0),
        weak: Some(2.0),
        stationary: Some(2.0),
        calculus: "ito",
        noise_kinds: &[AdditiveFull],
        normals_per_step: "4m",
        source: "Zapatero 2017; Sanz-Serna & Zygalakis 2021",
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

/// What a scheme needs of an equation beside its kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A linear drift.
    Linear,
    /// A drift `-M ∇f`, and noise of covariance proportional to `M`.
    Reversible,
    /// An equation of underdamped Langevin dynamics.
    Underdamped,
}

impl Needs {
    /// In words; empty where it is nothing.
    pub fn words(self) -> &'static str {
        match self {
            Needs::Nothing => "",
            Needs::Linear => "a linear drift and constant noise",
            Needs::Reversible => "a drift -M grad f with constant noise of covariance proportional to M",
            Needs::Underdamped => "underdamped Langevin dynamics: constant friction and constant noise on a velocity",
        }
    }

    fn are_met<T: Real>(self, sde: &dyn Sde<T>) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Linear => sde.linear().is_some(),
            Needs::Reversible => is_reversible(sde),
            Needs::Underdamped => sde.underdamped().is_some(),
        }
    }
}

/// Whether the noise of a gradient drift has a covariance proportional to its mobility.
fn is_reversible<T: Real>(sde: &dyn Sde<T>) -> bool {
    let (Some(mobility), Some(factor)) = (sde.mobility(), sde.constant()) else { return false };
    let rate = factor.variance(0) / mobility[0];
    let near = |a: f64, b: f64| (a - b).abs() <= PROPORTIONAL * b;
    if !mobility.iter().enumerate().all(|(i, m)| near(factor.variance(i), rate * m)) {
        return false;
    }
    match factor {
        Factor::Diagonal(_) => true,
        Factor::Lower(lower) => {
            let cov = lower.congruence(&Matrix::identity(lower.cols()));
            let pairs = (0..cov.rows()).flat_map(|i| (0..i).map(move |j| (i, j)));
            pairs.into_iter().all(|(i, j)| cov[(i, j)].abs() <= PROPORTIONAL * (cov[(i, i)] * cov[(j, j)]).sqrt())
        }
    }
}

/// How far from proportional rounding may leave a covariance.
const PROPORTIONAL: f64 = 1e-10;

impl Method {
    /// What it needs of an equation beside its kind of noise.
    pub fn needs(&self) -> Needs {
        match self.name {
            "ornstein_uhlenbeck" => Needs::Linear,
            "leimkuhler_matthews" => Needs::Reversible,
            "baoab" | "obabo" | "ubu" => Needs::Underdamped,
            _ => Needs::Nothing,
        }
    }

    /// Refuses an equation that the scheme does not take, naming the schemes that would.
    pub fn check<T: Real>(&self, sde: &dyn Sde<T>) -> Result<()> {
        let (kind, needs) = (sde.kind(), self.needs());
        let fits = |method: &Method| method.noise_kinds.contains(&kind) && method.needs().are_met(sde);
        if fits(self) {
            return Ok(());
        }
        let able: Vec<_> = METHODS.iter().filter(|method| fits(method)).map(|method| method.name).collect();
        let (name, able) = (self.name, able.join(", "));
        Err(Error::invalid(
            "method",
            if needs == Needs::Nothing || !self.noise_kinds.contains(&kind) && needs.are_met(sde) {
                format!("{name} does not take noise of kind '{}'; these do: {able}", kind.name())
            } else {
                format!("{name} needs {}; these do not: {able}", needs.words())
            },
        ))
    }
}
