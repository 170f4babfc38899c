"""`rankdet search start|sample|update|finish|train`: the steps of a search for functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli import places
from rankdet.cli.app import PresetName, app
from rankdet.cli.places import logged
from rankdet.cli.prepare import prepare
from rankdet.cli.report import report
from rankdet.outputs import check_outputs

search = typer.Typer(
    help="Search the functions of Parameterized AP Loss; each proxy training is one job.",
    no_args_is_help=True,
)
app.add_typer(search, name="search")

StatePath = Annotated[Path, typer.Option(help="state.json of the round.")]
DataPath = Annotated[
    Path, typer.Option(help="dataset.json written by `rankdet prepare search-split`.")
]
WorkDir = Annotated[Path, typer.Option(help="Folder for logs and the training record.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
LogFile = Annotated[
    Path | None, typer.Option(help="File for the full log; progress is still printed.")
]


@prepare.command("search-split")
def search_split(
    data: Annotated[Path, typer.Option(help="dataset.json whose train split is divided.")],
    out: Annotated[Path, typer.Option(help="dataset.json to write.")],
    val_images: Annotated[int, typer.Option(min=1, help="Number of images held out.")] = 5000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 42,
) -> None:
    """Hold out part of the train images for a search; the val images are not used."""
    from rankdet.datasets.coco import SEARCH_FILES, prepare_search_split
    from rankdet.datasets.manifest import load_manifest

    source = load_manifest(data)
    written = {f"{name} next to --out": out.parent / name for name in SEARCH_FILES}
    check_outputs({"--out": out, **written}, inputs=places.files_of(data, source))
    manifest = prepare_search_split(source, out, val_images, seed)
    for split in ("train", "val"):
        part = getattr(manifest, split)
        typer.echo(f"{split}: {part.image_count} images, {part.annotation_count} annotations")


@search.command("start")
def start_command(
    name: Annotated[str, typer.Argument(help="Name of a search in configs/searches.yaml.")],
    out: Annotated[Path, typer.Option(help="state.json of round 0, to write.")],
) -> None:
    """Write the initial state of a search."""
    from rankdet.search.plan import load_plan
    from rankdet.search.rounds import start

    check_outputs({"--out": out})
    state = start(load_plan(name))
    state.write(out)
    total = state.plan.rounds * state.plan.samples
    typer.echo(f"{name}: {state.plan.rounds} rounds of {state.plan.samples} samples, {total} jobs")


@search.command("sample")
def sample_command(
    state: StatePath,
    index: Annotated[int, typer.Option(min=0, help="Index of the sample in the round, from 0.")],
    data: DataPath,
    work_dir: WorkDir,
    out: Annotated[Path, typer.Option(help="JSON file to write: the sample with its reward.")],
    threads: Threads = None,
    log: LogFile = None,
) -> None:
    """Draw a sample, train a proxy with it and write its reward; finished ones are reused."""
    from rankdet.datasets.manifest import load_manifest
    from rankdet.outputs import write_json
    from rankdet.search.rounds import finished, heads_of, read_state, write_sample

    check_outputs({"--out": out}, {"--work-dir": work_dir}, log=log, inputs=[state, data])
    current = read_state(state)
    plan, label = current.plan, f"round {current.turn} sample {index}"
    # The work directory keeps a copy: a Snakemake that is killed deletes complete outputs that it
    # had not registered yet.
    copy = work_dir / "sample.json"
    kept = finished(out, current, index) or finished(copy, current, index)
    if kept is not None:
        write_json(out, kept)
        typer.echo(f"{plan.name} {label}: reward {kept['reward']:.4f}, finished before")
        return
    manifest = load_manifest(data)
    with logged(log):
        from rankdet.catalogue import load_catalogue
        from rankdet.catalogue.presets import get_preset
        from rankdet.models.build import load_config
        from rankdet.paths import BACKBONES
        from rankdet.search.proxy import proxy_config, set_heads, train_proxy
        from rankdet.training.start import use_local_weights

        config = load_config(plan.entry)
        set_heads(config.model, heads_of(current, index))
        config = proxy_config(
            config, plan.preset, manifest, plan.batch_size, plan.iterations, plan.epochs
        )
        if get_preset(plan.preset).is_comparable:
            use_local_weights(config, load_catalogue()[plan.entry], BACKBONES)
        outcome = train_proxy(config, work_dir, f"{plan.name} {label}", plan.seed, threads)
        write_json(out, write_sample(copy, current, index, outcome))
    typer.echo(f"{plan.name} {label}: reward {outcome['reward']:.4f}, {outcome['seconds']} s")


@search.command("update")
def update_command(
    state: StatePath,
    sample: Annotated[list[Path], typer.Option(help="A sample of the round; can be repeated.")],
    out: Annotated[Path, typer.Option(help="state.json of the next round, to write.")],
) -> None:
    """Update the policy with the rewards of a round."""
    from rankdet.search.rounds import after, read_samples, read_state

    check_outputs({"--out": out}, inputs=[state, *sample])
    current = read_state(state)
    samples = read_samples(sample, current)
    following = after(current, samples)
    following.write(out)
    rewards = [each["reward"] for each in samples]
    mean = sum(rewards) / len(rewards)
    typer.echo(
        f"{current.plan.name} round {current.turn}: reward {mean:.4f}, best {max(rewards):.4f}, "
        f"sigma {following.policy.sigma:.3f}"
    )


@search.command("finish")
def finish_command(
    folder: Annotated[Path, typer.Argument(help="Folder of the search, with round-*/.")],
    out: Annotated[
        Path, typer.Option(help="found.json to write; the config found.py is written next to it.")
    ],
    use: Annotated[
        str, typer.Option(help="best: the best sample; mean: the final mean of the policy.")
    ] = "best",
) -> None:
    """Write the result of the search, and a config that uses it."""
    from rankdet.catalogue import load_catalogue
    from rankdet.outputs import write_json, write_text
    from rankdet.search.proxy import head_settings
    from rankdet.search.rounds import conclude, config_text, read_samples, read_state

    outputs = {"--out": out, "the config next to --out": out.with_suffix(".py")}
    check_outputs(outputs, inputs=folder.glob("round-*/*.json"))
    plan = read_state(folder / "round-000" / "state.json").plan
    turns = [folder / f"round-{turn:03d}" for turn in range(plan.rounds + 1)]
    states = [read_state(turn / "state.json") for turn in turns]
    rounds = [
        read_samples(sorted(turn.glob("sample-*.json")), state)
        for turn, state in zip(turns[:-1], states[:-1], strict=True)
    ]
    found = conclude(states, rounds, head_settings(plan.entry), use)
    base = os.path.relpath(load_catalogue()[plan.entry].config_path, out.resolve().parent)
    write_text(out.with_suffix(".py"), config_text(found, base))
    write_json(out, found)
    best = found["best"]
    chosen = "its best sample" if use == "best" else "its final mean"
    typer.echo(
        f"{plan.name}: {out.with_suffix('.py')} has {chosen}; best: round {best['round']} sample "
        f"{best['sample']}, reward {best['reward']:.4f}"
    )


@search.command("train")
def train_command(
    config: Annotated[Path, typer.Option(help="found.py written by `rankdet search finish`.")],
    preset: PresetName,
    data: Annotated[Path, typer.Option(help="dataset.json written by `rankdet prepare`.")],
    work_dir: WorkDir,
    out: Annotated[Path, typer.Option(help="JSON file to write: the outcome.")],
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    iterations: Annotated[int | None, typer.Option(min=1)] = None,
    seed: int = 0,
    threads: Threads = None,
    log: LogFile = None,
) -> None:
    """Train a found config like a proxy, but on the complete splits, and report its AP."""
    from rankdet.datasets.manifest import load_manifest
    from rankdet.errors import InputError
    from rankdet.outputs import write_json

    if not config.is_file():
        raise InputError("a found.py", f"no file {config}", "run `rankdet search finish`")
    manifest = load_manifest(data)
    inputs = [config, *places.files_of(data, manifest)]
    check_outputs({"--out": out}, {"--work-dir": work_dir}, log=log, inputs=inputs)
    with logged(log):
        from mmengine.config import Config

        from rankdet.search.proxy import proxy_config, train_proxy

        short = proxy_config(Config.fromfile(config), preset, manifest, batch_size, iterations)
        outcome = train_proxy(short, work_dir, f"found {preset}", seed, threads)
        write_json(out, {"preset": preset, "data": manifest.name, **outcome})
    typer.echo(f"found config: box AP {outcome['reward']:.4f}, {outcome['seconds']} s, {out}")


@report.command("search")
def search_report(
    found: Annotated[Path, typer.Argument(help="found.json written by `rankdet search finish`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Target folder; default: that of found.json.")
    ] = None,
) -> None:
    """Write search.{svg,png,csv,md,html}: rewards, functions, found and published points."""
    from rankdet.outputs import check_outputs
    from rankdet.report.canvas import write_figure
    from rankdet.report.search import (
        figure_title,
        figure_words,
        read_found,
        search_figure,
        write_table,
    )

    content = read_found(found)
    target = out or found.parent
    check_outputs({}, {"--out": target}, inputs=[found])
    write_table(content, target)
    title, words = figure_title(content), figure_words(content)
    write_figure(search_figure(content), target, "search", title, words)
    typer.echo(f"{target}/search.{{svg,png,csv,md,html}}")
