"""The image, really built over a Debian base without a Docker daemon, and run without a network."""

import json
import shutil

import pytest
from benchmarks.image_build import Image, cached_wheel, unfit

SMOKE = ("rs_atss_r50", "--preset", "smoke", "--threads", "1")
REASON = unfit()


BUILDS = {
    "built-in operators": {},
    "compiled operators, from a wheel": {"OPS": "mmcv"},
    "compiled operators": {"OPS": "mmcv"},
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.container, *([pytest.mark.heavy] if own else [])])
        for name, own in BUILDS.items()
    ],
)
def image(request, tmp_path_factory):
    if REASON:
        pytest.skip(REASON)
    wheel = cached_wheel() if "wheel" in request.param else None
    if "wheel" in request.param and wheel is None:
        pytest.skip("no mmcv wheel for Python 3.11 and CPU torch: make test-operators compiles it")
    image = Image(tmp_path_factory.mktemp("image") / "store", wheel)
    arguments = {"REVISION": "0123456789ab", **BUILDS[request.param]}
    try:
        image.build(*(f"--build-arg={name}={value}" for name, value in arguments.items()))
        yield image
    finally:
        image.remove()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder that the image's user may write."""
    folder = tmp_path_factory.mktemp("results")
    folder.chmod(0o777)
    return folder


def test_it_says_what_it_is(image):
    config = image.config()
    assert config["User"] == "1000:1000" and config["WorkingDir"] == "/results"
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    assert labels["title"] == "rankdet" and labels["licenses"] == "Apache-2.0"
    assert labels["revision"] == "0123456789ab" and labels["version"]


def test_it_runs_without_rights_and_has_no_compiler(image):
    done = image.run("id", "-u", raw=True)
    assert done.stdout.strip() == "1000", done.stderr
    assert image.run("sh", "-c", "touch /opt/rankdet/x", raw=True).returncode != 0
    for compiler in ("gcc", "g++", "cc", "nvcc"):
        assert image.run("sh", "-c", f"command -v {compiler}", raw=True).stdout == ""


def test_any_user_id_will_do(image):
    done = image.run("list", "--table", "rank-sort-one-stage", user="12345:12345")
    assert done.returncode == 0 and "rs_atss_r50" in done.stdout, done.stderr


def test_doctor_finds_no_problem(image, request):
    done = image.run("doctor", "--software")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("operators", "NMS", "RoIAlign"):
        assert name in done.stdout
    assert "problem:" not in done.stdout
    compiled = "compiled" in request.node.callspec.params["image"]
    assert ("mmcv (compiled)" if compiled else "nothing is compiled") in done.stdout


def test_one_experiment_without_a_network(image, results):
    mounts = {"/results": results}
    done = image.run("train", *SMOKE, mounts=mounts)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = results / "smoke" / "rs_atss_r50"
    run = json.loads((folder / "run.json").read_text())
    assert run["iterations"] == 2 and run["git"] == "0123456789ab"
    done = image.run("predict", *SMOKE, mounts=mounts)
    assert done.returncode == 0, done.stdout + done.stderr
    inside = "/results/smoke/rs_atss_r50"
    done = image.run(
        *("evaluate", "--dataset", "/results/data/digits-tiny/dataset.json"),
        *("--detections", f"{inside}/detections.json", "--out", f"{inside}/metrics.json"),
        mounts=mounts,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0 <= json.loads((folder / "metrics.json").read_text())["bbox"]["oLRP"] <= 1


def test_the_whole_workflow_is_in_it(image, results):
    done = image.run(
        "snakemake", "--profile", "workflow/profiles/local", "-n", "demo",
        mounts={"/results": results},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train" in done.stdout and (results / "configs" / "pipeline.yaml").is_file()


def test_missing_mounts_are_explained(image, results):
    done = image.run("train", *SMOKE)
    assert done.returncode == 2 and "-v RESULTS:/results" in done.stderr
    done = image.run("train", "rs_atss_r50", "--preset", "mini", mounts={"/results": results})
    assert done.returncode == 2 and "-v DATA:/data:ro" in done.stderr


def test_a_data_set_of_ones_own_is_read_where_it_is_mounted(image, results, tmp_path):
    data = tmp_path / "photos"
    (data / "annotations").mkdir(parents=True)
    mounts = {"/results": results, "/data": data}
    done = image.run("train", "rs_atss_r50", "--preset", "mini", mounts=mounts)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the train split in /data: annotations/instances_train2017.json" in done.stderr


@pytest.mark.heavy
@pytest.mark.skipif(not shutil.which("apptainer"), reason="apptainer is not installed")
def test_the_apptainer_file_trains_too(image, results):
    sif = image.sif()  # runs rankdet doctor in it
    inside = ("run", "--containall", "--bind", f"{results}:/results", str(sif))
    done = image.apptainer(*inside, "train", *SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr
    # Its file system cannot be written: without a mount there is no place for results.
    done = image.apptainer("run", "--containall", str(sif), "train", *SMOKE)
    assert done.returncode == 2 and "/results" in done.stderr, done.stderr
