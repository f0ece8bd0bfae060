"""Underdamped Langevin dynamics: a particle with mass and friction in a heat bath."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, as_vector, common_dim, nonnegative_number, scalar_vector, size_of
from optsde.dynamics import Dynamics
from optsde.losses import Compiled, Loss, Quadratic


def _positive(name: str, value: ArrayLike) -> FloatArray:
    """A scalar or a vector of positive numbers."""
    given = scalar_vector(name, value)
    if given.min() <= 0.0:
        raise ValueError(f"{name}: expected positive numbers, got {float(given.min()):.6g}")
    return given


def _text(name: str, value: FloatArray) -> str:
    return f"{name} = {float(value):g}" if value.ndim == 0 else f"{name} diagonal"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class UnderdampedLangevin(Dynamics):
    """``dX = V dt``, ``mass dV = -(∇f + friction V) dt + sqrt(2 friction T) dW``.

    The stationary law is ``exp(-(f(x) + mass |v|²/2)/T)``: of the positions the Gibbs law, whatever mass and friction;
    of the velocities a normal law of variance T/mass. The state is ``theta`` and ``v``, and v starts at 0 where it
    is not given.

    Parameters
    ----------
    loss : losses.Loss
        f.
    temperature : float
        T, >= 0, in units of the loss.
    friction : float or (d,) array_like
        > 0: force per velocity, so that velocities forget in the time mass/friction.
    mass : float or (d,) array_like
        > 0.

    Raises
    ------
    ValueError
        For numbers out of their ranges, or shapes that do not fit the loss.

    Examples
    --------
    >>> import optsde
    >>> well = optsde.UnderdampedLangevin(optsde.losses.DoubleWell(), temperature=0.25, friction=1.0)
    >>> well.state
    {'theta': (1,), 'v': (1,)}
    >>> optsde.simulate(well, 1.0, t1=1.0, dt=0.1, rng=1).method
    'baoab'

    Source: Langevin (1908); Leimkuhler and Matthews, Molecular Dynamics (2015), section 6.
    """

    loss: Loss
    temperature: float
    friction: FloatArray
    mass: FloatArray

    def __init__(self, loss: Loss, temperature: float, friction: ArrayLike, mass: ArrayLike = 1.0) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
        drag, weight = _positive("friction", friction), _positive("mass", mass)
        sizes = {"loss": loss.dim, "friction": size_of(drag), "mass": size_of(weight)}
        common_dim("UnderdampedLangevin", sizes)
        heat = nonnegative_number("temperature", temperature)
        self._set(loss=loss, temperature=heat, friction=drag, mass=weight)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of coordinates."""
        return self.loss.dim

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the variables of one path: position ``theta`` and velocity ``v``."""
        return {"theta": (self.dim,), "v": (self.dim,)}

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "underdamped_langevin",
            "loss": self.loss._spec(),
            "temperature": self.temperature,
            "friction": as_vector(self.friction, self.dim),
            "mass": as_vector(self.mass, self.dim),
        }

    def _equation(self) -> str:
        constants = ", ".join([_text("γ", self.friction), _text("m", self.mass)])
        numbers = f"f: {type(self.loss).__name__}, T = {self.temperature:g}, {constants}, d = {self.dim}"
        return f"Underdamped Langevin: dX = V dt,  m dV = -(∇f(X) + γ V) dt + √(2 γ T) dW;  {numbers}"

    def _validity(self) -> str:
        return "exact; its stationary density is exp(-(f(x) + m |v|²/2)/T)/Z where that is integrable"

    def citation(self) -> str:
        """Where the equation comes from."""
        return "Langevin: Sur la théorie du mouvement brownien (C. R. Acad. Sci. 146, 1908)"

    @property
    def _loss(self) -> Loss:
        return self.loss

    @property
    def _weak_order(self) -> int:
        # The equation is no approximation; its splittings cost one gradient a step and are of order 2.
        return 2

    @property
    def _splits(self) -> bool:
        return True

    @property
    def _linear(self) -> bool:
        return isinstance(self.loss, Quadratic)

    @property
    def _uses_compiled(self) -> bool:
        return isinstance(self.loss, Compiled)
