"""What the races say, as words and as tables."""

from __future__ import annotations

import pandas as pd

from erfbook.experiments.damage_speed import FASTER
from erfbook.experiments.damage_study import MEASURES, SIGNIFICANT, Starts
from erfbook.experiments.side_by_side import NONE_DECIDES, set_side_by_side

LABELS = {
    "he": "He",
    "soft": "soft",
    "corners": "corners",
    "xavier": "Xavier",
    "xavier_soft": "soft on Xavier",
    "soft2": "soft, contrast 2",
    "soft8": "soft, contrast 8",
    "dilated5": "dilated, 5 × 5",
    "sparse5": "sparse, 5 × 5",
    "dilated7": "dilated, 7 × 7",
    "sparse7": "sparse, 7 × 7",
    "sparse9": "sparse, 9 × 9",
}


def answer(starts: Starts) -> str:
    """Say in words what the races on the training loss show, after Holm's correction."""
    runs = f"in {starts.n_seeds} paired runs"
    found = [pair for pair, p in starts.holm.items() if p < SIGNIFICANT]
    if not found:
        return f"no start is significantly faster than another {runs}"
    words = ", ".join(
        f"{LABELS[new]} is {starts.races[new, base, 'loss'].mean.text()} times as fast as "
        f"{LABELS[base]}"
        for new, base in found
    )
    n_races = len(starts.holm)
    rest = (
        f"; no other of {n_races} comparisons is significant after Holm's correction"
        if len(found) < n_races
        else ""
    )
    return f"{words}{rest} {runs}"


def say_deciding(deciding: Starts | None) -> str:
    """Say in words what the races that decide show, and how fast the proposals are."""
    if deciding is None:
        return NONE_DECIDES
    speeds = ", ".join(
        f"{LABELS[new]} over {LABELS[base]} {deciding.races[new, base, 'loss'].mean.text()}"
        for new, base in (("soft", "he"), ("soft", "xavier"), ("corners", "he"))
    )
    return f"{answer(deciding)}, on {deciding.note} (speeds: {speeds})"


def say_corrected(deciding: Starts | None) -> str:
    """Say in words which of the deciding comparisons outlast Holm's correction, and which do not.

    The second are those whose own 95 % interval excludes 1 all the same.
    """
    if deciding is None:
        return NONE_DECIDES
    kept = [pair for pair, p in deciding.holm.items() if p < SIGNIFICANT]
    means = {pair: deciding.races[*pair, "loss"].mean for pair in deciding.holm if pair not in kept}
    alone = [pair for pair, mean in means.items() if mean.low > 1 or mean.high < 1]
    names = [
        ", ".join(f"{LABELS[a]} over {LABELS[b]}" for a, b in pairs) for pairs in (kept, alone)
    ]
    return (
        f"of {len(deciding.holm)} comparisons on {deciding.note} it leaves {names[0] or 'none'}; "
        f"by an uncorrected interval alone also differ: {names[1] or 'none'}"
    )


def answer_width(starts: Starts) -> str:
    """Say in words whether what soft weights add to the field is there after training."""
    after = starts.width("soft", "after")
    if after.low > 1:
        return "still there after training"
    return "gone after training" if after.high < 1.02 else "not certainly there after training"


def tabulate_races(starts: Starts) -> pd.DataFrame:
    """Return a row a comparison: ratio of steps, p-values, seeds that are 30 % faster."""
    rows = []
    for new, base in starts.holm:
        loss, accuracy = (starts.races[new, base, measure] for measure in MEASURES)
        rows.append(
            {
                "": f"{LABELS[new]} against {LABELS[base]}",
                "speed, training loss": loss.mean.text(),
                "p": f"{loss.p_value:.3f}",
                "p, Holm": f"{starts.holm[new, base]:.3f}",
                f"seeds ≥ {FASTER:g} ×": f"{loss.n_faster} of {starts.n_seeds}",
                f"seeds ≤ 1/{FASTER:g} ×": f"{loss.n_slower} of {starts.n_seeds}",
                "never arrived": str(loss.n_censored),
                "speed, test accuracy": accuracy.mean.text(),
            }
        )
    return pd.DataFrame(rows).set_index("").rename_axis(None)


def tabulate_starts(published: Starts | None, ours: Starts) -> pd.DataFrame:
    """Return section 4's statements side by side: the paper, our records, this run."""
    paper = {
        "seeds": "“several”",
        "soft over He": "1.3 “in a few cases”",
        "soft over Xavier": "1.3 “in a few cases”",
        "soft on Xavier over Xavier": "1.3 “in a few cases”",
        "He over Xavier": "not stated",
        "seeds ≥ 1.3 ×, soft over He": "“a few”",
        "seeds ≤ 1/1.3 ×, soft over He": "not stated",
        "He over He of another seed ≥ 1.3 ×": "not stated",
        "significant (Holm)": "“not always”",
        "corners over He": "“slow”",
        "soft over corners": "“usually works better”",
    }
    cells = {published.note: _cells(published)} if published else {}
    return set_side_by_side(paper, cells, {ours.note: _cells(ours)})


def _cells(starts: Starts) -> dict[str, str]:
    race = {pair: starts.races[*pair, "loss"] for pair in starts.holm}
    soft, cells = race["soft", "he"], {}
    if ("xavier_soft", "xavier") in race:
        cells["soft on Xavier over Xavier"] = race["xavier_soft", "xavier"].mean.text()
    n_significant = sum(p < SIGNIFICANT for p in starts.holm.values())
    return cells | {
        "seeds": str(starts.n_seeds),
        "soft over He": soft.mean.text(),
        "soft over Xavier": race["soft", "xavier"].mean.text(),
        "He over Xavier": race["he", "xavier"].mean.text(),
        "seeds ≥ 1.3 ×, soft over He": f"{soft.n_faster} of {starts.n_seeds}",
        "seeds ≤ 1/1.3 ×, soft over He": f"{soft.n_slower} of {starts.n_seeds}",
        "He over He of another seed ≥ 1.3 ×": f"{starts.luck:.0%}",
        "significant (Holm)": f"{n_significant} of {len(starts.holm)}",
        "corners over He": race["corners", "he"].mean.text(),
        "soft over corners": race["soft", "corners"].mean.text(),
    }
