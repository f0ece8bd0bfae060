"""Noise of heavy tails: Student's t, whose variance is finite, and α-stable, whose is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import (
    FloatArray,
    as_vector,
    as_vector_or_matrix,
    common_dim,
    covariance,
    flag,
    integer,
    real_number,
    scalar_vector,
    size_of,
)
from optsde.losses import Loss
from optsde.noise._base import Noise


@dataclass(frozen=True, init=False, eq=False, repr=False)
class StudentT(Noise):
    """Student-t noise ``z = L t``, ``L Lᵀ = cov``: components of t independent, of unit variance.

    The noise of a step is that law with covariance ``cov / batch_size``: it is not averaged to a normal law. The
    variance is finite, so the equations of an optimizer hold as they are and have normal noise of the same
    covariance; those of RMSprop and Adam beyond order 1 have its fourth moments too, and need df > 4.

    Parameters
    ----------
    df : float
        Degrees of freedom ν, > 2; the kurtosis of a component of t is ``3 + 6/(ν - 4)`` for ν > 4.
    cov : float, (d,) or (d, d) array_like
        Covariance of one example's gradient: isotropic, diagonal or full (symmetric; zero eigenvalues are allowed).
    dim : int, optional
        d, where cov is a scalar and the loss shall not decide.

    Raises
    ------
    ValueError
        Where df is not above 2, or cov is no covariance.

    Examples
    --------
    >>> import optsde
    >>> optsde.noise.StudentT(df=5, cov=[1.0, 0.25])
    StudentT(df=5.0, cov=[1.0, 0.25], dim=2)

    Source: sampled by Bailey, Polar generation of random variates with the t-distribution (Mathematics of Computation
    62, 1994).
    """

    df: float
    cov: FloatArray
    dim: int | None

    def __init__(self, df: float, cov: ArrayLike, *, dim: int | None = None) -> None:
        freedom = real_number("df", df)
        if freedom <= 2.0:
            raise ValueError(
                f"df: expected more than 2 degrees of freedom, for there to be a covariance, got {freedom:g}; "
                "noise.AlphaStable(alpha=df, ...) is the law of its sums"
            )
        given = covariance("cov", cov)
        asked = None if dim is None else integer("dim", dim, 1)
        self._set(df=freedom, cov=given, dim=common_dim("StudentT", {"cov": size_of(given), "dim": asked}))

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "student_t", "df": self.df, "cov": as_vector_or_matrix(self.cov, dim)}

    @property
    def _law(self) -> str:
        return f"Student-t({self.df:g})"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class AlphaStable(Noise):
    """Symmetric α-stable noise of the step's gradient: ``z_i = scale_i S_i``, ``E exp(ikS_i) = exp(-|k|^α)``.

    Below α = 2 there is no variance: ensemble variances of such runs, and means for α <= 1, tell nothing. Look at
    histograms, quantiles, bounded functions, or moments of an order below α/2. SGD's equation is driven by a Lévy
    process and integrated by ``levy_euler``; optimizers whose equations need the covariance refuse this noise.

    Parameters
    ----------
    alpha : float
        Index of stability, 0 < α <= 2. α = 2 is normal of variance ``2 scale²``, α = 1 is Cauchy. Below about 0.05
        single draws exceed the largest double, which ends that path.
    scale : float or (d,) array_like
        Scale of the gradient noise of a step, >= 0; there is no averaging over a batch, so the problem's
        batch_size must be 1.
    isotropic : bool
        False: independent components. True: a vector of isotropic law, ``E exp(ik·z) = exp(-|scale k|^α)``, whose
        components are large together; its scale is a number.
    dim : int, optional
        d, where scale is a number and the loss shall not decide.

    Raises
    ------
    ValueError
        For an alpha outside (0, 2], a negative scale, or a vector of scales with isotropic=True.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=2), optsde.noise.AlphaStable(1.5, 0.5))
    >>> optsde.SGD(lr=0.1).sde(problem).noise_kind
    'levy'

    Source: Simsekli, Sagun, Gurbuzbalaban: A tail-index analysis of stochastic gradient noise (ICML 2019); sampled by
    Chambers, Mallows, Stuck (JASA 71, 1976), isotropic through Kanter's positive stable law (Annals of Probability 3,
    1975).
    """

    alpha: float
    scale: FloatArray
    isotropic: bool
    dim: int | None

    def __init__(self, alpha: float, scale: ArrayLike, isotropic: bool = False, *, dim: int | None = None) -> None:
        index, scales = real_number("alpha", alpha), scalar_vector("scale", scale)
        if not 0.0 < index <= 2.0:
            raise ValueError(f"alpha: expected a number in (0, 2], got {index:g}")
        if scales.min() < 0.0:
            raise ValueError(f"scale: expected numbers of at least 0, got {float(scales.min()):g}")
        if flag("isotropic", isotropic) and scales.ndim:
            raise ValueError(f"scale: an isotropic law has one scale, a number, got an array of shape {scales.shape}")
        asked = None if dim is None else integer("dim", dim, 1)
        size = common_dim("AlphaStable", {"scale": size_of(scales), "dim": asked})
        self._set(alpha=index, scale=scales, isotropic=isotropic, dim=size)

    def _spec(self, dim: int) -> dict[str, Any]:
        scale = as_vector(self.scale, dim)
        return {"kind": "alpha_stable", "alpha": self.alpha, "scale": scale, "isotropic": self.isotropic}

    def _check_batch(self, batch_size: int, loss: Loss) -> None:
        if batch_size != 1:
            raise ValueError(
                f"batch_size: noise.AlphaStable is the noise of a step, not of an example; expected 1, got {batch_size}"
            )

    @property
    def _law(self) -> str:
        return f"{self.alpha:g}-stable"

    @property
    def _finite_variance(self) -> bool:
        return False
