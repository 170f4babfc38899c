"""The page of a run: what it shows, what is missing, where its links lead."""

import base64
import hashlib
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rankdet.catalogue import State, load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.cli import run_pages  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.report import pictures
from rankdet.report.beside import beside
from rankdet.report.classes import read_classes
from rankdet.report.links import run_links, sort_value
from rankdet.report.pictures import chosen, samples
from rankdet.report.results import read_results
from rankdet.report.run_page import CURVES, Sources, log_tail, render_run
from tests.unit.report.pages import SIZE, class_rows, write_run, write_val
from tests.unit.report.test_hostile_text import LABELS, SCRIPT, Shown

TEMPLATES = Path(pictures.__file__).with_name("templates")
ROW, OTHER = "rs_atss_r50", "control_atss_r50"


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


WITH_FIGURES = ("all_that_the_run_left", "the_same_page", "missing_file")


@pytest.fixture(autouse=True)
def only_some_tests_draw_figures(request, monkeypatch):
    """They take most of the time of a page, and have tests of their own."""
    if not any(name in request.node.name for name in WITH_FIGURES):
        monkeypatch.setattr("rankdet.report.run_page._figures", lambda *_: [])
        monkeypatch.setattr("rankdet.report.figures.draw_figures", lambda *_: {})


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "demo", ROW)
    write_run(tmp_path / "demo", OTHER)
    return tmp_path / "demo"


def page_of(catalogue, folder, entry=ROW, preset="demo", number=0, **options):
    found = read_results(catalogue, folder, preset)
    states = {each.entry_id: State("measured", True) for each in catalogue}
    others = {entry: found.get(OTHER)}
    sources = Sources(get_preset(preset), catalogue, states, others=others, **options)
    return render_run(found[entry].runs[number], found[entry], sources)


class Words(Shown):
    """The text of a page, with a space between elements."""

    def handle_data(self, data):
        super().handle_data(f" {data} ")


def words_of(text):
    page = Words()
    page.feed(text)
    return " ".join(page.text.split())


def drawn(text):
    return [
        Image.open(io.BytesIO(base64.b64decode(each)))
        for each in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    ]


def test_the_page_has_all_that_the_run_left(catalogue, folder, tmp_path):
    logs = tmp_path / "logs"
    (logs / ROW).mkdir(parents=True)
    (logs / ROW / "train.log").write_text("first\nstep 1\rstep 2\r\n\x1b[31mred\x1b[0m\x07 end\n")
    val = {ROW: write_val(tmp_path / "val")}
    text = page_of(catalogue, folder, logs=logs, val=val)
    words = words_of(text)
    assert text.count("<svg") == 2 * len(CURVES)  # each in two widths
    for part in (
        "RS-ATSS ResNet-50",
        "Verdict on the row: not comparable: digits set",
        "AP 39.9 40.0 not comparable: digits set",  # published, of this run
        "zero 6 25.0 50.0 10.0 62.5 20.0 30.0 40.0 0.500",
        "one 12 — 50.0 10.0 — 20.0 30.0 40.0 —",
        "1 difference from the official run",
        "depth 50 18 preset demo",
        "model: type: ATSS depth: 18",
        "An invented processor",
        "torch 2.13.0",
        hashlib.sha256(b"weights").hexdigest(),
        "first step 2 red end",
        "git checkout 0123456789ab",
        "rankdet train rs_atss_r50 --preset demo",
        "--out results/demo/rs_atss_r50/checkpoint.pth --seed 0",
        "snakemake --profile workflow/profiles/local results/demo/rs_atss_r50/metrics.json",
    ):
        assert part in words, part
    assert len(drawn(text)) == 9 and "Focal (control_atss_r50)" in words
    assert 'alt="Ground truth: zero, one"' in text
    assert 'alt="Rank &amp; Sort (this run): zero"' in text
    assert not re.search(r'(src|href)="(https?:)?//', text) and "@import" not in text


def test_the_same_results_make_the_same_page(catalogue, folder, tmp_path):
    val = {ROW: write_val(tmp_path / "val")}
    assert page_of(catalogue, folder, val=val) == page_of(catalogue, folder, val=val)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("run.json", "The settings were not recorded"),
        ("training.jsonl", "Training: not shown"),
        ("curves.json", "LRP error by score threshold, mean over classes: not shown"),
        ("detections.json", "No pictures: detections.json is missing."),
        ("checkpoint.pth", "SHA-256"),
    ],
)
def test_a_missing_file_is_named_and_the_rest_stays(catalogue, folder, tmp_path, gone, said):
    (folder / ROW / gone).unlink()
    val = {ROW: write_val(tmp_path / "val")}
    text = page_of(catalogue, folder, val=val)
    assert said in words_of(text) and f'href="{gone}"' not in text
    assert "Run again" in text


def test_results_of_an_earlier_version_have_no_settings(catalogue, folder):
    path = folder / ROW / "run.json"
    record = json.loads(path.read_text())
    del record["config"], record["differences"]
    path.write_text(json.dumps(record))
    words = words_of(page_of(catalogue, folder))
    assert "from an earlier version of rankdet" in words and "rankdet show rs_atss_r50" in words
    assert "No pictures: the data set was not given" in words and "No log:" in words


@pytest.mark.parametrize("label", [*LABELS, "</style><script>", "'\"><img src=x onerror=alert(1)>"])
def test_text_from_outside_is_text(catalogue, tmp_path, label):
    names = (label, "one")
    place = write_run(tmp_path / "demo", ROW, names=names)
    path = place / "run.json"
    record = json.loads(path.read_text())
    record["config"] = {label[:100]: label}
    record["differences"] = [dict.fromkeys(("setting", "official", "here", "reason"), label)]
    record["machine"] = {"cpu": label}
    record["data"]["name"] = record["git"] = label
    path.write_text(json.dumps(record))
    log = tmp_path / "logs" / ROW / "train.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{label}\n")
    val = {ROW: write_val(tmp_path / "val", names)}
    text = page_of(catalogue, tmp_path / "demo", logs=tmp_path / "logs", val=val)
    page = Shown()
    page.feed(text)
    assert page.scripts == 1 and SCRIPT not in text and "onerror=alert(1)>" not in text
    assert "\x1b" not in text and "\x07" not in text
    assert "git checkout" not in text  # only the name of a commit becomes part of a command
    assert len(drawn(text)) == 6


def test_runs_of_several_seeds_link_to_each_other(catalogue, tmp_path):
    for seed, ap in ((0, 0.3), (1, 0.5)):
        write_run(tmp_path / "demo", ROW, ap=ap, seed=seed, several=True)
    text = page_of(catalogue, tmp_path / "demo", number=1)
    assert 'href="../seed-0/run.html">seed 0</a> <strong>seed 1</strong>' in text
    assert 'href="../../report.html"' in text and "AP 39.9 50.0" in words_of(text)
    assert "--out results/demo/rs_atss_r50/seed-1/checkpoint.pth" in words_of(text)


# Sample images.


def test_the_images_are_spread_over_the_annotated_ones(tmp_path):
    from rankdet.evaluation.reading import read_ground_truth

    for count, places in ((6, [1, 3, 5]), (1, [0]), (2, [0, 1]), (12, [2, 6, 10])):
        data = write_val(tmp_path / str(count), images=count)
        assert chosen(read_ground_truth(data.annotations)) == places


def test_only_detections_above_the_threshold_of_their_class_are_drawn(catalogue, folder, tmp_path):
    run = read_results(catalogue, folder, "demo")[ROW].first
    found = samples([("own", run)], write_val(tmp_path / "val"))
    # Of two of class zero one is below; class one has no threshold, since nothing was found.
    assert [panel.words for panel in found[0].panels] == ["zero, one", "zero"]
    pixels = drawn(found[0].panels[1].address)[0]
    assert pixels.size == (480, 360)
    edge, inside = pixels.getpixel((60, 200)), pixels.getpixel((120, 200))
    assert edge[2] - edge[0] > 60 and abs(inside[2] - inside[0]) < 30  # blue, gray


def test_masks_are_filled(catalogue, tmp_path):
    place = write_run(tmp_path / "demo", "rs_mask_r50", masks=True)
    corners = [[20, 30, 60, 30, 60, 80, 20, 80]]
    from pycocotools import mask as mask_tools

    encoded = mask_tools.frPyObjects(corners, 120, 160)[0]
    mask = {"size": [120, 160], "counts": encoded["counts"].decode()}
    path = place / "detections.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps([{**each, "segmentation": mask} for each in found]))
    run = read_results(catalogue, tmp_path / "demo", "demo")["rs_mask_r50"].first
    panels = samples([("own", run)], write_val(tmp_path / "val"))[0].panels
    for panel in panels:
        inside = drawn(panel.address)[0].getpixel((120, 200))
        assert inside[2] - inside[0] > 30  # blue over gray


def test_a_picture_is_turned_as_the_loader_turns_it(catalogue, folder, tmp_path):
    data = write_val(tmp_path / "val")
    lying = np.zeros((SIZE[0], SIZE[1], 3), np.uint8)
    note = Image.Exif()
    note[0x0112] = 6
    Image.fromarray(lying).save(tmp_path / "val" / "val" / "2.png", exif=note)
    run = read_results(catalogue, folder, "demo")[ROW].first
    assert drawn(samples([("own", run)], data)[0].panels[0].address)[0].size == (480, 360)
    as_stored = pictures.ValData(**{**vars(data), "as_stored": True})
    assert drawn(samples([("own", run)], as_stored)[0].panels[0].address)[0].size == (360, 480)


@pytest.mark.parametrize(
    "broken",
    [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, None],
    ids=["empty", "text", "header", "gone"],
)
def test_an_image_that_cannot_be_read_is_named(catalogue, folder, tmp_path, broken):
    data = write_val(tmp_path / "val")
    path = tmp_path / "val" / "val" / "2.png"
    path.unlink() if broken is None else path.write_bytes(broken)
    text = page_of(catalogue, folder, val={ROW: data})
    assert "2.png : cannot be read" in words_of(text) and len(drawn(text)) == 6


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA"])
def test_images_of_every_mode_are_drawn(catalogue, folder, tmp_path, mode):
    data = write_val(tmp_path / "val")
    path = tmp_path / "val" / "val" / "2.png"
    image = Image.new(mode, SIZE)
    image.save(path, "TIFF" if mode == "CMYK" else "PNG")
    run = read_results(catalogue, folder, "demo")[ROW].first
    assert samples([("own", run)], data)[0].problem == ""


def test_a_picture_of_noise_stays_small(catalogue, folder, tmp_path):
    data = write_val(tmp_path / "val")
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    for path in (tmp_path / "val" / "val").iterdir():
        Image.fromarray(noise).save(path)
    text = page_of(catalogue, folder, val={ROW: data})
    sizes = [len(each) for each in re.findall(r"base64,([A-Za-z0-9+/=]+)", text)]
    assert len(sizes) == 9 and sum(sizes) <= 300_000


def test_detections_that_are_not_ours_are_reported_in_the_page(catalogue, folder, tmp_path):
    (folder / ROW / "detections.json").write_text('[{"image_id": 1}]')
    words = words_of(page_of(catalogue, folder, val={ROW: write_val(tmp_path / "val")}))
    assert "No pictures: expected" in words


# Its parts.


def test_the_row_beside_is_another_loss_of_the_same_detector(catalogue):
    preset = get_preset("demo")
    names = ("rs_paa_r50", "rs_frcnn_r50", OTHER, "alrp_mmdet_alrp_atss_r50_500", ROW)
    rows = [catalogue[name] for name in names]
    assert beside(catalogue[ROW], rows, preset).entry_id == OTHER  # the baseline first
    assert beside(catalogue["rs_frcnn_r50"], rows, preset).entry_id == OTHER
    assert beside(catalogue[ROW], rows[:2], preset).entry_id == "rs_paa_r50"
    assert beside(catalogue[ROW], [catalogue[ROW]], preset) is None
    lvis = [each for each in catalogue if each.dataset == "lvis"]
    assert beside(catalogue[ROW], lvis, get_preset("paper")) is None  # other data


@pytest.mark.parametrize(
    "rows",
    [
        *({"bbox": 1}, 3, {"bbox": ["x"]}, {"bbox": [{}]}),
        *({"bbox": [{**class_rows()[0], key: value}]} for key, value in (
            ("AP", 2), ("AP", "x"), ("name", 1), ("annotations", -1.5), ("category_id", None),
            ("oLRP_threshold", "x"), ("oLRP_threshold", 1e300), ("AP", True),
        )),
    ],
)  # fmt: skip
def test_classes_that_are_not_ours_are_refused(tmp_path, rows):
    (tmp_path / "metrics.json").write_text(json.dumps({"per_class": rows}))
    with pytest.raises(InputError, match=r"per_class.*evaluate the entry again"):
        read_classes(tmp_path / "metrics.json", "bbox")


def test_the_end_of_a_long_log(tmp_path):
    (tmp_path / ROW).mkdir()
    lines = [f"line {number} " + "x" * 600 for number in range(1000)]
    (tmp_path / ROW / "train.log").write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    shown, why = log_tail(tmp_path, ROW)
    assert len(shown) == 40 and shown[-2].startswith("line 999 ") and why == ""
    assert max(map(len, shown)) == 400
    assert log_tail(tmp_path, "other") == ([], f"no train.log in {tmp_path}")


def test_cells_are_sorted_as_numbers():
    for cell, value in (("−1.2", "-1.2"), ("+0.3", "0.3"), ("—", ""), ("", ""), ("12", "12")):
        assert sort_value(cell) == value
    assert sort_value("coming soon") == "coming soon" and sort_value("833×500") == "833×500"


def test_the_vendored_script_is_the_published_one():
    text = (TEMPLATES / "vendor" / "README.md").read_text()
    rows = re.findall(r"^\| `([^`]+\.js)` .*`([0-9a-f]{64})` \|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == [path.name for path in (TEMPLATES / "vendor").glob("*.js")]
    for name, sha256 in rows:
        content = (TEMPLATES / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        assert b"</script" not in content.lower()


# The commands.


def call(*arguments):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def links_of(path):
    return re.findall(r'(?:href|src)="([^"#][^":]*)"', path.read_text())


def test_every_link_of_every_page_leads_somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "results" / "demo"
    write_run(root, OTHER)
    for seed in (0, 1):
        write_run(root, ROW, ap=0.3 + seed / 10, seed=seed, several=True)
    call("html", "--preset", "demo")
    call("tables", "--preset", "demo")
    call("tables", "--preset", "demo", "--out", root / "all" / "tables")
    call("html", "--preset", "demo", "--no-runs", "--out", root / "all" / "report.html")
    pages = sorted(root.rglob("*.html"))
    places = (OTHER, f"{ROW}/seed-0", f"{ROW}/seed-1")
    assert [root / place / "run.html" in pages for place in places] == [True] * 3
    for page in pages:
        for link in links_of(page):
            assert (page.parent / link).is_file(), (page, link)
    for name, prefix in (("report.html", ""), ("all/report.html", "../")):
        found = set(links_of(root / name))
        assert {f"{prefix}{place}/run.html" for place in places} <= found
    table = root / "all" / "tables" / "rank-sort-one-stage.html"
    assert set(links_of(table)) == {f"../../{ROW}/seed-0/run.html"}
    assert "seed-1/run.html" not in (root / "tables" / "rank-sort-one-stage.html").read_text()


def test_numbers_link_only_to_pages_that_exist(folder, tmp_path):
    call("html", "--preset", "demo", "--results", folder, "--no-runs")
    call("tables", "--preset", "demo", "--results", folder)
    assert not list(folder.rglob("run.html"))
    assert links_of(folder / "report.html") == []
    call("run", ROW, "--preset", "demo", "--results", folder)
    call("html", "--preset", "demo", "--results", folder, "--no-runs")
    assert set(links_of(folder / "report.html")) == {f"{ROW}/run.html"}
    # Elsewhere a page stands alone: an address would name the folders of this machine.
    call("html", "--preset", "demo", "--results", folder, "--out", tmp_path / "sent.html")
    assert links_of(tmp_path / "sent.html") == []


def test_one_run_of_several(tmp_path, catalogue):
    for seed in (0, 1):
        write_run(tmp_path / "demo", ROW, seed=seed, several=True)
    options = ("--preset", "demo", "--results", tmp_path / "demo")
    call("run", ROW, *options, "--only", f"{ROW}/seed-1", "--beside", "none")
    assert [path.parent.name for path in tmp_path.rglob("run.html")] == ["seed-1"]
    found = read_results(catalogue, tmp_path / "demo", "demo")
    links = run_links(found, tmp_path / "demo", tmp_path / "demo" / "report.html")
    assert links == {ROW: {f"{ROW}/seed-1": f"{ROW}/seed-1/run.html"}}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((ROW, "--only", f"{ROW}/seed-7"), "--only with a run"),
        (("rs_paa_r50",), "a result of rs_paa_r50"),
        ((ROW, "--data", "nowhere.json"), "--data, a dataset.json; got no nowhere.json"),
        ((ROW, "--beside", "nobody"), "an entry of the catalogue"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(folder, options, said):
    with pytest.raises(InputError, match=said):
        call("run", *options, "--preset", "demo", "--results", folder)
    assert not list(folder.rglob("run.html"))


@pytest.mark.parametrize("preset", ["demo", "published"])
def test_the_commands_are_those_of_this_version(catalogue, tmp_path, preset):
    """Each is parsed by the command line itself, up to the files that are not there."""
    import typer.main

    from rankdet.report.again import commands

    for name in ("convert", "evaluate", "fetch", "train"):
        __import__(f"rankdet.cli.{name}" if name != "convert" else "rankdet.cli.fetch")
    entry = "rs_mask_r50"
    place = write_run(tmp_path / preset, entry, preset, masks=True, data="coco")
    path = place / "run.json"
    record = json.loads(path.read_text())
    record |= {"threads": 4, "processes": 2, "passes": 2, "speed": {"bf16": True, "compiled": True}}
    path.write_text(json.dumps(record))
    run = read_results(catalogue, tmp_path / preset, preset)[entry].first
    group = typer.main.get_command(app)
    verbs = []
    for line in commands(run, get_preset(preset)):
        words = shlex.split(line.replace("\\\n", " "))
        assert words.pop(0) == "rankdet"
        command = group
        while hasattr(command, "commands"):
            verbs.append(words[0])
            command = command.commands[words.pop(0)]
        command.make_context(verbs[-1], words)
    trained = ["train", "predict", "evaluate"]
    assert verbs == (
        trained if preset == "demo" else ["fetch", "checkpoint", "convert", *trained[1:]]
    )
