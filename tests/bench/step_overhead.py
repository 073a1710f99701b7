"""How long a step of Modular takes next to torch.optim: python -m tests.bench.step_overhead."""

import torch
from torch import Tensor

import torchzero as tz
from tests.bench.paired import interleaved, table


def parameters(n: int, shape: tuple[int, ...]) -> list[Tensor]:
    """Parameters with gradients."""
    made = [torch.randn(shape).requires_grad_() for _ in range(n)]
    for p in made:
        p.grad = torch.randn(shape)
    return made


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    for n, shape in ((500, (32, 32)), (6, (96, 96))):
        modular = tz.Modular(parameters(n, shape), tz.m.Adam(), tz.m.WeightDecay(1e-2), tz.m.LR(1e-3))
        contenders = {
            "torch.optim.AdamW(foreach=False)": torch.optim.AdamW(parameters(n, shape), 1e-3, foreach=False).step,
            "torch.optim.AdamW(foreach=True)": torch.optim.AdamW(parameters(n, shape), 1e-3, foreach=True).step,
            "tz.Modular(Adam, WeightDecay, LR)": modular.step,
        }
        base = next(iter(contenders))
        print(table(f"{n} tensors of {shape}", interleaved(contenders), base))


if __name__ == "__main__":
    main()
