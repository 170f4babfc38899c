"""What a package index gets: wheel, sdist and their metadata."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import PurePosixPath

import pytest

import rankdet
from tests.packaging.distributions import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KIB = 1024


def tracked(folder):
    """Return the files of a folder that git knows or would add, as paths below the root."""
    command = ["git", "ls-files", "-co", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(members):
    [name] = [name for name in members if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(members[name])


def test_the_wheel_has_the_package_and_the_configs_and_nothing_else(members):
    own = {name.removeprefix("src/") for name in tracked("src/rankdet")}
    configs = {f"rankdet/_{name}" for name in tracked("configs")}
    assert len(configs) > 100
    found = {name for name in members if ".dist-info/" not in name}
    assert found == own | configs
    for name in configs:
        assert members[name] == (ROOT / name.removeprefix("rankdet/_")).read_bytes()
    assert members["rankdet/py.typed"] == b""


def test_the_sdist_has_what_the_wheel_is_built_from_and_the_guides(sdist):
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(each.name) for each in archive.getmembers() if each.isfile()]
    found = {str(name.relative_to(name.parts[0])) for name in names}
    expected = tracked("src/rankdet") | tracked("configs") | tracked("docs")
    expected -= tracked("docs/images")
    top = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml"}
    assert found == expected | top | {"PKG-INFO", ".gitignore"}


def test_both_are_small(wheel, sdist):
    """Half a megabyte each; a file of data that slipped in is noticed."""
    sizes = {path.name: path.stat().st_size // KIB for path in (wheel, sdist)}
    assert max(sizes.values()) < 700, sizes


def test_the_version_has_one_place(wheel, sdist, metadata):
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    version = rankdet.__version__
    assert metadata["Version"] == version
    assert wheel.name == f"rankdet-{version}-py3-none-any.whl"
    assert sdist.name == f"rankdet-{version}.tar.gz"


def test_the_metadata_are_complete(members, metadata):
    assert metadata["Summary"] and metadata["Author"] and metadata["Keywords"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in members)
    assert metadata["Requires-Python"] == ">=3.10"
    required = [each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each]
    names = sorted(re.split(r"[<>=!~; ]", each)[0] for each in required)
    assert names == ["numpy", "torch", "torch"]  # a newer torch on newer Pythons
    assert set(metadata.get_all("Provides-Extra")) == {
        *("all", "calibration", "evaluation", "pipeline", "torchvision", "transformers")
    }


def test_every_classifier_is_known(metadata):
    from trove_classifiers import classifiers

    assert set(metadata.get_all("Classifier")) <= classifiers


def test_all_is_another_name_of_pipeline(metadata):
    def required(extra):
        marker = f"extra == '{extra}'"
        return {each.replace(marker, "") for each in metadata.get_all("Requires-Dist")} - {
            each for each in metadata.get_all("Requires-Dist") if marker not in each
        }

    assert len(required("pipeline")) > 15
    plain = {each for each in required("pipeline") if "extra ==" not in each}
    assert plain == {each for each in required("all") if "extra ==" not in each}


def test_the_page_of_the_index_has_no_link_that_leads_nowhere(metadata):
    """Links into the repository are plain text there, their words stay."""
    page = metadata.get_payload()
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert "](docs/" in (ROOT / "README.md").read_text() and "docs/use-in-your-detector.md" in page


def test_the_page_of_the_index_is_rendered(metadata):
    """By what PyPI uses: code, tables and headings; nothing that it would strip."""
    if not find_spec("comrak"):
        pytest.skip("the renderer of the index is not installed: make docs")
    from readme_renderer import markdown

    page = markdown.render(metadata.get_payload())
    assert page.count("<table>") >= 2 and page.count("<pre>") >= 6 and page.count("<h2 ") >= 8
    assert "](" not in page


def test_an_index_would_take_both(wheel, sdist):
    if not find_spec("twine"):
        pytest.skip("twine is not installed: make docs")
    command = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
