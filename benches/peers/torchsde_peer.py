"""torchsde: its own solver in double precision, without gradients, on chunks large enough to hide its cost per step."""

from typing import Any

import torch
import torchsde
from workloads import Workload

from . import Runner, Sums, sums, total

torch.set_default_dtype(torch.float64)


def version() -> str:
    return f"{torchsde.__version__} (torch {torch.__version__})"


class Equation(torch.nn.Module):
    """Drift f and diffusion g of points x (n, d)."""

    sde_type = "ito"

    def __init__(self, w: Workload) -> None:
        super().__init__()
        self.w, self.s = w, w.lr**0.5
        self.noise_type = "additive" if w.matrices else "diagonal"
        if w.matrices:
            self.hessian = torch.as_tensor(w.matrices["hessian"])
            self.factor = self.s * torch.as_tensor(w.matrices["factor"])

    def f(self, t: Any, x: Any) -> Any:
        match self.w.name:
            case "ou" | "milstein":
                return -x
            case "quartic":
                return -x * (x * x + 1.0)
            case "double_well":
                return -4 * x * (x * x - 1)
            case "rosenbrock":
                a, b = x[:, 0], x[:, 1]
                r = b - a * a
                return torch.stack([2 * (1 - a) + 400 * a * r, -200 * r], dim=1)
        return -(x @ self.hessian)

    def g(self, t: Any, x: Any) -> Any:
        match self.w.name:
            case "ou" | "quartic":
                return torch.full_like(x, 2**0.5)
            case "milstein":
                return self.s * torch.sqrt(1 + x * x)
            case "double_well" | "rosenbrock":
                return torch.full_like(x, self.s)
        return self.factor.expand(len(x), -1, -1)


def build(w: Workload, threads: int) -> Runner | None:
    if w.name.startswith(("adam", "minibatch")):
        return None
    torch.set_num_threads(threads)
    equation = Equation(w)
    chunk = max(1024, 16384 // w.dim)
    times = torch.tensor([0.0, w.n_steps * w.dt])
    method = "milstein" if w.name == "milstein" else "euler"

    def run(n_paths: int, seed: int) -> Sums:
        parts = []
        with torch.no_grad():
            for c in range(-(-n_paths // chunk)):
                start = torch.full((chunk, w.dim), w.start)
                brownian = torchsde.BrownianInterval(
                    0.0, w.n_steps * w.dt, size=(chunk, w.dim), dtype=start.dtype, entropy=seed * 100_000 + c, dt=w.dt
                )
                end = torchsde.sdeint(equation, start, times, bm=brownian, dt=w.dt, method=method)[-1]
                parts.append(sums(end.numpy()))
        return total(parts)

    return Runner(run, granule=chunk, threaded=True)
