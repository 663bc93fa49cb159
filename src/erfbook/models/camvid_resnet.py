"""ResNet front-ends for CamVid after Luo et al. (2016): 16 blocks, output at 1/16 of the input.

The paper says neither which stem, nor which blocks, nor where the four subsamplings sit; a
:class:`CamvidLayout` is one answer, and :mod:`erfbook.experiments.layouts` lists those whose
theoretical receptive field is the stated one.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from erfbook.models.residual import ConvSpec, ResidualUnit, conv_unit

N_CLASSES = 11
TRANSITIONS = ("strided", "subsample", "max2", "max3")
BLOCKS = {"basic": 2, "bottleneck": 1}  # kind: its 3 x 3 convolutions


@dataclass(frozen=True)
class CamvidLayout:
    """Where the layers of a front-end sit.

    Args:
        stem_kernel, stem_stride: of the first convolution.
        stem_pool: side of a max pool of stride 2 behind it; 0 for none.
        stages: residual blocks between one subsampling and the next.
        block: ``basic`` (two 3 x 3) or ``bottleneck`` (1 x 1, 3 x 3, 1 x 1).
        transition: what halves the plane from one stage to the next. ``strided``: the first 3 x 3
            layer of the next stage; ``subsample``: the last 3 x 3 layer of this one; ``max2``,
            ``max3``: a pool of that side between them.
        last_kernel: side of the kernel that makes the class scores.
    """

    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: int = 0
    stages: tuple[int, ...] = (4, 4, 4, 4)
    block: str = "basic"
    transition: str = "strided"
    last_kernel: int = 1

    @property
    def output_stride(self) -> int:
        """Input pixels from one output unit to the next."""
        return self.stem_stride * (2 if self.stem_pool else 1) * 2 ** (len(self.stages) - 1)


class CamvidResNet(nn.Module):
    """A front-end that gives class scores on a plane of 1/16 of the input's side.

    Args:
        layout: where the layers sit.
        channels: of the first stage; doubled in each further stage, up to 8 times as many.
        n_classes: scores a unit.
    """

    def __init__(
        self, layout: CamvidLayout, channels: int = 32, *, n_classes: int = N_CLASSES
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("block", layout.block, tuple(BLOCKS)),
            ("transition", layout.transition, TRANSITIONS),
        ):
            if value not in known:
                raise ValueError(f"layout.{name} must be one of {known}, not {value!r}")
        self.features = nn.Sequential()
        stem = ConvSpec(layout.stem_kernel, layout.stem_stride, channels)
        self.features.add_module("stem", conv_unit(3, stem))
        if layout.stem_pool:
            self.features.add_module("stem_pool", _pool(layout.stem_pool))
        n_in = channels
        for stage, n_blocks in enumerate(layout.stages):
            if stage and layout.transition.startswith("max"):
                self.features.add_module(f"pool{stage}", _pool(int(layout.transition[-1])))
            n_mid = channels * min(2**stage, 8)
            for i in range(n_blocks):
                strides = _strides(layout, stage, i)
                specs = _specs(layout.block, n_mid, strides)
                unit = ResidualUnit(n_in, specs)
                self.features.add_module(f"stage{stage + 1}_block{i + 1}", unit)
                n_in = specs[-1].channels
        padding = layout.last_kernel // 2
        self.head = nn.Conv2d(n_in, n_classes, layout.last_kernel, padding=padding)

    def forward(
        self, x: Float[Tensor, "batch 3 row column"]
    ) -> Float[Tensor, "batch n_classes out_row out_column"]:
        return self.head(self.features(x))


def _pool(kernel: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, 2, padding=(kernel - 1) // 2)


def _strides(layout: CamvidLayout, stage: int, block: int) -> tuple[int, int]:
    """Return the strides of a block's first and last 3 x 3 layer (the same one in a bottleneck)."""
    first = layout.transition == "strided" and stage > 0 and block == 0
    is_last_block = block == layout.stages[stage] - 1
    last = layout.transition == "subsample" and stage < len(layout.stages) - 1 and is_last_block
    return (2 if first else 1, 2 if last else 1)


def _specs(block: str, n_mid: int, strides: tuple[int, int]) -> list[ConvSpec]:
    first, last = strides
    if block == "basic":
        return [ConvSpec(3, first, n_mid), ConvSpec(3, last, n_mid)]
    return [ConvSpec(1, 1, n_mid), ConvSpec(3, first * last, n_mid), ConvSpec(1, 1, 4 * n_mid)]
