"""Read and check the searches of ``configs/searches.yaml``."""

from __future__ import annotations

import re
import reprlib
import shlex
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.catalogue.settings_files import read_settings
from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir

# Used in paths and commands, so it must not start with a hyphen.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
HEADS = ("retina", "rpn", "roi")
NOT_OF_RESULTS = ("use", "threads", "gpu")  # settings that do not affect samples or states


@dataclass(frozen=True)
class Plan:
    """One search.

    Attributes:
        name: of the search.
        entry: whose functions are searched.
        heads: its heads with Parameterized AP Loss, in the order of a sample's numbers.
        preset: of the proxy trainings.
        data: the prepared data set, whose train split is divided into the search's two.
        val_images: images of the search's validation split.
        rounds, samples: 40 and 8 in the paper.
        seed: of samples, proxy trainings and split.
        epochs: of a proxy, with preset paper.
        iterations: of a proxy, with any other preset.
        batch_size: images per step of a proxy.
        apply_gradient_scale: whether the proxies use the sampled gradient scale. In the released
            code they do not: the search sets an attribute that no head reads. False restores
            that.
        use: "best" takes the best sample, "mean" the final mean. The released code does neither.
        threads, gpu: of one proxy.
    """

    name: str
    entry: str
    heads: tuple[str, ...]
    preset: str
    data: str
    val_images: int
    rounds: int
    samples: int
    seed: int
    batch_size: int
    epochs: int | None = None
    iterations: int | None = None
    apply_gradient_scale: bool = True
    use: str = "best"
    threads: int = 1
    gpu: int = 0

    def as_json(self) -> dict:
        """Return the settings stored in the files of the search: all that affect its rewards."""
        content = asdict(self) | {"heads": list(self.heads)}
        return {key: value for key, value in content.items() if key not in NOT_OF_RESULTS}

    @property
    def training_options(self) -> str:
        """Options of `rankdet search train` for a proxy-sized training on complete splits."""
        options = ["--preset", self.preset, "--batch-size", self.batch_size, "--seed", self.seed]
        if self.iterations is not None:
            options += ["--iterations", self.iterations]
        return shlex.join(map(str, options))

    @classmethod
    def of(cls, name: object, content: object) -> Plan:
        """Read one search of the file.

        Raises:
            InputError: naming the first key that is missing, unknown or has an invalid value.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            got = reprlib.repr(name)
            raise InputError("a search name of letters, digits, _, - and .", got, "rename it")
        where = f"searches.yaml, search {name!r}"
        if not isinstance(content, dict):
            got = reprlib.repr(content)
            raise InputError(
                f"{where}: a mapping of settings", got, "use the other searches as examples"
            )
        for key in content:
            if key not in CHECKS:
                hint = nearest(str(key), CHECKS)
                raise InputError(f"{where}: a known setting", reprlib.repr(key), hint)
        for key, (fits, wanted) in CHECKS.items():
            if key in content and not fits(content[key]):
                got = reprlib.repr(content[key])
                raise InputError(f"{where}: {key} {wanted}", got, "correct that line")
        try:
            plan = cls(name=name, **{**content, "heads": tuple(content.get("heads", ()))})
        except TypeError as error:
            raise InputError(
                f"{where}: all required settings", str(error), "add the missing ones"
            ) from None
        length = "epochs" if plan.preset == "paper" else "iterations"
        if getattr(plan, length) is None:
            raise InputError(f"{where}: {length} >= 1", "none", "add that line")
        if not plan.heads:
            raise InputError(f"{where}: heads", "none", "set [retina] or [rpn, roi]")
        return plan


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _is_seed(value: object) -> bool:
    return (value == 0 and isinstance(value, int) and value is not False) or _is_count(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _are_heads(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and all(isinstance(head, str) and head in HEADS for head in value)
        and len(set(value)) == len(value)
    )


def _one_of(names: Collection[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in names


_COUNT = (_is_count, ">= 1")
_COUNT_OR_NONE = (lambda value: value is None or _is_count(value), ">= 1")
# For each setting: a check, and its description. The values are used in shell commands.
CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "entry": (_is_name, "as an entry of the catalogue"),
    "heads": (_are_heads, "as [retina] or [rpn, roi]"),
    "preset": (_one_of(PRESETS), f"as one of {', '.join(PRESETS)}"),
    "data": (_is_name, "as the name of a prepared data set"),
    "val_images": _COUNT,
    "rounds": _COUNT,
    "samples": _COUNT,
    "seed": (_is_seed, "as an integer >= 0"),
    "batch_size": _COUNT,
    "epochs": _COUNT_OR_NONE,
    "iterations": _COUNT_OR_NONE,
    "apply_gradient_scale": (lambda value: isinstance(value, bool), "as true or false"),
    "use": (_one_of(("best", "mean")), "as best or mean"),
    "threads": _COUNT,
    "gpu": (lambda value: value in (0, 1) and not isinstance(value, bool | float), "as 0 or 1"),
}


def load_plans(folder: str | Path | None = None) -> dict[str, Plan]:
    """Return all searches by name; none without ``searches.yaml``.

    Raises:
        InputError: naming the search and the setting of the first mistake.
    """
    folder = Path(folder) if folder is not None else configs_dir()
    path = folder / "searches.yaml"
    if not path.exists():
        return {}
    plans = {name: Plan.of(name, value) for name, value in read_settings(path).items()}
    catalogue = load_catalogue(folder)
    for plan in plans.values():
        catalogue[plan.entry]  # raises for an unknown entry
    return plans


def load_plan(name: str) -> Plan:
    """Return a search; the error for an unknown name lists the known ones."""
    plans = load_plans()
    if name not in plans:
        raise InputError("a search of searches.yaml", repr(name), nearest(name, plans))
    return plans[name]
