"""The command as a process: other encodings, a reader that leaves, packages that are missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet.cli import missing_package
from rankdet.errors import LONGEST, InputError

SOURCE = Path(__file__).parents[3] / "src"
RUN = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); sys.argv[0] = 'rankdet'\n"
MAIN = "from rankdet.cli import main; main()"
BLOCK = """
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == {name!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
"""


def rankdet(*arguments, python=(), before="", **environment):
    command = [sys.executable, *python, "-c", RUN + before + MAIN, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    run = subprocess.run(command, env=environment, capture_output=True, timeout=100)
    return run.returncode, run.stdout, run.stderr


ASCII_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": name} for name in ("ascii", "latin-1")])
@pytest.mark.parametrize("arguments", [["list"], ["show", "rs_atss_r50"], ["--help"]])
def test_what_a_terminal_lacks_is_replaced(settings, arguments):
    code, out, err = rankdet(*arguments, **settings)
    assert code == 0 and len(out) > 500 and b"Traceback" not in err
    out.decode(settings["PYTHONIOENCODING"])


@pytest.mark.parametrize("settings", [ASCII_LOCALE, {"PYTHONIOENCODING": "ascii"}])
def test_a_mistake_is_told_without_unicode(settings):
    code, _, err = rankdet("show", "é", **settings)
    assert code == 2 and err.startswith(b"rankdet: error: expected an entry")
    assert b"UnicodeEncodeError" not in err and err.isascii()


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["show", "none"]])
def test_a_reader_that_leaves_is_no_crash(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-c", RUN + MAIN, *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=100,
    )
    os.close(writing)
    assert process.returncode in (1, 2)
    assert b"Traceback" not in process.stderr and b"BrokenPipe" not in process.stderr


@pytest.mark.parametrize("arguments", [[], ["list"], ["--help"], ["train", "rs_atss_r50"]])
def test_an_installation_for_the_losses_alone_says_what_the_command_needs(arguments):
    code, out, err = rankdet(*arguments, python=["-S"])  # -S: no installed package at all
    assert code == 2 and out == b""
    assert err.decode().splitlines() == [
        "rankdet: error: expected the package typer, which this command needs; "
        'got an installation without it; pip install "rankdet[pipeline]"'
    ]


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("rich", ["list"]),
        ("pydantic", ["list"]),
        ("matplotlib", ["report", "figures", "--preset", "demo"]),
        ("jinja2", ["report", "tables", "--preset", "demo"]),
        ("snakemake", ["plan", "smoke"]),
        ("sklearn", ["prepare", "digits", "--out", "digits"]),
    ],
)
def test_a_missing_package_is_named(package, arguments):
    code, _, err = rankdet(*arguments, before=BLOCK.format(name=package))
    assert code == 2 and len(err.splitlines()) == 1
    assert f"the package {package}, which this command needs".encode() in err
    assert b'pip install "rankdet[pipeline]"' in err


def test_a_part_of_an_installed_package_is_not_the_package():
    error = ModuleNotFoundError("No module named 'json._ext'", name="json._ext")
    assert "the module json._ext; got an installed json" in str(missing_package(error))
    with pytest.raises(ModuleNotFoundError):
        missing_package(ModuleNotFoundError("rankdet.typo", name="rankdet.typo"))


def test_a_message_is_one_bounded_line():
    message = str(InputError("a\nname", "\x1b[31m\udc80" + "x" * 10_000, "say\rso"))
    assert message.startswith(r"expected a\nname; got \x1b[31m\udc80xxx")
    assert message.isprintable() and len(message) < 3 * LONGEST
    assert str(InputError("é", "±0.3", "漢字")) == "expected é; got ±0.3; 漢字"


def test_a_target_of_a_plan_is_no_option_of_snakemake(tmp_path):
    code, _, err = rankdet("plan", "--", f"--directory={tmp_path}/made")
    assert code == 2 and b"Traceback" not in err
    assert not (tmp_path / "made").exists()


def test_a_command_that_computes_nothing_imports_nothing_slow():
    """torch and mmengine take seconds, and mmengine's yapf writes into the user's cache."""
    code = (
        "import importlib, pkgutil, sys, rankdet.cli\n"
        "for module in pkgutil.iter_modules(rankdet.cli.__path__, 'rankdet.cli.'):\n"
        "    importlib.import_module(module.name)\n"
        "slow = {'torch', 'mmengine', 'mmcv', 'mmdet', 'yapf', 'cv2', 'matplotlib'}\n"
        "found = sorted(slow & set(sys.modules))\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
