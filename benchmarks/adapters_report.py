"""The page of the small trainings of benchmarks.adapters."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from rankdet.outputs import write_text

NAMES = {"library": "library's own", "rank_sort": "Rank & Sort", "alrp": "aLRP", "ap": "AP"}
HEAD = """# Losses of the adapters in small trainings

Trained from random weights on the digits set (1600 images, at 96 pixels, 16 a step), evaluated on
200 others with `rankdet.evaluation`; AP, AP50 and oLRP x 100, mean ± standard deviation over the
seeds. Equal steps, batches, first weights and optimizer (AdamW, learning rate 3e-3, DETRs 1e-3) for
both losses of a family; nothing was tuned for a loss. Detections down to a score of 0.001 count:
ranking losses order scores, and after so few steps most are below the usual 0.05.

Such short trainings of tiny models show that a loss works in the library; they do not say which
loss is best for a long training of a large one. Where AP is below about 2 (the DETRs from random
weights), both have hardly begun to learn.

The setup was changed once, for both losses, after first tries with RetinaNet in which Rank & Sort
was behind (AP 0.4 against 3.1 after 300 steps, 0.7 against 5.6 after 800): score threshold 0.001
for 0.05, group norm in the towers, batch 16, learning rate 3e-3. Which of these mattered was not
measured.

| family | loss | steps | seeds | AP | AP50 | oLRP | CPU seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def _spread(values: list[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def write_report(kept: dict, path: Path) -> None:
    """Write the table, the differences in AP, machine and versions."""
    groups: dict[tuple[str, str, int], list[dict]] = {}
    for each in kept["runs"]:
        groups.setdefault((each["family"], each["loss"], each["steps"]), []).append(each)
    rows, differences = [], []
    for (family, loss, steps), runs in groups.items():
        numbers = [_spread([each[name] for each in runs]) for name in ("AP", "AP50", "oLRP")]
        seconds = f"{mean(each['cpu_seconds'] for each in runs):.0f}"
        cells = [family, NAMES[loss], str(steps), str(len(runs)), *numbers, seconds]
        rows.append("| " + " | ".join(cells) + " |")
        own = {each["seed"]: each["AP"] for each in groups.get((family, "library", steps), [])}
        gains = [each["AP"] - own[each["seed"]] for each in runs if each["seed"] in own]
        if loss != "library" and gains:
            told = ", ".join(f"{gain:+.1f}" for gain in gains)
            differences.append(f"- {family}, {NAMES[loss]}: {mean(gains):+.1f} AP ({told})")
    facts = ", ".join(f"{name} {value}" for name, value in kept["machine"].items())
    text = HEAD + "\n".join(rows)
    text += "\n\nAgainst the library's own loss, by seed:\n\n" + "\n".join(differences)
    text += f"\n\nMeasured with {facts}.\n"
    text += "\nLast run of the adapters' tests (`make test-adapters`): [tests.txt](tests.txt).\n"
    write_text(path, text)
