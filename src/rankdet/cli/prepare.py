"""`rankdet prepare digits|drawn|coco|lvis`: data sets that the later steps can rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import check_outputs, shown_path

prepare = typer.Typer(help="Prepare a data set and write its dataset.json.", no_args_is_help=True)
app.add_typer(prepare, name="prepare")


Sums = Annotated[
    Path | None, typer.Option(help="Hashes of its files (`sha256sum`); default ROOT/SHA256SUMS.")
]


Place = Annotated[Path | None, typer.Option(help="In place of the file or folder that is found.")]


@prepare.command("digits")
def prepare_digits(
    out: Annotated[Path, typer.Option(help="Folder to write the set into.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    train_images: Annotated[int, typer.Option(min=1)] = 1600,
    val_images: Annotated[int, typer.Option(min=1)] = 300,
    long_tail: Annotated[
        bool, typer.Option(help="LVIS v1 format with rare, common and frequent classes.")
    ] = False,
) -> None:
    """Compose the built-in digits set: real handwriting on real photographs."""
    from rankdet.datasets.digits import prepare_digits as compose

    check_outputs({}, {"--out": out})
    manifest = compose(out, seed, train_images, val_images, long_tail)
    _tell(manifest, out / "dataset.json")


@prepare.command("drawn")
def prepare_drawn(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    like: Annotated[str, typer.Option(help="coco, lvis or cityscapes.")] = "coco",
    seed: Annotated[int, typer.Option(help="Same seed, same images.")] = 0,
) -> None:
    """Draw a few small images in the layout of a paper's data set, for preset rehearsal."""
    from rankdet.datasets.drawn import prepare_drawn as draw

    check_outputs({}, {"--out": out})
    _tell(draw(out, like, seed), out / "dataset.json")


@prepare.command("coco")
def prepare_coco(
    root: Annotated[Path, typer.Option(help="Folder with annotations/ and the image folders.")],
    out: Annotated[Path, typer.Option(help="The dataset.json to write.")],
    name: Annotated[str, typer.Option(help="Stands in every result made from it.")] = "coco",
    overfit: Annotated[
        bool, typer.Option("--overfit", help="Train on the val images: an overfit check.")
    ] = False,
    sums: Sums = None,
    train_annotations: Place = None,
    train_images: Place = None,
    val_annotations: Place = None,
    val_images: Place = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Of one file without splits: the share to measure on, at random."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --val-fraction.")] = 0,
) -> None:
    """Check images with COCO annotations and point to them; images are not copied.

    ROOT is laid out as COCO, CVAT, Datumaro, Label Studio or Roboflow write it (docs/data.md);
    for any other layout name the files, relative to ROOT.
    """
    from rankdet.datasets.coco import prepare_coco as take_over

    _check_manifest_place(out, sums)
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
        Path, typer.Option(help="COCO's folder, with annotations/lvis_v1_{train,val}.json.")
    ],
    out: Annotated[Path, typer.Option(help="The dataset.json to write.")],
    name: Annotated[str, typer.Option(help="Stands in every result made from it.")] = "lvis",
    sums: Sums = None,
) -> None:
    """Check LVIS v1 annotations beside COCO's images and point to them; nothing is copied."""
    from rankdet.datasets.coco import prepare_coco as take_over

    _check_manifest_place(out, sums)
    _tell(take_over(root, out, name, format="lvis", sums=sums), out)


def _check_manifest_place(out: Path, sums: Path | None) -> None:
    """Refuse to replace anything but an older manifest: annotations have the same ending."""
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
