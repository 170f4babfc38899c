"""What comes over a network is encrypted, or proven by its whole hash."""

import hashlib
import io
import random
import shutil
import subprocess

import pytest

from rankdet.downloads.obtain import FetchOptions, obtain
from rankdet.downloads.table import Download, load_downloads
from rankdet.downloads.transfer import (
    CertificateRefused,
    InsecureAddress,
    Progress,
    TransferSettings,
    require_secure,
)
from tests.reliability.server import Behaviour, FileServer

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ELSEWHERE = "http://files.example.org/archive.zip"
# So patient that a test which is tried again does not end.
SETTINGS = TransferSettings(connections=2, block=32 << 10, timeout=2.0, attempts=1000, pause=30.0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that only this test trusts."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: no certificate for the server")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", path, "-out", path.with_name("certificate.pem")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    with path.open("a") as out:
        out.write(path.with_name("certificate.pem").read_text())
    return path


@pytest.fixture
def secure(certificate):
    server = FileServer(certificate)
    server.files["archive.zip"] = Behaviour(CONTENT)
    yield server
    server.close()


@pytest.fixture
def plain():
    server = FileServer()
    server.files["archive.zip"] = Behaviour(CONTENT)
    yield server
    server.close()


@pytest.fixture
def options(tmp_path):
    return FetchOptions(tmp_path / "inbox", settings=SETTINGS, progress=Progress(io.StringIO()))


def row(*urls, sha256=SHA256):
    return Download(kind="data", name="a", file="archive.zip", urls=" ".join(urls), sha256=sha256)


def test_a_trusted_certificate(secure, certificate, options, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    secure.files["archive.zip"].cut_at = 50_000
    target = tmp_path / "archive.zip"
    patient = FetchOptions(options.inbox, settings=TransferSettings(block=32 << 10, pause=0.001))
    assert obtain(row(secure.url("archive.zip"), sha256=""), target, patient) == SHA256


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], ""])
def test_another_certificate_is_not_tried_again(secure, options, tmp_path, sha256):
    with pytest.raises(
        CertificateRefused, match=r"a valid certificate of the host.*CERTIFICATE_VERIFY"
    ):
        obtain(row(secure.url("archive.zip"), sha256=sha256), tmp_path / "archive.zip", options)
    assert secure.sent == 0 and not (tmp_path / "archive.zip").exists()


def test_http_follows_where_the_hash_is_known(secure, plain, options, tmp_path):
    urls = (secure.url("archive.zip"), plain.url("archive.zip"))
    stream = io.StringIO()
    options = FetchOptions(options.inbox, settings=SETTINGS, progress=Progress(stream))
    assert obtain(row(*urls), tmp_path / "archive.zip", options) == SHA256
    assert secure.sent == 0 and plain.sent >= len(CONTENT)
    said = stream.getvalue()
    assert secure.address in said and "CERTIFICATE_VERIFY_FAILED" in said


@pytest.mark.parametrize("sha256", ["", SHA256[:8]])
def test_http_is_refused_where_nothing_proves_the_content(
    secure, options, tmp_path, monkeypatch, sha256
):
    monkeypatch.setattr("requests.Session.get", lambda *_, **__: pytest.fail("a connection"))
    with pytest.raises(InsecureAddress, match=r"https address of archive\.zip, whose whole sha256"):
        obtain(row(ELSEWHERE, sha256=sha256), tmp_path / "archive.zip", options)
    mirror = FetchOptions(
        options.inbox, ("http://mirror.example.org/",), SETTINGS, options.progress
    )
    with pytest.raises(InsecureAddress, match=r"got http://mirror\.example\.org/archive\.zip"):
        obtain(row(sha256=sha256), tmp_path / "archive.zip", mirror)


@pytest.mark.parametrize("sha256", ["", SHA256[:8]])
def test_a_redirect_away_from_https_is_not_followed(
    secure, certificate, options, tmp_path, monkeypatch, sha256
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    secure.files["archive.zip"].statuses = [302]
    secure.files["archive.zip"].headers = {"Location": ELSEWHERE}
    with pytest.raises(InsecureAddress, match=r"got http://files\.example\.org/archive\.zip"):
        obtain(row(secure.url("archive.zip"), sha256=sha256), tmp_path / "archive.zip", options)


def test_a_redirect_is_followed_where_the_hash_is_known(plain, options, tmp_path):
    plain.files["moved.zip"] = Behaviour(b"", statuses=[302] * 9)
    plain.files["moved.zip"].headers = {"Location": "/archive.zip"}
    assert obtain(row(plain.url("moved.zip")), tmp_path / "archive.zip", options) == SHA256


@pytest.mark.parametrize(
    "url", ["https://a.org/x", "http://localhost:80/x", "http://127.8.0.1/x", "http://[::1]/x"]
)
def test_https_and_this_machine_need_no_hash(url):
    require_secure(row(sha256=""), url)


@pytest.mark.parametrize(
    "url", ["http://localhost.org/x", "http://10.0.0.1/x", "http://127.0.0.1.org/x", "ftp://a/x"]
)
def test_anything_else_does(url):
    require_secure(row(), url)
    with pytest.raises(InsecureAddress):
        require_secure(row(sha256=""), url)


def test_the_table_has_https_first():
    rows = [row for row in load_downloads() if row.addresses]
    assert len(rows) > 15
    for each in rows:
        assert each.addresses[0].startswith("https://")
        for url in each.addresses:
            require_secure(each, url)
