"""What Avendaño prints of pruning: tables 1 and 2, mean and standard deviation of five networks."""

from __future__ import annotations

from dataclasses import dataclass

N_PAPER = 5  # networks behind each number


@dataclass(frozen=True)
class Row:
    """One row of a table, each number with its standard deviation as printed, in percent.

    Args:
        dense, pruned, gap: mean and standard deviation.
    """

    dense: tuple[str, str]
    pruned: tuple[str, str]
    gap: tuple[str, str]

    def text(self, number: str) -> str:
        """Return a number as printed."""
        return " ± ".join(getattr(self, number))


def _row(*words: str) -> Row:
    return Row(words[:2], words[2:4], words[4:])  # type: ignore[arg-type]


NUMBERS = ("dense", "pruned", "gap")
# By architecture and stride of the early pool.
TABLE_1 = {
    ("vgg", 1): _row("93.5", "0.11", "10.9", "2.03", "82.6", "2.02"),
    ("vgg", 2): _row("91.1", "0.23", "32.4", "15.7", "58.7", "15.8"),
    ("vgg", 3): _row("87.8", "0.19", "87.6", "0.30", "0.18", "0.16"),
    ("vgg", 4): _row("85.8", "0.21", "85.8", "0.22", "0.07", "0.04"),
    ("resnet50", 1): _row("94.8", "0.29", "56", "20.7", "38.7", "20.5"),
    ("resnet50", 2): _row("94.0", "0.16", "91.7", "0.98", "2.25", "0.90"),
    ("resnet50", 3): _row("92.2", "0.18", "91.4", "0.45", "0.85", "0.49"),
    ("resnet50", 4): _row("90.4", "0.30", "90.2", "0.37", "0.18", "0.09"),
}
# Its columns stand in another order than table 1's: pruned, then dense. Here they are in table 1's.
TABLE_2 = {
    ("vgg", 1): _row("61.5", "0.33", "0.75", "0.09", "60.8", "0.32"),
    ("vgg", 2): _row("53.2", "0.20", "0.63", "0.17", "52.6", "0.36"),
    ("vgg", 3): _row("41.0", "1.91", "16.7", "7.50", "24.3", "5.81"),
    ("vgg", 4): _row("38.5", "1.69", "21.8", "6.57", "16.7", "7.21"),
    ("resnet50", 2): _row("61.8", "0.40", "5.91", "0.89", "55.9", "0.99"),
    ("resnet50", 3): _row("59.1", "0.36", "8.56", "2.66", "50.5", "2.55"),
    ("resnet50", 4): _row("56.5", "0.27", "21.4", "2.87", "35.0", "2.99"),
}
