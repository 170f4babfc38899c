"""The searches that can be asked for: ``configs/searches.yaml``, checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir

NOT_OF_RESULTS = ("use", "threads", "gpu")  # what no sample and no state depends on


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
        apply_gradient_scale: whether the sampled gradient scale acts in the proxies. In the
            released code it does not: the search sets an attribute that no head reads. False
            restores that.
        use: "best" takes the best sample, "mean" the final mean. The published code does neither.
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
        """Return what stands in the files of the search: all that its rewards depend on."""
        content = asdict(self) | {"heads": list(self.heads)}
        return {key: value for key, value in content.items() if key not in NOT_OF_RESULTS}

    @property
    def training_options(self) -> str:
        """Options of `rankdet search train` for a training as short as a proxy, whole splits."""
        options = f"--preset {self.preset} --batch-size {self.batch_size} --seed {self.seed}"
        return options if self.iterations is None else f"{options} --iterations {self.iterations}"

    @classmethod
    def of(cls, name: str, content: object) -> Plan:
        """Read one search of the file.

        Raises:
            InputError: naming the first key that is missing, unknown, or no such value.
        """
        where = f"searches.yaml, search {name!r}"
        if not isinstance(content, dict):
            raise InputError(f"{where}: a table of settings", repr(content), "see the others")
        known = {field.name: field for field in fields(cls) if field.name != "name"}
        for key in content:
            if key not in known:
                raise InputError(f"{where}: a known setting", repr(key), nearest(str(key), known))
        try:
            plan = cls(name=name, **{**content, "heads": tuple(content.get("heads", ()))})
        except TypeError as error:
            raise InputError(f"{where}: all settings", str(error), "add what is missing") from None
        counts = ("rounds", "samples", "batch_size", "val_images", "threads")
        for key in (*counts, "epochs" if plan.preset == "paper" else "iterations"):
            value = getattr(plan, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{where}: {key} >= 1", repr(value), "correct that line")
        if plan.use not in ("best", "mean"):
            raise InputError(f"{where}: use, best or mean", repr(plan.use), "correct that line")
        if not plan.heads:
            raise InputError(f"{where}: heads", "none", "[retina] or [rpn, roi]")
        return plan


def load_plans(folder: str | Path | None = None) -> dict[str, Plan]:
    """Return all searches by name; without ``searches.yaml`` there is none."""
    import yaml

    path = (Path(folder) if folder is not None else configs_dir()) / "searches.yaml"
    if not path.exists():
        return {}
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {name: Plan.of(name, value) for name, value in content.items()}


def load_plan(name: str) -> Plan:
    """Return a search; an unknown one is answered with the known ones."""
    plans = load_plans()
    if name not in plans:
        raise InputError("a search of searches.yaml", repr(name), nearest(name, plans))
    return plans[name]
