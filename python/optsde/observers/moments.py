"""Mean, variance and covariance of every variable over paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, nonnegative_number
from optsde._grid import first_step
from optsde._units import NONE, pairs_of, plan_numbers, unit_moments, unit_plan
from optsde.observers._base import IntArray, Timed, checked_name, checked_times
from optsde.results import MomentsResult, moments_result, stats_of

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Moments(Timed):
    """Mean and variance, and covariance when asked, with standard errors from measured fourth moments.

    With ``average_from`` they are over all steps from that time to the end as well as over paths, T = 1: the mean of
    the paths' time averages, the (co)variance of all samples. As the samples of a path are correlated, standard errors
    come from the paths (or antithetic pairs) as the independent units; one path alone has none, nor an unbiased
    variance.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    cov : bool
        Whether to gather the covariance matrix.
    average_from : float, optional
        A time, moved to the nearest step, instead of ``at``.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Moments(at=11, cov=True).cov
    True
    """

    at: int | FloatArray | None
    cov: bool
    average_from: float | None
    name: str
    _default_name: ClassVar[str] = "moments"
    _sees_state: ClassVar[bool] = True

    def __init__(
        self,
        at: int | ArrayLike | None = None,
        cov: bool = False,
        average_from: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        wanted = flag("cov", cov)
        if at is not None and average_from is not None:
            raise ValueError("at, average_from: expected at most one of them, got both")
        start = None if average_from is None else nonnegative_number("average_from", average_from)
        self._set(at=checked_times(at), cov=wanted, average_from=start)
        self._set(name=checked_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        if recipe.antithetic or self.average_from is not None:
            numbers = plan_numbers(recipe.rows, len(pairs_of(recipe.rows, self.cov)))
        else:
            numbers = 1 + 4 * recipe.rows + (3 * recipe.rows**2 if self.cov else 0)
        return 8 * self._count(recipe.grid) * numbers * (copies + recipe.groups_in_hand)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        plan: dict[str, Any] = {"kind": "moments", "cov": self.cov}
        averaged = self.average_from is not None
        if averaged:
            recipe.grid.need_equal_steps("an average over time")
            fine = recipe._cells_per_plan_step
            first = first_step("average_from", self.average_from, recipe.grid) * fine
            plan = {"kind": "averages", "first": first, "stride": fine}
        if averaged or recipe.antithetic:
            pairs, pair = pairs_of(recipe.rows, self.cov), recipe.antithetic
            plan["units"] = unit_plan(pairs, recipe.centre, NONE, spreads=averaged, antithetic=pair)
        return plan

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MomentsResult:
        if "units" in raw["stats"]:
            return unit_moments(t, step, raw["stats"], rows, self.cov)
        return moments_result(t, step, stats_of(raw["stats"], rows))
