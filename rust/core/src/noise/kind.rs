//! The structure of a diffusion factor, which decides what a scheme may do with it.

/// How the diffusion factor `b(x)` of an SDE is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoiseKind {
    /// No noise.
    None,
    /// Constant and diagonal.
    AdditiveDiagonal,
    /// Constant and full.
    AdditiveFull,
    /// Diagonal, `b_i` depends on `x_i` alone.
    Diagonal,
    /// Diagonal, `b_i` depends on other coordinates too: not commutative.
    DiagonalCoupled,
    /// One Wiener process.
    Scalar,
    /// Full, with `L^i b^j = L^j b^i`.
    Commutative,
    /// Anything else.
    Full,
    /// No Wiener process, but a stable Lévy process.
    Levy,
}

impl NoiseKind {
    /// Every kind.
    pub const ALL: [NoiseKind; 9] = [
        NoiseKind::None,
        NoiseKind::AdditiveDiagonal,
        NoiseKind::AdditiveFull,
        NoiseKind::Diagonal,
        NoiseKind::DiagonalCoupled,
        NoiseKind::Scalar,
        NoiseKind::Commutative,
        NoiseKind::Full,
        NoiseKind::Levy,
    ];

    /// The name in the public interface.
    pub fn name(self) -> &'static str {
        match self {
            NoiseKind::None => "none",
            NoiseKind::AdditiveDiagonal => "additive_diagonal",
            NoiseKind::AdditiveFull => "additive_full",
            NoiseKind::Diagonal => "diagonal",
            NoiseKind::DiagonalCoupled => "diagonal_coupled",
            NoiseKind::Scalar => "scalar",
            NoiseKind::Commutative => "commutative",
            NoiseKind::Full => "full",
            NoiseKind::Levy => "levy",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Does not depend on the state.
    pub fn is_additive(self) -> bool {
        matches!(self, NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull)
    }

    /// One standard deviation a coordinate.
    pub fn is_diagonal(self) -> bool {
        matches!(self, NoiseKind::AdditiveDiagonal | NoiseKind::Diagonal | NoiseKind::DiagonalCoupled)
    }

    /// Its iterated integrals need no Lévy area.
    pub fn is_commutative(self) -> bool {
        !matches!(self, NoiseKind::DiagonalCoupled | NoiseKind::Full | NoiseKind::Levy)
    }
}
