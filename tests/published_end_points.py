"""Receptive fields of TF-Slim's end points as their authors' tool published them.

From the table of google-research/receptive_field (Araujo, Norris, Sim): a test oracle that rests on
TensorFlow's own graphs. ``{network: {side: {end point: (size, stride, padding)}}}``; the side is
None where the padding does not depend on it.
"""

from __future__ import annotations


def _rows(names: str, sizes: str, strides: str, paddings: str) -> dict[str, tuple[int, int, int]]:
    columns = (map(int, text.split()) for text in (sizes, strides, paddings))
    return dict(zip(names.split(), zip(*columns, strict=True), strict=True))


_V2 = (
    "Conv2d_1a_7x7 MaxPool_2a_3x3 Conv2d_2b_1x1 Conv2d_2c_3x3 MaxPool_3a_3x3 Mixed_3b Mixed_3c "
    "Mixed_4a Mixed_4b Mixed_4c Mixed_4d Mixed_4e Mixed_5a Mixed_5b Mixed_5c",
    "7 11 11 19 27 59 91 123 187 251 315 379 443 571 699",
    "2 4 4 4 8 8 8 16 16 16 16 16 32 32 32",
)
_MOBILE = (
    "Conv2d_0 " + " ".join(f"Conv2d_{i}_pointwise" for i in range(1, 14)),
    "3 7 11 19 27 43 59 91 123 155 187 219 251 315",
    "2 2 4 4 8 8 16 16 16 16 16 16 32 32",
)
_BLOCKS = ("block1 block2 block3 block4",)

END_POINTS: dict[str, dict[int | None, dict[str, tuple[int, int, int]]]] = {
    "alexnet_v2": {
        None: _rows(
            "conv1 pool1 conv2 conv3 conv4 conv5 pool5",
            "11 19 51 99 131 163 195",
            "4 8 8 16 16 16 32",
            "0 0 16 32 48 64 64",
        )
    },
    "vgg_16": {
        None: _rows(
            "conv1_1 pool1 conv2_1 pool2 conv3_1 conv3_2 pool3 conv4_1 conv4_2 pool4 conv5_1 "
            "conv5_2 pool5",
            "3 6 10 16 24 32 44 60 76 100 132 164 212",
            "1 2 2 4 4 4 8 8 8 16 16 16 32",
            "1 2 4 6 10 14 18 26 34 42 58 74 90",
        )
    },
    "mobilenet_v1": {
        224: _rows(
            "Conv2d_10_pointwise Conv2d_11_pointwise Conv2d_12_pointwise Conv2d_13_pointwise",
            "187 219 251 315",
            "16 16 32 32",
            "78 94 94 126",
        ),
        321: _rows(*_MOBILE, "1 3 5 9 13 21 29 45 61 77 93 109 125 157"),
    },
    "inception_v2": {
        224: _rows(*_V2, "2 2 2 6 6 22 38 46 78 110 142 174 190 254 318"),
        321: _rows(*_V2, "3 5 5 9 13 29 45 61 93 125 157 189 221 285 349"),
    },
    "inception_v3": {
        None: _rows(
            "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 MaxPool_3a_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 "
            "MaxPool_5a_3x3 Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d "
            "Mixed_6e Mixed_7a Mixed_7b Mixed_7c",
            "3 7 11 15 15 23 31 63 95 127 159 351 543 735 927 1055 1183 1311",
            "2 2 2 4 4 4 8 8 8 8 16 16 16 16 16 32 32 32",
            "0 0 2 2 2 2 2 18 34 50 58 154 250 346 442 490 554 618",
        )
    },
    "inception_v4": {
        None: _rows(
            "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Mixed_3a Mixed_4a Mixed_5a Mixed_5b "
            "Mixed_5c Mixed_5d Mixed_5e Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_6f "
            "Mixed_6g Mixed_6h Mixed_7a Mixed_7b Mixed_7c Mixed_7d",
            "3 7 11 15 47 55 87 119 151 183 215 407 599 791 983 1175 1367 1559 1687 1815 1943 2071",
            "2 2 2 4 4 8 8 8 8 8 16 16 16 16 16 16 16 16 32 32 32 32",
            "0 0 2 2 14 14 30 46 62 78 86 182 278 374 470 566 662 758 806 870 934 998",
        )
    },
    "inception_resnet_v2": {None: {"Conv2d_7b_1x1": (3039, 32, 1482)}},
    "resnet_v1_50": {
        224: _rows(*_BLOCKS, "35 99 291 483", "8 16 32 32", "15 47 143 239"),
        321: _rows(*_BLOCKS, "35 99 291 483", "8 16 32 32", "17 49 145 241"),
    },
    "resnet_v1_101": {
        224: _rows(*_BLOCKS, "35 99 835 1027", "8 16 32 32", "15 47 415 511"),
        321: _rows(*_BLOCKS, "35 99 835 1027", "8 16 32 32", "17 49 417 513"),
    },
    "resnet_v1_152": {
        224: _rows(*_BLOCKS, "35 163 1315 1507", "8 16 32 32", "15 79 655 751"),
        321: _rows(*_BLOCKS, "35 163 1315 1507", "8 16 32 32", "17 81 657 753"),
    },
}
