"""Certificates are checked, by what pip and uv are told to trust."""

import os
import shutil
import ssl
import subprocess

import pytest
from server import Fault, Server
from support import missing
from wheelmaker import Wheel


@pytest.fixture
def certificate(tmp_path):
    if not shutil.which("openssl"):
        missing("openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )
    return tmp_path / "cert.pem"


@pytest.fixture
def secure(certificate):
    s = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    s.socket = context.wrap_socket(s.socket, server_side=True)
    yield s
    s.stop()


def url_of(server, wheel, host="localhost"):
    return server.add(wheel).replace("http://127.0.0.1", f"https://{host}")


# The machine's own pip.conf may name a bundle.
NOTHING = {"PIP_CONFIG_FILE": os.devnull, "SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "",
           "UV_HTTP_RETRIES": "0"}


def test_a_certificate_that_nobody_vouches_for_is_refused(venvfs, secure):
    url = url_of(secure, Wheel())
    line = venvfs.refused("cache", "add", url, **NOTHING)
    assert "certificate" in line and not secure.asked()


@pytest.mark.parametrize("how", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_who_vouches_is_heeded(venvfs, secure, certificate, how):
    url = url_of(secure, Wheel())
    venvfs.run("cache", "add", url, **{**NOTHING, how: str(certificate)})
    assert len(secure.asked()) == 1


def test_the_host_must_be_the_certificates(venvfs, secure, certificate):
    url = url_of(secure, Wheel(), "127.0.0.1")
    env = {**NOTHING, "SSL_CERT_FILE": str(certificate)}
    assert "127.0.0.1" in venvfs.refused("cache", "add", url, **env)
    assert not secure.asked()


@pytest.mark.parametrize("how", ["UV_INSECURE_HOST", "PIP_TRUSTED_HOST"])
@pytest.mark.parametrize("port", [True, False])
def test_a_host_may_be_trusted_without(venvfs, secure, how, port):
    url = url_of(secure, Wheel())
    host = f"localhost:{secure.port}" if port else "localhost"
    venvfs.run("cache", "add", url, **{**NOTHING, how: f"other.example {host}"})
    other = url_of(secure, Wheel("other"))
    assert "certificate" in venvfs.refused("cache", "add", other, **{**NOTHING, how: "ocalhost localhost:1"})


def test_whom_to_trust_is_judged_for_each_redirection(venvfs, secure, certificate):
    """Not even the certificate's host is trusted: its name is localhost, that of the URL 127.0.0.1."""
    url = url_of(secure, Wheel())
    other = url.replace("localhost", "127.0.0.1").split("#")[0]
    secure.fail("/moved/demo-1.0-py3-none-any.whl", Fault(stays=True, redirect=other))
    moved = f"https://localhost:{secure.port}/moved/demo-1.0-py3-none-any.whl"
    assert "127.0.0.1" in venvfs.refused("cache", "add", moved, **{**NOTHING, "UV_INSECURE_HOST": "localhost"})
    assert not secure.asked("/files/")
    venvfs.run("cache", "add", moved, **{**NOTHING, "UV_INSECURE_HOST": "127.0.0.1", "SSL_CERT_FILE": str(certificate)})


def test_a_redirection_does_not_lead_out_of_tls(venvfs, secure, server, certificate):
    plain = server.add(Wheel())
    url = url_of(secure, Wheel())
    secure.fail("/files/demo-1.0-py3-none-any.whl", Fault(redirect=plain.split("#")[0]))
    venvfs.refused("cache", "add", url, **{**NOTHING, "SSL_CERT_FILE": str(certificate)})
    assert not server.asked()
