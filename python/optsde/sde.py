"""Any Itô equation, from functions for its drift and diffusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optsde._arrays import integer
from optsde._compiled import CompiledFunction, is_c_function
from optsde._wiener import declared_kind, wiener_count
from optsde.dynamics import Dynamics

Part = Callable[..., Any] | CompiledFunction


def _part(name: str, function: Any) -> None:
    if not isinstance(function, CompiledFunction) and (not callable(function) or is_c_function(function)):
        raise TypeError(
            f"{name}: expected a function {name}(t, x) or optsde.compiled(address), got {type(function).__name__}"
        )


def _native(part: Part | None) -> Any:
    if isinstance(part, CompiledFunction):
        return part.native()
    return part


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SDE(Dynamics):
    """``dX = drift(t, X) dt + diffusion(t, X) dW`` in Itô's sense.

    Parameters
    ----------
    drift : callable or compiled function
        ``drift(t, x)``: time, points (n, d); returns (n, d).
    diffusion : callable or compiled function
        ``diffusion(t, x)``: (n, d), the diagonal, for the diagonal kinds; (n, d, m) for the others.
    dim : int
        d.
    noise : {"diagonal", "diagonal_coupled", "commutative", "full"}
        ``"diagonal"``: entry i depends on coordinate i alone; checked at the start of a run, as ``"commutative"`` is.
    n_wiener : int, optional
        m; d by default, and always d for the diagonal kinds.
    diffusion_jacobian : callable or compiled function, optional
        ``∂b_i/∂x_i`` (n, d) for the diagonal kinds, else (n, d, m, d); without it Milstein is derivative-free.

    Raises
    ------
    TypeError, ValueError
        For a part that is no function, an unknown kind, or a number of Wiener processes that does not fit it.

    Examples
    --------
    >>> import optsde
    >>> geometric = optsde.SDE(lambda t, x: 0.1 * x, lambda t, x: 0.2 * x, dim=1, noise="diagonal")
    >>> geometric.noise
    'diagonal'

    Source: Kloeden, Platen: Numerical Solution of Stochastic Differential Equations (1992).
    """

    drift: Part
    diffusion: Part
    dim: int
    noise: str
    n_wiener: int
    diffusion_jacobian: Part | None

    def __init__(
        self,
        drift: Part,
        diffusion: Part,
        *,
        dim: int,
        noise: str,
        n_wiener: int | None = None,
        diffusion_jacobian: Part | None = None,
    ) -> None:
        _part("drift", drift)
        _part("diffusion", diffusion)
        if diffusion_jacobian is not None:
            _part("diffusion_jacobian", diffusion_jacobian)
        size, kind = integer("dim", dim, 1), declared_kind("noise", noise)
        count = None if n_wiener is None else integer("n_wiener", n_wiener, 1)
        self._set(drift=drift, diffusion=diffusion, dim=size, noise=kind, n_wiener=wiener_count(kind, size, count))
        self._set(diffusion_jacobian=diffusion_jacobian)

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "sde",
            "dim": self.dim,
            "noise_kind": self.noise,
            "n_wiener": self.n_wiener,
            "drift": _native(self.drift),
            "diffusion": _native(self.diffusion),
            "diffusion_jacobian": _native(self.diffusion_jacobian),
        }

    def _equation(self) -> str:
        return f"SDE: dX = a(t, X) dt + b(t, X) dW (Itô);  {self.noise} noise, d = {self.dim}, m = {self.n_wiener}"

    def _validity(self) -> str:
        return "the user's own equation"

    def citation(self) -> str:
        """Where the equation comes from."""
        return "the user's own equation"

    @property
    def _uses_compiled(self) -> bool:
        parts = (self.drift, self.diffusion, self.diffusion_jacobian)
        return any(isinstance(part, CompiledFunction) for part in parts)

    @property
    def _declared_kind(self) -> tuple[str, str, dict[str, Any]] | None:
        return "noise", self.noise, self._spec()
