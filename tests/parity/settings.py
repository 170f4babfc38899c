"""The leaves of a resolved config, as text: every value that a run reads from it."""

from __future__ import annotations

from collections.abc import Iterator

# What the run reads. Not here: hooks, visualizer, log level and such, which rankdet's runner sets.
READ = (
    *("model", "load_from", "custom_imports", "custom_hooks", "env_cfg"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
    *("train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
)


def leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield path and value of everything below ``path``; a transform of a pipeline is one value."""
    if isinstance(value, dict) and value and ".pipeline." not in path:
        for key, inner in value.items():
            if key != "_scope_":
                yield from leaves(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)) and any(isinstance(each, dict) for each in value):
        for index, inner in enumerate(value):
            yield from leaves(f"{path}.{index}", inner)
    else:
        yield path, said(value)


def said(value: object) -> str:
    """Return a value as text; a dictionary with a type as a call."""
    if isinstance(value, dict):
        inner = {key: each for key, each in value.items() if key not in ("type", "_scope_")}
        words = ", ".join(f"{key}={said(inner[key])}" for key in sorted(inner))
        return f"{value.get('type', '')}({words})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(said(each) for each in value)}]"
    return repr(value)
