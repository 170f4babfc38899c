"""envs/: what comes from a package index, and the cached wheel, is what was pinned."""

import ast
import io
import os
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from benchmarks.image_build import installer

HASHED = (
    *("requirements.txt", "torch-cuda.txt", "mmcv.txt", "mmcv-lite.txt"),
    *("lint.txt", "docs.txt", "pages.txt", "lock.txt"),
)
HERE = Path(sys.prefix)  # an environment with pip


@pytest.fixture
def install():
    return installer()


@pytest.mark.parametrize("file", HASHED)
def test_every_requirement_has_a_version_and_hashes(install, file):
    lines = install.requirements(file)
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+==[\w.]+( ;[^#]*?)?( --hash=sha256:[0-9a-f]{64})+$", line)


def test_a_version_stands_in_one_place(install):
    own, cuda = (
        {line.partition("==")[0]: install.version_only(line) for line in install.requirements(name)}
        for name in ("requirements.txt", "torch-cuda.txt")
    )
    assert [cuda.pop("torch")] == install.requirements("torch-cpu.txt")
    assert not own.keys() & cuda.keys()


def test_the_lock_tool_writes_the_files_that_are_installed(install, tmp_path, monkeypatch):
    """With a `uv` that knows one hash: versions and comments stay, old hashes do not."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\nwhile read -r pin; do echo "$pin --hash=sha256:new"; done\n')
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(install.ENVS))
    import lock

    monkeypatch.setattr(lock, "ENVS", tmp_path)
    monkeypatch.setattr(lock, "requirements", installer_in(install, tmp_path, monkeypatch))
    for name in (*lock.HASHED, "torch-cpu.txt", "torch-cuda.txt", "adapters.txt"):
        (tmp_path / name).write_text(f"# why\n{name[:-4]}==1.0 \\\n    --hash=sha256:old\n")
    (tmp_path / "torch-cpu.txt").write_text("torch==1.0\n")
    (tmp_path / "adapters.in").write_text("# newest\ntorch==2.0\n")
    assert lock.main() == 0
    assert (tmp_path / "mmcv.txt").read_text() == "# why\nmmcv==1.0 --hash=sha256:new\n"
    assert (tmp_path / "torch-cuda.txt").read_text() == "# why\ntorch==1.0 --hash=sha256:new\n"
    assert (tmp_path / "adapters.txt").read_text() == "# why\ntorch==2.0 --hash=sha256:new\n"


def installer_in(install, folder, monkeypatch):
    """The installer's reader, on files in ``folder``."""
    monkeypatch.setattr(install, "ENVS", folder)
    return install.requirements


def a_wheel(folder):
    """Write a wheel of a package `tiny`; return it."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("tiny.py", "")
        metadata = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0"
        out.writestr("tiny-1.0.dist-info/METADATA", metadata)
        out.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        out.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


@pytest.mark.parametrize("damaged", [False, True])
def test_a_damaged_download_is_not_installed(install, tmp_path, monkeypatch, damaged, capfd):
    wheel = a_wheel(tmp_path)
    line = f"tiny==1.0 --hash=sha256:{install.sha256_of(wheel)}"
    if damaged:
        wheel.write_bytes(wheel.read_bytes() + b"\0")
    target = tmp_path / "target"
    options = ("--no-index", "--find-links", str(tmp_path), "--target", str(target))
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    if not damaged:
        install.install_exactly(HERE, [line], *options)
        assert (target / "tiny.py").exists()
        return
    with pytest.raises(install.StepError, match=r"another sha256 than envs/requirements\.txt"):
        install.install_exactly(HERE, [line], *options)
    assert not (target / "tiny.py").exists()
    assert "DO NOT MATCH" in capfd.readouterr().err  # pip's own message reaches the user


def test_another_failure_of_pip_is_no_damaged_download(install, tmp_path):
    with pytest.raises(install.StepError, match="check the connection"):
        install.pip(HERE, "install", "--no-index", "--find-links", str(tmp_path), "tiny==1.0")


def a_pip(folder, code):
    """Write a stand-in for an environment's Python; return the environment."""
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!{sys.executable}\n{code}\n")
    python.chmod(0o755)
    return folder


def test_pip_is_quiet_and_its_output_is_kept(install, tmp_path, capfd):
    """The user sees every 20th package, and no warning about a mirror."""
    code = (
        "import sys\n"
        "print('WARNING: Location mirror is ignored', file=sys.stderr)\n"
        "for k in range(45): print('Collecting package', k)"
    )
    venv = a_pip(tmp_path, code)
    install.pip(venv, "install", "x")
    out, err = capfd.readouterr()
    assert out.split() == ["20", "packages", "40", "packages"] and err == ""
    log = (venv / "install.log").read_text()
    assert "Location mirror" in log and "package 44" in log


def test_a_pip_that_fails_shows_its_error_and_the_log(install, tmp_path, capfd):
    code = (
        "import sys\n"
        "print('WARNING: Location mirror is ignored', file=sys.stderr)\n"
        "print('ERROR: no matching distribution', file=sys.stderr)\n"
        "sys.exit(1)"
    )
    with pytest.raises(install.StepError, match=r"repeat; .*install\.log"):
        install.pip(a_pip(tmp_path, code), "install", "x")
    assert capfd.readouterr().err == "ERROR: no matching distribution\n"


@pytest.mark.parametrize("value", ["abc", "A" * 64, "0" * 65])
def test_a_hash_of_torch_that_is_none_is_refused(install, tmp_path, monkeypatch, value):
    monkeypatch.setenv("RANKDET_TORCH_SHA256", value)
    monkeypatch.setattr(install, "pip", lambda *_: pytest.fail("pip ran"))
    with pytest.raises(install.StepError, match="64 hexadecimal"):
        install.install_torch(tmp_path, "cpu")


def calls_of_pip(install, monkeypatch, report='{"install": []}'):
    """Record pip's arguments in place of running it."""
    calls = []

    def pip(venv, *arguments):
        listed = [Path(a).read_text() for a in arguments if a.endswith(".txt")]
        calls.append((arguments, listed))
        if "--report" in arguments:
            Path(arguments[arguments.index("--report") + 1]).write_text(report)

    monkeypatch.setattr(install, "pip", pip)
    return calls


def test_torch_is_held_to_hashes_where_they_are_known(install, tmp_path, monkeypatch):
    for name in ("INDEX", "SHA256"):
        monkeypatch.delenv(f"RANKDET_TORCH_{name}", raising=False)
    calls = calls_of_pip(install, monkeypatch)
    install.install_torch(tmp_path, "cuda")
    [(arguments, [text])] = calls
    assert "--require-hashes" in arguments and "torch==2.13.0" in text
    assert text.count("--hash") > text.count("==")

    calls.clear()
    monkeypatch.setenv("RANKDET_TORCH_INDEX", "https://index.example.org/simple")
    install.install_torch(tmp_path, "cuda")
    [(arguments, [versions])] = calls
    assert "--require-hashes" not in arguments and "https://index.example.org/simple" in arguments
    assert "numpy==" in versions and "--hash" not in versions

    calls.clear()
    monkeypatch.setenv("RANKDET_TORCH_SHA256", "0" * 64)
    install.install_torch(tmp_path, "cpu")
    (arguments, [text]), _ = calls
    assert "--require-hashes" in arguments and "--index-url" in arguments
    assert text == f"torch==2.13.0 --hash=sha256:{'0' * 64}"


def test_the_file_of_torch_is_named(install, tmp_path, monkeypatch, capsys):
    archive = '{"archive_info": {"hashes": {"sha256": "5ab"}}}'
    item = f'{{"metadata": {{"name": "torch", "version": "2.13.0"}}, "download_info": {archive}}}'
    calls_of_pip(install, monkeypatch, f'{{"install": [{item}]}}')
    monkeypatch.delenv("RANKDET_TORCH_SHA256", raising=False)
    install.install_torch(tmp_path, "cpu")
    assert "torch 2.13.0 with sha256 5ab" in capsys.readouterr().out


@pytest.fixture
def cached(install, tmp_path):
    """A cache folder with a wheel as the build leaves it."""
    folder = tmp_path / "cache"
    folder.mkdir()
    built = tmp_path / "mmcv-2.1.0-cp311-cp311-linux_x86_64.whl"
    built.write_bytes(b"operators" * 1000)
    install.keep_wheel(built, folder)
    return folder


def wheel_in(folder):
    [wheel] = folder.glob("*.whl")
    return wheel


def test_a_built_wheel_is_used_again(install, cached, capsys):
    assert install.intact_wheel(cached) == wheel_in(cached)
    assert capsys.readouterr().out == ""


def flip(wheel, note):
    content = bytearray(wheel.read_bytes())
    content[100] ^= 1
    wheel.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip,
    "truncated": lambda wheel, note: wheel.write_bytes(wheel.read_bytes()[:-1]),
    "empty": lambda wheel, note: wheel.write_bytes(b""),
    "put there by someone": lambda wheel, note: note.unlink(),
    "an empty note": lambda wheel, note: note.write_text(""),
    "a note that is no text": lambda wheel, note: note.write_bytes(b"\xff\0" * 40),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_wheel_that_was_not_built_here_is_built_again(
    install, cached, tmp_path, monkeypatch, capsys, case
):
    wheel = wheel_in(cached)
    DAMAGE[case](wheel, install.note_of(wheel))
    other = tmp_path / "mmcv-2.1.0-cp311-cp311-manylinux_2_36_x86_64.whl"

    def build(venv, folder, torch_build):
        assert wheel.exists()  # until another one is there
        other.write_bytes(b"built again")
        return install.keep_wheel(other, folder)

    used = []
    monkeypatch.setattr(install, "wheel_folder", lambda *_: cached)
    monkeypatch.setattr(install, "build_mmcv", build)
    monkeypatch.setattr(install, "pip", lambda venv, *arguments: used.append(arguments[-1]))
    monkeypatch.setattr(install, "run", lambda *_: None)
    install.install_mmcv(tmp_path, "cpu")
    [line] = capsys.readouterr().out.splitlines()
    assert str(wheel) in line and "built again" in line
    assert used == [str(cached / other.name)] and wheel_in(cached).name == other.name
    assert install.intact_wheel(cached)


def test_only_compiled_operators_without_an_intact_wheel_need_a_compiler(
    install, cached, monkeypatch
):
    monkeypatch.setattr(install, "cached_wheels", lambda: [wheel_in(cached)])
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    install.check_machine("mmcv")
    install.note_of(wheel_in(cached)).unlink()
    install.check_machine("builtin")
    with pytest.raises(install.StepError, match=r"g\+\+ is missing.*OPS=builtin"):
        install.check_machine("mmcv")


def test_one_package_gives_the_module_mmcv(install, tmp_path, monkeypatch):
    """Both have it: the other one is removed first, or its files would stay."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    calls = calls_of_pip(install, monkeypatch)
    install.install_mmcv_lite(tmp_path)
    (packages / "mmcv-2.1.0.dist-info").mkdir(parents=True)
    install.install_mmcv_lite(tmp_path)
    told = [arguments[:3] for arguments, _ in calls]
    exactly = ("install", "--no-deps", "--require-hashes")
    assert told == [exactly, ("uninstall", "--yes", "mmcv"), exactly]
    assert "mmcv-lite==2.1.0 --hash=sha256:" in calls[-1][1][0]


def test_another_choice_is_another_environment(install):
    marks = {install.fingerprint(torch, ops) for torch in install.TORCH for ops in install.OPS}
    assert len(marks) == 4


@pytest.fixture
def make_env(install, tmp_path, monkeypatch):
    """`make env` whose steps are only noted; returns those of one call."""
    steps = []
    broken = []

    def step(name):
        def note(venv, *arguments):
            if name in broken:
                raise install.StepError("no network")
            steps.append((name, *arguments))

        return note

    names = ("make_venv", "install_packages", "install_torch", "install_mmcv")
    for name in (*names, "install_mmcv_lite", "install_rankdet"):
        monkeypatch.setattr(install, name, step(name))
    monkeypatch.setattr(install, "check_machine", lambda ops: None)

    def call(*more, torch="", ops="", failing=()):
        """Return the torch and the operators that were installed; None where nothing was done."""
        steps.clear()
        broken[:] = failing
        arguments = ["install.py", "--torch", torch, "--ops", ops, "--venv", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        assert install.main() == bool(failing)
        if not steps:
            return None
        done = {name: arguments for name, *arguments in steps}
        return done.get("install_torch", [""])[0], "mmcv" if "install_mmcv" in done else "builtin"

    return call


def test_nothing_is_compiled_unless_it_is_asked_for(make_env):
    assert make_env() == ("cpu", "builtin")
    assert make_env() is None


def test_an_image_needs_nothing_but_envs(install, make_env, tmp_path, monkeypatch):
    """The first stage of its build has no pyproject.toml yet."""
    monkeypatch.setattr(install, "ROOT", tmp_path)
    assert make_env("--dependencies-only", torch="cpu") == ("cpu", "builtin")
    assert make_env("--dependencies-only", torch="cuda", ops="mmcv") == ("cuda", "mmcv")


def test_a_choice_stays_until_another_one_is_made(make_env):
    assert make_env(torch="cuda", ops="mmcv") == ("cuda", "mmcv")
    assert make_env() is None  # `make demo` on a machine with a GPU
    assert make_env(ops="builtin") == ("cuda", "builtin")
    assert make_env(torch="cuda") is None
    assert make_env(torch="cpu", ops="mmcv") == ("cpu", "mmcv")


def test_a_choice_that_was_not_finished_is_not_taken_for_whole(make_env):
    assert make_env() == ("cpu", "builtin")
    make_env(ops="mmcv", failing=["install_torch"])
    assert make_env() == ("cpu", "mmcv")
    make_env(ops="builtin", failing=["install_rankdet"])
    assert make_env(ops="mmcv") == ("cpu", "mmcv")


@pytest.mark.parametrize("stamp", ["", "5ab0", '{"torch": "tpu", "ops": "mmcv"}', "[]", "\xff"])
def test_an_environment_without_a_readable_stamp_is_made_again(install, make_env, tmp_path, stamp):
    (tmp_path / install.STAMP).write_text(stamp, encoding="latin-1")
    assert make_env() == ("cpu", "builtin")
    (tmp_path / "lib/python3.11/site-packages/mmcv-2.1.0.dist-info").mkdir(parents=True)
    (tmp_path / install.STAMP).write_text(stamp, encoding="latin-1")
    assert make_env() == ("cpu", "mmcv")


def test_it_says_first_how_long_it_takes(install, make_env, monkeypatch, capsys):
    monkeypatch.setattr(install, "cached_wheels", list)
    make_env()
    assert re.match(r"environment: about \d+ minutes, .* of disk", capsys.readouterr().out)
    make_env(ops="mmcv")
    assert "to compile mmcv" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("right", [True, False])
def test_the_source_of_mmcv_is_checked_before_it_runs(install, tmp_path, monkeypatch, right):
    """A source distribution whose setup.py leaves a mark: only the pinned one is started."""
    mark = tmp_path / "ran"
    files = {
        "setup.py": f"open({str(mark)!r}, 'w')\nraise SystemExit('as far as it needs to go')\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n",
    }
    archive = tmp_path / "mmcv-2.1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        for name, text in files.items():
            member = tarfile.TarInfo(f"mmcv-2.1.0/{name}")
            member.size = len(text)
            out.addfile(member, io.BytesIO(text.encode()))
    sha256 = install.sha256_of(archive) if right else "0" * 64
    (tmp_path / "mmcv.txt").write_text(f"mmcv==2.1.0 --hash=sha256:{sha256}\n")
    monkeypatch.setattr(install, "ENVS", tmp_path)
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(tmp_path)), ("NO_CACHE_DIR", "1")):
        monkeypatch.setenv(f"PIP_{name}", value)
    message = "did not compile" if right else "another sha256 than envs/mmcv.txt"
    with pytest.raises(install.StepError, match=message):
        install.build_mmcv(HERE, tmp_path / "wheels", "cpu")
    assert mark.exists() is right


IMPORTED_AS = {"cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml", "mmcv": "mmcv-lite"}
IMPORTED_AS |= {"sklearn": "scikit-learn"}
# Extras of their own; trackers that a user asks for.
OPTIONAL = {"torchvision", "transformers", "wandb", "mlflow"}
NEEDED_BY_OTHERS = {"setuptools"}  # mmengine imports it and does not say so
COMES_WITH = {"urllib3": "requests", "markupsafe": "jinja2"}


def test_the_extras_name_every_package_that_is_imported():
    """Nothing that is not, and of the installation for the losses alone only torch and numpy."""
    source = Path(__file__).parents[2]
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["evaluation"]]
    named += project["optional-dependencies"]["pipeline"]
    named = {re.split(r"[\[<>=;]", each)[0] for each in named} - {"rankdet", *NEEDED_BY_OTHERS}
    found = set()
    for path in (source / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    found -= {*sys.stdlib_module_names, "rankdet", *OPTIONAL}
    found = {COMES_WITH.get(name, IMPORTED_AS.get(name, name)) for name in found}
    assert found == named
