"""What is recorded of the installation: versions, and which operators mmcv has."""

import importlib.metadata

import pytest

from rankdet import ops, provenance


def test_the_operators_in_use_stand_with_the_versions():
    found = provenance.versions()
    assert found["operators"] == ops.in_use()
    assert set(provenance.PACKAGES) < set(found) and found["mmcv"]


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"mmcv": "2.1.0"}, "2.1.0"),
        ({"mmcv-lite": "2.1.0"}, "2.1.0 (lite)"),
        ({"mmcv": "2.1.0", "mmcv-lite": "2.0.0"}, "2.1.0"),
        ({}, None),
    ],
    ids=str,
)
def test_mmcv_lite_counts_as_mmcv(monkeypatch, installed, expected):
    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert provenance.installed_version("mmcv") == expected
