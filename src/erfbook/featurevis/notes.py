"""What differs between a network as it is loaded and the one of the paper that used its name."""

from __future__ import annotations

from torch import nn

# BVLC's GoogLeNet is the Caffe network of the paper on positions; torchvision's is another port.
_GOOGLENET = (
    "torchvision's GoogLeNet is not BVLC's: the '5x5' branches have 3x3 kernels, so that fields "
    "are smaller",
    "torchvision's GoogLeNet normalises batches after every convolution and has no local response "
    "normalisation; BVLC's has no batch norm and two layers of the latter",
    "torchvision's fourth pool is 2x2 with stride 2; BVLC's is 3x3 with stride 2",
    "torchvision's GoogLeNet takes red, green, blue normalised by ImageNet's mean and deviation "
    "(with trained weights it rescales them itself); BVLC's takes blue, green, red from 0 to 255 "
    "less the mean",
    "torchvision's trained weights know ImageNet's 1000 classes; the paper's were trained on 869 "
    "classes of persons and clothing and are not published",
)


def notes_on(model: nn.Module) -> tuple[str, ...]:
    """Return how a network differs from the one that the paper on positions looked at.

    >>> notes_on(nn.Conv2d(3, 8, 3))
    ()
    """
    name = f"{type(model).__module__}.{type(model).__name__}"
    return _GOOGLENET if name == "torchvision.models.googlenet.GoogLeNet" else ()
