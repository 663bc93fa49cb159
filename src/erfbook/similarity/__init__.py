"""How alike the representations of two networks are: linear centred kernel alignment (CKA).

Kornblith et al. (2019) for the index; Song et al. (2012) for HSIC_1, which has no bias.
"""

from erfbook.similarity.cka import linear_cka, predict_independent_cka
from erfbook.similarity.compare import Similarity, compare, compare_representations, represent
from erfbook.similarity.grams import Representations
from erfbook.similarity.layers import Layer

__all__ = [
    "Layer",
    "Representations",
    "Similarity",
    "compare",
    "compare_representations",
    "linear_cka",
    "predict_independent_cka",
    "represent",
]
