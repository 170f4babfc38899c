"""The distributions are built once."""

import pytest

from tests.packaging.distributions import build


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    return build(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="session")
def sdist(distributions):
    return distributions[0]


@pytest.fixture(scope="session")
def wheel(distributions):
    return distributions[1]
