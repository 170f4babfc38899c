"""The files that images are built from, checked without building one."""

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
