"""The parts that a folder of recordings has, each with its name and what runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.golden.end_to_end.cases import Case, read_cases
from tests.golden.end_to_end.detections import compare_detections
from tests.golden.end_to_end.lvis import compare_lvis
from tests.golden.end_to_end.part import Part, guarded, skipped
from tests.golden.end_to_end.pipelines import replay_pipelines
from tests.golden.end_to_end.proposals import compare_proposals, compare_samples
from tests.golden.end_to_end.schedule import compare_recorded_rates, compare_schedule
from tests.golden.end_to_end.trajectory import compare_setup, compare_trajectory


@dataclass(frozen=True)
class Job:
    """What is replayed at once.

    Attributes:
        name: such as ``rs_atss_r50.trajectory``.
        run: gives the parts; it does not raise.
    """

    name: str
    run: Callable[[], list[Part]]


def jobs(folder: Path, data: Path | None, work: Path, quick: bool = False) -> Iterator[Job]:
    """Yield the jobs of a folder.

    Args:
        folder: of the recordings.
        data: folder of real COCO images; None skips the parts that need them.
        work: for checkpoints, manifests and runs; may be used again.
        quick: at most 3 iterations, and noise only where something misses without it.
    """
    cases = {case.name: case for case in read_cases(folder)}
    for case in cases.values():
        yield from _case_jobs(case, data, work, quick)
    for path in sorted(folder.glob("lr_*.json")):
        for entry_id, rates in json.loads(path.read_text()).items():
            run = partial(compare_recorded_rates, entry_id=entry_id, recorded=rates)
            yield _job(f"{path.stem}.{entry_id}", entry_id, "learning rates", "", run)
    for path in sorted(folder.glob("lvis_*.json")):
        run = partial(compare_lvis, recorded=path, work=work)
        yield _job(path.stem, path.stem, "data", "", run)
    for path in sorted(folder.glob("props_*.npz")):
        case = cases.get(path.stem.removeprefix("props_"))
        reason = case.lacks("batches.npz") if case else "no recorded batches of that entry"
        run = partial(compare_proposals, case=case, recorded=path, work=work)
        yield _job(path.stem, path.stem, "proposals", reason, run)
        run = partial(compare_samples, case=case, recorded=path, work=work)
        yield _job(f"{path.stem}.samples", path.stem, "samples", reason, run)
    for path in sorted(folder.glob("pipeline_*.npz")):
        yield Job(path.stem, partial(_pipelines, path, data, work))


def _case_jobs(case: Case, data: Path | None, work: Path, quick: bool) -> Iterator[Job]:
    def part(name: str, reason: str, run: Callable[[Part], None]) -> Job:
        return _job(f"{case.name}.{name}", case.name, name, reason, run)

    yield part("setup", case.lacks("setup.json"), partial(compare_setup, case=case))
    none = case.lacks("setup.json") and case.lacks("trajectory.json")
    yield part("schedule", none, partial(compare_schedule, case=case))
    lacking = case.lacks("trajectory.json", "batches.npz")
    run = partial(compare_trajectory, case=case, work=work, quick=quick)
    yield part("trajectory", lacking, run)
    lacking = case.lacks("detections.bbox.json", "image_ids.json")
    lacking = lacking or ("" if data else "no real images, see --data")
    run = partial(compare_detections, case=case, data=data, work=work)
    yield part("detections", lacking, run)


def _job(name: str, case: str, part: str, reason: str, run: Callable[[Part], None]) -> Job:
    if reason:
        return Job(name, lambda: [skipped(case, part, reason)])
    return Job(name, lambda: [guarded(case, part, run)])


def _pipelines(path: Path, data: Path | None, work: Path) -> list[Part]:
    """Replay a file of pipelines; if that itself raises, it is one miss."""
    parts: list[Part] = []
    outer = guarded(
        path.stem, "pipelines", lambda _: parts.extend(replay_pipelines(path, data, work))
    )
    return parts if outer.agrees else [*parts, outer]
