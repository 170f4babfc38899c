"""A value of a settings file or of a target's name is never run by a shell."""

import re
import shlex
import shutil
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.utils import QuotedFormatter, SequenceFormatter

from rankdet.catalogue.settings_files import check_settings
from rankdet.errors import InputError
from rankdet.search.plan import Plan, load_plans
from tests.workflow.project import ROOT, Project

HOSTILE = (
    "$(touch pwned)",
    "0; touch pwned; echo ",
    "`touch pwned`",
    "a\ntouch pwned\n",
    "'\";touch pwned",
)
# Words that the rules quote where they make them; everything else is quoted in the command.
MADE_OF_WORDS = {
    *("params.length", "params.iou_types", "params.options"),
    *("params.samples", "params.sums", "params.overfit"),
}


def commands():
    """Return every shell command of the rules, as the rule's author wrote it."""
    for path in [
        ROOT / "workflow" / "Snakefile",
        *sorted((ROOT / "workflow" / "rules").glob("*.smk")),
    ]:
        for block in re.findall(r"\n    shell:\n((?: {8}.*\n)+)", path.read_text()):
            yield "".join(re.findall(r'"(.*?)"', block))


COMMANDS = list(commands())


def fields(command):
    return [(name, spec) for _, name, spec, _ in string.Formatter().parse(command) if name]


def test_every_value_in_a_command_is_quoted():
    assert len(COMMANDS) >= 20
    for command in COMMANDS:
        for name, spec in fields(command):
            assert (spec == "q") != (name in MADE_OF_WORDS), (name, command)


class Everything:
    """Answers any attribute with one value."""

    def __init__(self, value):
        self.value = value

    def __getattr__(self, name):
        return self.value

    def __format__(self, spec):
        return QuotedFormatter().format_field(self.value, spec)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_every_value_stays_in_one_word(value):
    formatter = SequenceFormatter(element_formatter=QuotedFormatter())
    for command in COMMANDS:
        quoted = {name for name, spec in fields(command) if spec == "q"}
        rooms = {name.partition(".")[0] for name, _ in fields(command)}
        plain, shown = (
            shlex.split(
                formatter.format(
                    re.sub(
                        r"\{params\.(length|iou_types|options|samples|sums|overfit)\}", "", command
                    ),
                    **{room: Everything(each) for room in rooms},
                )
            )
            for each in ("x", value)
        )
        assert len(shown) == len(plain), command
        assert sum(value in word for word in shown) >= bool(quoted)


def pipeline():
    settings = {}
    for name in ("pipeline", "cluster"):
        settings |= yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    return settings


def places(value, path=()):
    """Yield the path of every text, number and null in nested settings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))
    else:
        yield path


def changed(settings, path, value):
    copy = yaml.safe_load(yaml.safe_dump(settings))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


FREE = {("coco",), ("mini",), ("lvis",), ("cityscapes",)}  # folders: any text, quoted


def test_every_setting_but_a_folder_refuses_a_command():
    settings = pipeline()
    settings["mirrors"] = ["https://example.org/files"]
    own = {"lvis": "lvis", "cityscapes": "cityscapes"}
    numbers = {"threads": 2, "gpu": 1, "iterations": 5}
    settings["presets"] = {"mini": {"data": "mini", "own_data": own, **numbers}}
    settings["cluster"]["rules"] = {"train": {"partition": "a", "account": "b", "gpu_model": "c"}}
    settings["cluster"]["rows"] = {"paper/rs_atss_r50": {"train": {"partition": "long"}}}
    check(settings)
    tried = 0
    for path in places(settings):
        for value in HOSTILE:
            if path in FREE or "entries" in path or "more_entries" in path:
                continue  # entries are looked up in the catalogue
            with pytest.raises(InputError):
                check(changed(settings, path, value))
            tried += 1
    assert tried > 100


def check(settings):
    check_settings(settings, ROOT / "workflow/schemas/pipeline.schema.yaml", "pipeline.yaml")
    check_settings(
        settings["cluster"], ROOT / "workflow/schemas/cluster.schema.yaml", "cluster.yaml"
    )


@pytest.mark.parametrize("name", ["partition", "gpu_partition", "account", "gpu_model"])
@pytest.mark.parametrize("value", ["long\n", "-x", "a b", "a;b", "a'b", "ä"])
def test_names_of_a_cluster_are_one_plain_word(name, value):
    settings = pipeline()
    settings["cluster"][name] = value
    with pytest.raises(InputError, match=name):
        check(settings)


def test_every_setting_of_a_search_refuses_a_command():
    plans = yaml.safe_load((ROOT / "configs" / "searches.yaml").read_text())
    settings = plans["demo"] | {"use": "best", "apply_gradient_scale": True, "threads": 1, "gpu": 0}
    Plan.of("demo", settings)
    for key in settings:
        for value in (*HOSTILE, [HOSTILE[0]], {"a": 1}, 1.5, float("nan"), "-x"):
            with pytest.raises(InputError, match=key):
                Plan.of("demo", settings | {key: value})
    for name in (*HOSTILE, "-x", "", "a/b", "..", 1, None):
        with pytest.raises(InputError, match="a search name of letters"):
            Plan.of(name, settings)


def test_an_entry_that_nobody_knows_is_refused(tmp_path):
    for name in ("experiments.csv", "published.csv", "searches.yaml"):
        (tmp_path / name).write_bytes((ROOT / "configs" / name).read_bytes())
    shutil.copytree(ROOT / "configs" / "official", tmp_path / "official")
    path = tmp_path / "searches.yaml"
    path.write_text(path.read_text().replace("pap_pap_frcnn_r50", "pap_pap_frcnn_r5"))
    with pytest.raises(InputError, match="nearest: pap_pap_frcnn_r50"):
        load_plans(tmp_path)


def made(project):
    return list(Path(project.folder.parent).rglob("pwned*"))


@pytest.fixture(scope="module")
def hostile_project(tmp_path_factory):
    """A workflow in a folder whose own name is hostile, with such values in its settings."""
    project = Project(tmp_path_factory.mktemp("injection") / "it's {x} $(touch pwned)")
    path = project.folder / "configs" / "pipeline.yaml"
    settings = yaml.safe_load(path.read_text())
    settings |= {"mini": "a folder'; touch pwned; '$(touch pwned)", "coco": "--out\n$(touch pwned)"}
    settings["mirrors"] = ["https://example.org/$(touch,pwned)`touch`{x}'"]
    path.write_text(yaml.safe_dump(settings))
    return project


def test_folders_with_any_name_are_only_looked_for(hostile_project):
    for name in ("mini", "mini-overfit", "coco"):
        run = hostile_project.snakemake(f"data/prepared/{name}/dataset.json")
        assert (
            run.returncode != 0 and "expected a folder with annotations and images" in run.stdout
        ), run.stdout
    assert made(hostile_project) == []


def test_the_name_of_the_workflows_own_folder_is_no_command(hostile_project):
    run = hostile_project.snakemake("data/prepared/digits-tiny/dataset.json")
    assert run.returncode == 0, run.stdout
    assert (hostile_project.folder / "data/prepared/digits-tiny/dataset.json").is_file()
    assert made(hostile_project) == []


@pytest.mark.parametrize(
    "target",
    [
        "results/published/{}/weights.json",
        "results/published/{}.models.json",
        "results/smoke/tables/{}.md",
        "results/{}/figures/ap.svg",
        "results/search/{}/round-000/state.json",
        "data/backbones/{}.pth",
        "data/prepared/drawn-{}/dataset.json",
        "data/search/{}/dataset.json",
    ],
)
def test_the_name_of_a_target_is_no_command(hostile_project, target):
    for value in ("$(touch pwned)", "a;touch pwned;", "-x"):
        run = hostile_project.snakemake("--", target.format(value))
        assert run.returncode != 0 and "No rule to produce" in run.stdout, run.stdout
    assert made(hostile_project) == []


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("results/published/rs_atss_r5/weights.json", "nearest: .*rs_atss_r50"),
        ("results/published/rank-sort-onestage.models.json", "nearest: .*rank-sort-one-stage"),
        ("results/search/demoo/round-000/state.json", "nearest: demo"),
        ("data/backbones/resnet50-1.pth", "nearest: resnet50"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(hostile_project, target, hint):
    run = hostile_project.snakemake(target)
    assert run.returncode != 0 and re.search(hint, run.stdout), run.stdout


def test_a_search_that_is_no_search_stops_before_the_dag(hostile_project):
    path = hostile_project.folder / "configs" / "searches.yaml"
    original = path.read_text()
    path.write_text(original.replace("seed: 0", 'seed: "0; touch pwned; echo "'))
    try:
        run = hostile_project.snakemake("data/search/demo/dataset.json")
    finally:
        path.write_text(original)
    assert run.returncode != 0 and "seed as an integer" in run.stdout
    assert made(hostile_project) == []
