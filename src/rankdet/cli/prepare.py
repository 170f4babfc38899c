"""`rankdet prepare digits|drawn|coco|lvis`: check or generate data sets for the later steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import check_outputs, shown_path

prepare = typer.Typer(
    help="Check or generate a data set and write its dataset.json.", no_args_is_help=True
)
app.add_typer(prepare, name="prepare")


Sums = Annotated[
    Path | None, typer.Option(help="Hashes of the files (`sha256sum`); default: ROOT/SHA256SUMS.")
]


Override = Annotated[
    Path | None, typer.Option(help="Use this instead of the file or folder that is detected.")
]


@prepare.command("digits")
def prepare_digits(
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    train_images: Annotated[int, typer.Option(min=1)] = 1600,
    val_images: Annotated[int, typer.Option(min=1)] = 300,
    long_tail: Annotated[
        bool, typer.Option(help="LVIS v1 format with rare, common and frequent classes.")
    ] = False,
    imbalance: Annotated[
        float | None,
        typer.Option(
            help="LVIS v1 format; the first class has this many times the training objects of the "
            "last. Val stays balanced."
        ),
    ] = None,
    objects: Annotated[
        str, typer.Option(help="Objects per image: few (1-2), some (2-8) or many (8-16).")
    ] = "some",
    val_seed: Annotated[
        int | None, typer.Option(help="Seed of the val split alone; default: --seed.")
    ] = None,
) -> None:
    """Generate the built-in digits data set: real handwriting on real photographs."""
    from rankdet.datasets.digits import prepare_digits as compose

    check_outputs({}, {"--out": out})
    counts = train_images, val_images
    manifest = compose(out, seed, *counts, long_tail, imbalance, objects, val_seed)
    _tell(manifest, out / "dataset.json")


@prepare.command("drawn")
def prepare_drawn(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    like: Annotated[str, typer.Option(help="coco, lvis or cityscapes.")] = "coco",
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
) -> None:
    """Generate a few small images in the layout of a paper's data set, for preset rehearsal."""
    from rankdet.datasets.drawn import prepare_drawn as draw

    check_outputs({}, {"--out": out})
    _tell(draw(out, like, seed), out / "dataset.json")


@prepare.command("coco")
def prepare_coco(
    root: Annotated[Path, typer.Option(help="Folder with annotations/ and the image folders.")],
    out: Annotated[Path, typer.Option(help="dataset.json to write.")],
    name: Annotated[
        str, typer.Option(help="Name of the data set, recorded in every result.")
    ] = "coco",
    overfit: Annotated[
        bool,
        typer.Option(
            "--overfit", help="Train on the val images, to check that a model can overfit."
        ),
    ] = False,
    sums: Sums = None,
    train_annotations: Override = None,
    train_images: Override = None,
    val_annotations: Override = None,
    val_images: Override = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="For a single file without splits: random share for validation."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --val-fraction.")] = 0,
) -> None:
    """Check images with COCO annotations and record their paths; images are not copied.

    ROOT has the layout of COCO, CVAT, Datumaro, Label Studio or Roboflow (docs/data.md); for any
    other layout, give the files relative to ROOT.
    """
    from rankdet.datasets.coco import prepare_coco as take_over

    _check_manifest_path(out, sums)
    files = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    given = {key: path for key, path in files.items() if path is not None}
    manifest = take_over(
        root,
        out,
        name,
        sums=sums,
        overfit=overfit,
        files=given,
        val_fraction=val_fraction,
        seed=seed,
    )
    _tell(manifest, out)


@prepare.command("lvis")
def prepare_lvis(
    root: Annotated[
        Path, typer.Option(help="COCO folder, with annotations/lvis_v1_{train,val}.json.")
    ],
    out: Annotated[Path, typer.Option(help="dataset.json to write.")],
    name: Annotated[
        str, typer.Option(help="Name of the data set, recorded in every result.")
    ] = "lvis",
    sums: Sums = None,
) -> None:
    """Check LVIS v1 annotations with COCO's images and record their paths; nothing is copied."""
    from rankdet.datasets.coco import prepare_coco as take_over

    _check_manifest_path(out, sums)
    _tell(take_over(root, out, name, format="lvis", sums=sums), out)


def _check_manifest_path(out: Path, sums: Path | None) -> None:
    """Refuse to overwrite any file but an older manifest: annotations have the same suffix."""
    check_outputs({"--out": out}, inputs=[sums])
    try:
        content = read_json(out) if out.exists() and out.stat().st_size else {}
    except InputError:
        content = None
    if content and isinstance(content, dict) and {"format", "train", "val"} <= set(content):
        return
    if content != {}:
        got = f"{shown_path(out)}, which is something else"
        raise InputError("a new file or an older dataset.json for --out", got, "choose another")


def _tell(manifest, path: Path) -> None:
    for split in ("train", "val"):
        part = getattr(manifest, split)
        typer.echo(f"{split}: {part.image_count} images, {part.annotation_count} annotations")
    typer.echo(f"{manifest.name}: {len(manifest.classes)} classes, {path}")
