"""One training step, in one or several passes, with NaN and inf detected before writing.

A pass has complete ranking pools, like a separate process; the gradients add up, and the optimizer
steps once. Schedules, records and checkpoints count steps, so they do not change. The normalizer of
a standard loss (which mmdet averages over the processes) is computed per pass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.optim import Optimizer

from rankdet.training.loops import STEP, seed_libraries
from rankdet.training.processes import rank, world_size

# The methods of mmdet's heads, and ours, that turn predictions into losses.
LOSS_METHODS = ("loss_by_feat", "loss_and_target")
LOWER = "lower the learning rate, lengthen the warm-up, or clip the gradient (optim_wrapper)"


def detector_of(model: Any) -> Any:
    """Return the detector itself, also of one that mmengine wrapped for several processes."""
    return getattr(model, "module", model)


class NotFiniteError(Exception):
    """NaN or inf in a training step.

    Attributes:
        found: a description of the tensor.
        fix: what to do.
    """

    def __init__(self, found: str, fix: str = LOWER) -> None:
        super().__init__(f"{found}; {fix}")
        self.found, self.fix = found, fix


class FiniteGuard:
    """Checks each part of a step; all processes stop in the same one.

    Args:
        model: a detector; the predictions of its heads are checked before they become losses.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        for name, module in model.named_modules():
            for method in LOSS_METHODS:
                if callable(getattr(module, method, None)):
                    setattr(module, method, _checked(getattr(module, method), name or "model"))

    def check_batch(self, data: Mapping[str, Any]) -> None:
        """Check the pixels and boxes of one batch, as the model receives them."""
        self._together(lambda: _check_batch(data))

    def compute(self, losses: Callable[[Any], Any], batch: Any) -> Any:
        """Return ``losses(batch)``; a problem in one process stops all of them."""
        found: list[Any] = []
        self._together(lambda: found.append(losses(batch)))
        return found[0]

    def check_terms(self, terms: Mapping[str, Tensor]) -> None:
        """Check the loss terms; their sum comes last, so that the message names a single term."""
        bad = _first_not_finite(sorted(terms.items(), key=lambda term: term[0] == "loss"))
        if bad is not None:
            raise NotFiniteError(f"{bad} is {_of(terms[bad])}")

    def check_gradient(self) -> None:
        """Check the norm of the gradient; it is the same in all processes."""
        named = [(n, p.grad) for n, p in self._model.named_parameters() if p.grad is not None]
        if not named:
            return
        norms = torch._foreach_norm([gradient for _, gradient in named])
        if torch.stack(norms).norm().isfinite():
            return
        bad = _first_not_finite(named)
        if bad is None:
            raise NotFiniteError("the norm of the gradient is inf")
        raise NotFiniteError(f"the gradient of {bad} contains {_of(dict(named)[bad])}")

    def check_weights(self, optimizer: Optimizer) -> None:
        """Check weights, buffers and the state of ``optimizer`` after the step."""
        named = dict(self._model.named_buffers())
        for name, weight in self._model.named_parameters():
            named[name] = weight
            for key, value in optimizer.state.get(weight, {}).items():
                if isinstance(value, Tensor):
                    named[f"{key} of {name} in the optimizer"] = value
        bad = _first_not_finite(named.items())
        if bad is not None:
            raise NotFiniteError(f"{bad} contains {_of(named[bad])} after the step")

    def _together(self, check: Callable[[], None]) -> None:
        problem = None
        try:
            check()
        except NotFiniteError as error:
            problem = (error.found, error.fix)
        except ValueError as error:
            if not is_about_not_finite(error):
                raise
            problem = (str(error).replace("\n", " "), LOWER)
        problem = _of_any_process(problem)
        if problem is not None:
            raise NotFiniteError(*problem)


def check_state(state: Mapping[str, Any]) -> None:
    """Check every tensor of a checkpoint before it is written.

    Raises:
        NotFiniteError: naming the first tensor with NaN or inf.
    """
    tensors = dict(_tensors(state, ""))
    bad = _first_not_finite(tensors.items())
    if bad is not None:
        raise NotFiniteError(f"{bad} contains {_of(tensors[bad])}")


def _of_any_process(problem: tuple[str, str] | None) -> tuple[str, str] | None:
    """Return the first problem of all processes; None if there is none."""
    if world_size() == 1:
        return problem
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    count = torch.tensor(float(problem is not None), device=device)
    dist.all_reduce(count)
    if not count:
        return None
    problems: list[Any] = [None] * world_size()
    dist.all_gather_object(problems, problem)
    return next(each for each in problems if each is not None)


def _check_batch(data: Mapping[str, Any]) -> None:
    inputs, samples = data["inputs"], data.get("data_samples") or []
    images = dict(enumerate(inputs))
    bad = _first_not_finite(images.items())
    if bad is not None:
        fix = "check the file and the steps of the data pipeline"
        raise NotFiniteError(f"{_image(samples, bad)} has {_of(images[bad])} among its pixels", fix)
    for index, sample in enumerate(samples):
        boxes = _boxes(sample.gt_instances)
        if boxes is not None and not boxes.isfinite().all():
            fix = "check its annotations (`rankdet prepare`) and the data pipeline"
            raise NotFiniteError(f"{_image(samples, index)} has {_of(boxes)} among its boxes", fix)


def _boxes(instances: InstanceData) -> Tensor | None:
    boxes = instances.get("bboxes")
    return getattr(boxes, "tensor", boxes)


def _image(samples: Sequence[Any], index: int) -> str:
    path = getattr(samples[index], "img_path", None) if index < len(samples) else None
    return path or f"image {index}"


def _checked(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @functools.wraps(method)
    def checked(*arguments: Any, **named: Any) -> Any:
        found = dict(_predictions(signature.bind(*arguments, **named).arguments))
        bad = _first_not_finite(found.items())
        if bad is not None:
            raise NotFiniteError(f"the predictions of {name} ({bad}) contain {_of(found[bad])}")
        return method(*arguments, **named)

    return checked


def _predictions(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors among a loss method's arguments, also those in lists of levels."""
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)):
            for level, each in enumerate(value):
                if isinstance(each, Tensor):
                    yield f"{name}, level {level}", each


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _tensors(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for key, each in enumerate(value):
            yield from _tensors(each, f"{name}.{key}" if name else str(key))


def _first_not_finite(named: Iterable[tuple[Any, Tensor]]) -> Any:
    """Return the name of the first tensor with NaN or inf; None if there is none.

    One synchronization with the device if all tensors are finite.
    """
    found = [(n, t.detach()) for n, t in named if t.is_floating_point() and t.numel()]
    if not found:
        return None
    sizes = torch._foreach_norm([tensor for _, tensor in found])
    device = sizes[0].device
    if torch.stack([size.to(device, torch.float32) for size in sizes]).isfinite().all():
        return None
    # A norm may also overflow.
    return next((n for n, t in found if not t.isfinite().all()), None)


def _of(tensor: Tensor) -> str:
    return "NaN" if tensor.isnan().any() else "inf"


def is_about_not_finite(error: ValueError) -> bool:
    """Tell whether an error of our losses or of the evaluator is about NaN or inf."""
    return any(words in str(error) for words in ("NaN or infinity", "diverged", " nan"))


class TrainingStep:
    """The training step on a batch, used instead of mmengine's ``model.train_step``.

    Args:
        model: a detector, or mmengine's wrapper around one for several processes.
        passes: per step; must divide the images of this process's batch.
        seed: of the run. Each pass has its own random numbers, from the iteration and the index of
            the pass among all passes of all processes.
        iteration: returns the current iteration, from 0.
    """

    def __init__(
        self,
        model: nn.Module,
        passes: int = 1,
        seed: int = 0,
        iteration: Callable[[], int] = lambda: 0,
    ) -> None:
        self.model: Any = model
        self.passes, self.seed, self.iteration = passes, seed, iteration
        self.detector: Any = detector_of(model)
        self.guard = FiniteGuard(self.detector)

    def __call__(self, data: dict[str, list], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step on a batch; return its loss terms.

        Raises:
            NotFiniteError: on NaN or inf; the weights are then unchanged, unless it comes from the
                optimizer itself.
        """
        terms = []
        for index, part in enumerate(_parts(data, self.passes)):
            seed_libraries(self.seed, STEP, self.iteration(), rank() * self.passes + index)
            with self._silent(index):
                with optim_wrapper.optim_context(self.model):
                    batch = self.detector.data_preprocessor(part, True)
                    self.guard.check_batch(batch)
                    total, logged = self.guard.compute(self._losses, batch)
                optim_wrapper.backward(total / self.passes)
            terms.append({name: value.detach() for name, value in logged.items()})
        self.guard.check_gradient()
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        self.guard.check_weights(optim_wrapper.optimizer)
        return {name: sum(each[name] for each in terms) / self.passes for name in terms[0]}

    def _losses(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        total, logged = self.detector.parse_losses(self.model._run_forward(batch, mode="loss"))
        self.guard.check_terms(logged)
        return total, logged

    def _silent(self, index: int) -> AbstractContextManager:
        """Let processes exchange gradients only once, in the last pass."""
        is_silent = self.detector is not self.model and index < self.passes - 1
        return self.model.no_sync() if is_silent else nullcontext()


def _parts(data: dict[str, list], count: int) -> Iterator[dict[str, list]]:
    if count == 1:
        yield data
        return
    size = len(data["inputs"]) // count
    for start in range(0, size * count, size):
        yield {name: values[start : start + size] for name, values in data.items()}
