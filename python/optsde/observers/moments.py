"""Mean, variance and covariance of every variable over paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray
from optsde.observers._base import IntArray, Timed, checked_name, checked_times
from optsde.results import MomentsResult, moments_result, stats_of

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Moments(Timed):
    """Mean and variance, and covariance when asked, with standard errors from measured fourth moments.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    cov : bool
        Whether to gather the covariance matrix.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Moments(at=11, cov=True).cov
    True
    """

    at: int | FloatArray | None
    cov: bool
    name: str
    _default_name: ClassVar[str] = "moments"
    _sees_state: ClassVar[bool] = True

    def __init__(self, at: int | ArrayLike | None = None, cov: bool = False, *, name: str | None = None) -> None:
        if not isinstance(cov, (bool, np.bool_)):
            raise TypeError(f"cov: expected True or False, got {cov!r}")
        self._set(at=checked_times(at), cov=bool(cov), name=checked_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        numbers = 1 + 4 * recipe.rows + (3 * recipe.rows**2 if self.cov else 0)
        return 8 * self._count(recipe.grid) * numbers * copies

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "moments", "cov": self.cov}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MomentsResult:
        return moments_result(t, step, stats_of(raw["stats"], rows))
