"""The files that images are built from, checked without building one."""

import csv
import os
import re
import subprocess

import pytest
import yaml
from benchmarks.image_build import ROOT, installer

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_bases_are_exact_tags_of_one_release():
    bases = re.findall(r"^ARG BASE_\w+=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    tags = [
        re.fullmatch(r"nvidia/cuda:(\d+\.\d+\.\d+)-(\w+)-(ubuntu[\d.]+)", base) for base in bases
    ]
    assert tags[0][1] == tags[1][1] and tags[0][3] == tags[1][3]
    assert (tags[0][2], tags[1][2]) == ("devel", "base")
    assert re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE) == [
        ("${BASE_BUILD}", "build"),
        ("${BASE_RUNTIME}", "runtime"),
    ]


def bases():
    with (ROOT / "docker" / "bases.csv").open() as stream:
        return [row["image"] for row in csv.DictReader(stream)]


def test_the_digests_are_of_the_bases_in_use():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    used = re.findall(r"^ARG BASE_\w+=(\S+)$", DOCKERFILE, re.MULTILINE)
    used += [compose["cpu"]["build"]["args"][name] for name in ("BASE_BUILD", "BASE_RUNTIME")]
    assert bases() == list(dict.fromkeys(used))


DIGEST = "sha256:" + "5a" * 32


class Builder:
    """The scripts of a release with a `docker` and a `git` that note how they are called."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "bases.csv"
        self.program("docker", f'echo "$*" >>{folder}/calls; echo "{DIGEST}"')
        self.program("git", 'case "$1" in rev-parse) echo 0123456789ab;; esac')
        self.record(dict.fromkeys(bases(), DIGEST))

    def program(self, name, body):
        (self.folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.folder / name).chmod(0o755)

    def record(self, digests):
        rows = [f"{image},{digest}" for image, digest in digests.items()]
        self.file.write_text("\n".join(["image,digest", *rows, ""]))

    def run(self, script, *arguments):
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [ROOT / "docker" / script, *arguments],
            env={"PATH": path, "BASES": str(self.file)},
            capture_output=True,
            text=True,
        )
        calls = self.folder / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


@pytest.mark.parametrize(
    ("kind", "used"), [("gpu", slice(0, 2)), ("cpu", slice(2, 3))], ids=["gpu", "cpu"]
)
def test_a_release_has_its_bases_by_digest(builder, kind, used):
    done, [call] = builder.run("release.sh", kind, "--build-arg", "MAX_JOBS=2")
    assert done.returncode == 0, done.stderr
    own = [f"{image}@{DIGEST}" for image in bases()[used]]
    assert f"BASE_BUILD={own[0]} " in call and f"BASE_RUNTIME={own[-1]} " in call
    assert "REVISION=0123456789ab" in call and "MAX_JOBS=2" in call
    assert ("TORCH=cpu" in call) is (kind == "cpu")


@pytest.mark.parametrize("digest", ["", "sha256:", DIGEST[:-1], DIGEST.upper(), "latest"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_release_without_a_digest_is_refused(builder, digest, number):
    builder.record(dict.fromkeys(bases(), DIGEST) | {bases()[number]: digest})
    done, calls = builder.run("release.sh", "gpu")
    assert done.returncode == 2 and not calls
    assert f"digest of the base image {bases()[number]}" in done.stderr
    assert "record-bases.sh" in done.stderr


def test_a_release_of_something_else_is_refused(builder):
    for arguments, said in [
        ((), "gpu or cpu; got ''"),
        (("gpu", "--build-arg", "BASE_RUNTIME=ubuntu:24.04"), "BASE_RUNTIME=ubuntu:24.04"),
        (("gpu", "--build-arg=BASE_BUILD=ubuntu:24.04"), "BASE_BUILD=ubuntu:24.04"),
    ]:
        done, calls = builder.run("release.sh", *arguments)
        assert done.returncode == 2 and said in done.stderr and not calls
    builder.program("git", "echo ' M Dockerfile'")
    done, calls = builder.run("release.sh", "gpu")
    assert done.returncode == 2 and "a checkout without changes" in done.stderr and not calls


def test_digests_are_recorded_whole_or_not_at_all(builder):
    builder.record(dict.fromkeys(bases(), ""))
    before = builder.file.read_text()
    for answer in ("exit 1", "echo 'no digest'"):
        builder.program("docker", f'[ "$2" = version ] || {{ {answer}; }}')
        done, _ = builder.run("record-bases.sh")
        assert done.returncode == 1 and builder.file.read_text() == before
    builder.program("docker", f"echo {DIGEST}; cat")  # reads its input, as some programs do
    done, _ = builder.run("record-bases.sh")
    assert done.returncode == 0, done.stderr
    assert builder.file.read_text() == before.replace(",\n", f",{DIGEST}\n")
    assert [path.name for path in builder.folder.iterdir() if "bases.csv." in path.name] == []


def test_there_is_one_version_set():
    """What is installed stands in envs/, in no second list."""
    scripts = [path.read_text() for path in (ROOT / "docker").glob("*.sh")]
    for text in (DOCKERFILE, *scripts):
        assert not re.search(r"==\d", text)
        for line in text.splitlines():
            assert "pip install" not in line or "--no-deps -e ." in line
    assert any("envs/install.py" in text for text in scripts)


def test_the_compose_file_has_a_gpu_service_and_a_cpu_one():
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert set(services) == {"gpu", "cpu"}
    for service in services.values():
        targets = [volume["target"] for volume in service["volumes"]]
        assert targets == ["/data", "/results"] and service["volumes"][0]["read_only"]
        assert service["shm_size"] and service["build"]["context"] == ".."
        declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
        assert set(service["build"].get("args", {})) <= declared
    devices = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"] and "deploy" not in services["cpu"]


def test_a_wheel_for_one_gpu_is_not_taken_for_another(tmp_path, monkeypatch):
    install = installer()
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 2.13.0+cu130 13.0\n")
    python.chmod(0o755)
    monkeypatch.setenv("RANKDET_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    names = [install.wheel_folder(tmp_path, build).name for build in ("cpu", "cuda")]
    for architectures in ("8.0 9.0+PTX", "8.0;9.0+PTX", "9.0"):
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", architectures)
        names.append(install.wheel_folder(tmp_path, "cuda").name)
    ends = [name.split("-cuda")[1] for name in names]
    assert ends == ["none", "13.0", "13.0-sm8.0_9.0+PTX", "13.0-sm8.0_9.0+PTX", "13.0-sm9.0"]


def test_operators_for_gpus_need_the_compiler(tmp_path, monkeypatch):
    install = installer()
    monkeypatch.setattr(install, "find_nvcc", lambda: None)
    with pytest.raises(install.StepError, match="nvcc is missing"):
        install.build_mmcv(tmp_path, tmp_path / "wheels", "cuda")


def test_the_compiler_is_looked_for_where_torch_does(tmp_path, monkeypatch):
    install = installer()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert install.find_nvcc() == str(tmp_path / "bin" / "nvcc")


@pytest.mark.parametrize(
    ("asked", "code"),
    [("8.0 9.0+PTX", 0), ("8.0;9.0a", 0), ("8.0 8.6", 1), ("12.0+PTX", 1)],
)
def test_missing_machine_code_stops_the_build(tmp_path, asked, code):
    listing = "ELF file 1: _ext.1.sm_80.cubin\\nELF file 2: _ext.2.sm_90a.cubin\\n"
    listing += "ELF file 3: _ext.3.sm_90.cubin"
    programs = {"cuobjdump": f"printf '{listing}\\n'", "python": "echo _ext.so"}
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "docker" / "check-architectures.sh", asked],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": "python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert code == 0 or "operators lack sm_" in done.stderr
