"""`rankdet fetch` and `convert`: data, backbones, published checkpoints, verified and resumable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.outputs import check_outputs

if TYPE_CHECKING:
    from rankdet.downloads.obtain import FetchOptions
from rankdet.cli import places
from rankdet.cli.places import logged

fetch = typer.Typer(
    help="Download data, backbones and published checkpoints: verified and resumable.",
    no_args_is_help=True,
)
app.add_typer(fetch, name="fetch")

Inbox = Annotated[Path, typer.Option(help="Folder for files that you have to download by hand.")]
Mirror = Annotated[
    list[str] | None,
    typer.Option(help="URL of a folder to try first; can be repeated.", envvar="RANKDET_MIRRORS"),
]
Connections = Annotated[int, typer.Option(min=1, max=16, help="Parallel connections per file.")]
Archives = Annotated[Path, typer.Option(help="Folder for the archives until they are extracted.")]
Keep = Annotated[bool, typer.Option(help="Keep the archives after extraction.")]
INBOX, ARCHIVES = Path("data/inbox"), Path("data/downloads")
BACKBONES, CHECKPOINTS = Path("data/backbones"), Path("data/checkpoints")


@fetch.command("coco")
def coco(
    into: Annotated[Path, typer.Option(help="Target folder, in COCO layout.")] = Path("data/coco"),
    test: Annotated[bool, typer.Option(help="Also test2017, for the evaluation server.")] = False,
    sums: Annotated[Path, typer.Option(help="File for the hashes of the annotations.")] = (
        ARCHIVES / "coco.sha256"
    ),
    archives: Archives = ARCHIVES,
    keep_archives: Keep = False,
    inbox: Inbox = INBOX,
    mirror: Mirror = None,
    connections: Connections = 4,
) -> None:
    """Download COCO 2017: 118 287 + 5 000 images and annotations (19 GiB, extracted 20)."""
    from rankdet.downloads.obtain import Folders, fetch_data_set
    from rankdet.downloads.table import data_set

    check_outputs({"--sums": sums}, {"--into": into, "--archives": archives})
    rows = [row for row in data_set("coco") if test or "test" not in row.name]
    folders = Folders(into, archives, keep_archives)
    fetch_data_set(rows, folders, _options(inbox, mirror, connections), sums)
    typer.echo(f"{into} is complete: rankdet prepare coco --root {into} --sums {sums} --out ...")


@fetch.command("lvis")
def lvis(
    into: Annotated[Path, typer.Option(help="COCO folder; LVIS uses its images.")] = Path(
        "data/coco"
    ),
    sums: Annotated[Path, typer.Option(help="File for the hashes of the annotations.")] = (
        ARCHIVES / "lvis.sha256"
    ),
    archives: Archives = ARCHIVES,
    keep_archives: Keep = False,
    inbox: Inbox = INBOX,
    mirror: Mirror = None,
    connections: Connections = 4,
) -> None:
    """Download the LVIS v1 annotations; LVIS uses the images of COCO (`rankdet fetch coco`)."""
    from rankdet.downloads.obtain import Folders, fetch_data_set
    from rankdet.downloads.table import data_set

    check_outputs({"--sums": sums}, {"--into": into, "--archives": archives})
    folders = Folders(into, archives, keep_archives)
    fetch_data_set(data_set("lvis"), folders, _options(inbox, mirror, connections), sums)
    typer.echo(f"{into} is complete; its images are train2017 and val2017 of COCO")


@fetch.command("cityscapes-help")
def cityscapes_help(
    into: Annotated[Path, typer.Option(help="Target folder.")] = Path("data/cityscapes"),
    inbox: Inbox = INBOX,
) -> None:
    """Explain how to get Cityscapes, which requires a login; verify and extract your downloads."""
    from rankdet.downloads.obtain import take_cityscapes

    check_outputs({}, {"--into": into})
    typer.echo(take_cityscapes(into, _options(inbox)))


@fetch.command("backbone")
def backbone(
    names: Annotated[
        list[str], typer.Argument(help="Names or files listed in configs/downloads.csv.")
    ],
    into: Annotated[
        Path, typer.Option(envvar="RANKDET_BACKBONES", help="Target folder.")
    ] = BACKBONES,
    inbox: Inbox = INBOX,
    mirror: Mirror = None,
    connections: Connections = 4,
) -> None:
    """Download ImageNet weights, e.g. `resnet50`; an unknown name lists the known ones."""
    from rankdet.downloads.obtain import obtain
    from rankdet.downloads.table import find_backbone
    from rankdet.weights.checkpoint_files import check_backbone

    check_outputs({}, {"--into": into})
    options = _options(inbox, mirror, connections)
    for row in [find_backbone(name) for name in names]:
        sha256 = obtain(row, into / row.file, options, check_backbone)
        typer.echo(f"{into / row.file}: sha256 {sha256}")


@fetch.command("checkpoint")
def checkpoint(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    into: Annotated[Path, typer.Option(help="Target folder.")] = CHECKPOINTS,
    status: Annotated[
        Path | None,
        typer.Option(help="JSON file for the outcome; a missing model is then not an error."),
    ] = None,
    inbox: Inbox = INBOX,
    mirror: Mirror = None,
    connections: Connections = 4,
) -> None:
    """Download the official trained model of an entry and check that it fits our model."""
    from rankdet.catalogue import load_catalogue
    from rankdet.downloads.obtain import Unreachable
    from rankdet.outputs import write_json

    row = load_catalogue()[entry]
    own = [into / f"{entry}.pth", into / f"{entry}.pth.sha256"]
    check_outputs({"--status": status}, {"--into": into}, own=own)
    try:
        found = _checkpoint(row, into / f"{entry}.pth", _options(inbox, mirror, connections))
    except Unreachable:
        raise  # may succeed in another run: not an outcome yet
    except InputError as error:
        if status is None:
            raise
        found = {"entry": entry, "state": "missing", "reason": error.got, "todo": error.fix}
    if status is not None:
        write_json(status, found)
    typer.echo(f"{entry}: {found['state']}, {found.get('reason') or found.get('file')}")


@fetch.command("status")
def status_command(
    statuses: Annotated[
        list[Path], typer.Argument(help="Files written with --status, one per model.")
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write: available and missing models.")],
) -> None:
    """Summarize which published models are available."""
    from rankdet.files import read_json
    from rankdet.outputs import write_json

    check_outputs({"--out": out}, inputs=statuses)
    found: dict[str, list] = {"available": [], "missing": []}
    for path in statuses:
        status = read_json(path, "a status of `rankdet fetch checkpoint`")
        found[status["state"]].append(status)
    write_json(out, found)
    typer.echo(", ".join(f"{len(models)} {state}" for state, models in found.items()))


@fetch.command("all")
def everything(
    inbox: Inbox = INBOX,
    mirror: Mirror = None,
    connections: Connections = 4,
) -> None:
    """Download COCO, LVIS, all backbones and all published checkpoints; list the failures."""
    from rankdet.catalogue import load_catalogue
    from rankdet.downloads.table import backbone_of, published_model

    common: dict[str, Any] = {"inbox": inbox, "mirror": mirror, "connections": connections}
    entries = list(load_catalogue())
    files = sorted({row.file for entry in entries if (row := backbone_of(entry))})
    models = [entry.entry_id for entry in entries if not isinstance(published_model(entry), str)]
    steps: list[tuple[str, Callable[[], None]]] = [
        *(("COCO", partial(coco, **common)), ("LVIS", partial(lvis, **common))),
        *((file, partial(backbone, [file], **common)) for file in files),
        *((name, partial(checkpoint, name, **common)) for name in models),
    ]
    failures = []
    for name, step in steps:
        try:
            step()
        except InputError as error:
            failures.append(f"{name}: {error}")
            typer.echo(failures[-1], err=True)
    if failures:
        first = f"{len(failures)} failures, the first is {failures[0]}"
        raise InputError(f"all {len(steps)} downloads", first, "run it again: finished files stay")


def _options(inbox: Path, mirrors: list[str] | None = None, connections: int = 4) -> FetchOptions:
    from rankdet.downloads.obtain import FetchOptions
    from rankdet.downloads.transfer import TransferSettings

    return FetchOptions(inbox, tuple(mirrors or ()), TransferSettings(connections=connections))


def _checkpoint(entry, target: Path, options: FetchOptions) -> dict:
    from rankdet.downloads.obtain import obtain
    from rankdet.downloads.table import published_model

    row = published_model(entry)
    if isinstance(row, str):
        raise InputError(f"a published model of {entry.entry_id}", row, "train it: rankdet train")

    def fits(path: Path) -> None:
        from rankdet.weights.convert import read_official

        read_official(entry.entry_id, path)

    sha256 = obtain(row, target, options, fits)
    found = {"entry": entry.entry_id, "state": "available", "file": str(target), "sha256": sha256}
    return {**found, "url": row.addresses[0], "repository": row.source}


@app.command("convert")
def convert(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    source: Annotated[
        Path, typer.Option(help="The official file, from `rankdet fetch checkpoint`.")
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint to write; run.json is written next to it.")],
    data: Annotated[
        Path | None,
        typer.Option(help="dataset.json that it will be evaluated on; its name is recorded."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for the full log.")] = None,
) -> None:
    """Convert an official model: rename its tensors, keep only tensors, check them strictly."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    load_catalogue()[entry]
    manifest = load_manifest(data) if data else None
    outputs = {"--out": out, "run.json next to --out": out.parent / "run.json"}
    check_outputs(outputs, log=log, inputs=[source, *places.files_of(data, manifest)])
    with logged(log):
        from rankdet.weights.convert import convert as run

        record = run(entry, source, out, manifest)
    typer.echo(f"{entry}: {record['weights']['tensors']} tensors, {out}")
