"""The result of a finished search: its best sample, its final mean, and which one is used.

The released code does not select a result: the numbers were copied by hand, and it is not known
whether the tables of the paper are a sample or a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rankdet.errors import InputError
from rankdet.search.functions import START, meaning
from rankdet.search.rounds import State

CHOICES = ("best", "mean")


def conclude(
    states: Sequence[State], rounds: Sequence[Sequence[dict]], published: dict, use: str
) -> dict:
    """Return the content of ``found.json``.

    Args:
        states: the state of every round, and the one after the last.
        rounds: the samples of every round.
        published: control points and gradient scale by head of the entry's own config.
        use: "best" or "mean".

    Raises:
        InputError: for another choice, or if no sample has a positive reward.
    """
    if use not in CHOICES:
        raise InputError("best or mean", repr(use), "choose one of them")
    plan, last = states[-1].plan, states[-1].policy
    every = [sample for samples in rounds for sample in samples]
    best = max(every, key=lambda sample: sample["reward"])  # the first one of equals
    if best["reward"] <= 0:
        raise InputError(
            "a sample with a reward above 0",
            f"{len(every)} samples with reward 0",
            "train the proxies longer",
        )
    found = {
        "best": {
            **{key: best[key] for key in ("round", "sample", "reward")},
            "heads": meaning(best["theta"], plan.heads),
        },
        "mean": {"sigma": last.sigma, "heads": meaning(last.mean, plan.heads)},
    }
    return {
        "plan": plan.as_json(),
        "used": use,
        "heads": found[use]["heads"],
        **found,
        "start": meaning(START * len(plan.heads), plan.heads),
        "published": published,
        "rounds": [
            {
                "sigma": state.policy.sigma,
                "rewards": [sample["reward"] for sample in samples],
                "failed": sum(sample["failed"] for sample in samples),
                "seconds": round(sum(sample["seconds"] for sample in samples), 1),
            }
            for state, samples in zip(states, rounds, strict=False)
        ],
    }


def config_text(found: dict, base: str | Path) -> str:
    """Return a config that inherits from ``base``, with the chosen points and scales."""
    places = {
        "retina": "    bbox_head=dict({})",
        "rpn": "    rpn_head=dict({})",
        "roi": "    roi_head=dict(bbox_head=dict({}))",
    }
    heads = []
    for name, head in found["heads"].items():
        rows = "".join(f"                {_rounded(row)},\n" for row in head["control_points"])
        inside = (
            f"\n        box_gradient_scale={head['box_gradient_scale']:.6g},\n"
            f"        loss_cls=dict(\n            control_points=[\n{rows}            ])"
        )
        heads.append(places[name].format(inside))
    plan = found["plan"]
    lines = [
        f"# Found by search {plan['name']!r} ({plan['rounds']} rounds of {plan['samples']}), ",
        f"# {'its best sample' if found['used'] == 'best' else 'its final mean'}.",
        f"_base_ = [{str(base)!r}]",
        "model = dict(\n" + ",\n".join(heads) + ")",
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rounded(row: Sequence[float]) -> list[float]:
    return [round(value, 6) for value in row]
