"""Trackers of a training: TensorBoard, Weights & Biases, MLflow; what each is sent and keeps.

They run in the process of `rankdet.training.follower`. No torch here.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rankdet.errors import InputError

DEFAULT = ("tensorboard",)
NONE = "none"  # as the only name: no tracker
STATE = "trackers.json"
EVENTS = "tensorboard"  # folder of TensorBoard's event files
PROJECT = "rankdet"  # of Weights & Biases; experiment of MLflow
BATCH = 1000  # values that MLflow accepts in one request


class Point(NamedTuple):
    """The numbers of one line of the record.

    Attributes:
        kind: "train", a step, or "val", a validation.
        iteration: of the line.
        values: by name, without a prefix.
    """

    kind: str
    iteration: int
    values: dict[str, float]

    @property
    def tagged(self) -> dict[str, float]:
        """The numbers with the kind in their names: ``train/loss``, ``val/AP``."""
        return {f"{self.kind}/{name}": value for name, value in self.values.items()}


@dataclass
class Session:
    """One session of a training, as a tracker sees it.

    Attributes:
        work_dir: of the training.
        iteration: at which the session starts.
        about: entry, preset, seed, ... of the run.
        sent: by kind, the last iteration that earlier sessions sent; with "run", its id.
    """

    work_dir: Path
    iteration: int
    about: dict[str, Any]
    sent: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of the run."""
        return "{preset}/{entry} seed {seed}".format(**self.about)

    def last(self, kind: str) -> int:
        """Return the last iteration of a kind that was sent; 0 if none was."""
        value = self.sent.get(kind)
        return value if type(value) is int and value > 0 else 0


class Tracker(Protocol):
    """What the follower needs of a tracker."""

    def is_new(self, point: Point) -> bool:
        """Tell whether earlier sessions have not sent a point."""

    def send(self, points: Sequence[Point]) -> None:
        """Send points, in the order of the record."""

    def close(self, is_finished: bool) -> None:
        """Send what is buffered, and end the session."""


class TensorBoard:
    """Event files in the folder ``tensorboard`` of the work directory.

    A new session starts with an event that makes TensorBoard forget later points of earlier ones.
    """

    def __init__(self, session: Session) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        # The last iteration may lack its validation, so it is sent again.
        self.kept = max(0, min(session.last("train") - 1, session.iteration))
        self._writer = EventFileWriter(str(session.work_dir / EVENTS))
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=self.kept + 1, session_log=start))
        self._writer.flush()

    def is_new(self, point: Point) -> bool:
        """Tell whether a point is after those that are kept."""
        return point.iteration > self.kept

    def send(self, points: Sequence[Point]) -> None:
        """Write one event per point."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for point in points:
            values = [
                Summary.Value(tag=tag, simple_value=value) for tag, value in point.tagged.items()
            ]
            self._writer.add_event(
                Event(wall_time=time.time(), step=point.iteration, summary=Summary(value=values))
            )
        self._writer.flush()

    def close(self, is_finished: bool) -> None:
        """Close the event file."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases, with the settings of its variables ``WANDB_...``."""

    def __init__(self, session: Session) -> None:
        import wandb

        self.session = session
        session.sent.setdefault("run", secrets.token_hex(4))
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=session.sent["run"],
            resume="allow",
            name=session.title,
            group=session.about["preset"],
            dir=os.environ.get("WANDB_DIR", str(session.work_dir)),
            config=session.about,
            settings=wandb.Settings(console="off", silent=True),
        )
        # Not W&B's own step, which refuses a validation that is due after a resume.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def is_new(self, point: Point) -> bool:
        """Tell whether a point was not sent."""
        return point.iteration > self.session.last(point.kind)

    def send(self, points: Sequence[Point]) -> None:
        """Hand the points to W&B's own process."""
        for point in points:
            self._run.log({"iteration": point.iteration, **point.tagged})

    def close(self, is_finished: bool) -> None:
        """Finish the run; one that was stopped counts as crashed until it is resumed."""
        self._run.finish(exit_code=0 if is_finished else 1)


class MLflow:
    """A run of MLflow, where ``MLFLOW_TRACKING_URI`` says, else in MLflow's default store."""

    def __init__(self, session: Session) -> None:
        from mlflow.tracking import MlflowClient

        self.session = session
        self._client = MlflowClient()
        if "run" in session.sent:
            self._client.update_run(session.sent["run"], status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        found = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run = self._client.create_run(found, run_name=session.title)
        session.sent["run"] = run.info.run_id
        for key, value in session.about.items():
            self._client.log_param(run.info.run_id, key, value)

    def is_new(self, point: Point) -> bool:
        """Tell whether a point was not sent."""
        return point.iteration > self.session.last(point.kind)

    def send(self, points: Sequence[Point]) -> None:
        """Send the points in as few requests as possible."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(tag, value, now, point.iteration)
            for point in points
            for tag, value in point.tagged.items()
        ]
        for first in range(0, len(metrics), BATCH):
            part = metrics[first : first + BATCH]
            self._client.log_batch(self.session.sent["run"], metrics=part)

    def close(self, is_finished: bool) -> None:
        """End the run."""
        status = "FINISHED" if is_finished else "KILLED"
        self._client.set_terminated(self.session.sent["run"], status)


class Kind(NamedTuple):
    """A tracker by name: its class, and the package that it needs."""

    start: Callable[[Session], Tracker]
    package: str


KINDS: dict[str, Kind] = {
    "tensorboard": Kind(TensorBoard, "tensorboard"),
    "wandb": Kind(WandB, "wandb"),
    "mlflow": Kind(MLflow, "mlflow"),
}


def requested(names: Sequence[str] | None, say: Callable[[str], object]) -> tuple[str, ...]:
    """Return the trackers of a training, before it starts.

    Args:
        names: that the user asked for; None or empty for the default, TensorBoard.
        say: prints the note that the default is not installed.

    Raises:
        InputError: if a name is unknown, or the package of a requested tracker is not installed.
    """
    if not names:
        missing = [name for name in DEFAULT if find_spec(KINDS[name].package) is None]
        for name in missing:
            say(f"rankdet: no {name}: the package is not installed (pip install {name})")
        return tuple(name for name in DEFAULT if name not in missing)
    if list(names) == [NONE]:
        return ()
    for name in names:
        if name not in KINDS:
            expected = f"one or more of {', '.join(KINDS)}, or {NONE} alone, for --tracker"
            raise InputError(expected, " ".join(names), "correct it")
        package = KINDS[name].package
        if find_spec(package) is None:
            raise InputError(
                f"the package {package}, which the tracker {name} needs",
                "an installation without it",
                f"pip install {package}, or choose another tracker (--tracker, or `trackers` in "
                "configs/pipeline.yaml)",
            )
    return tuple(dict.fromkeys(names))
