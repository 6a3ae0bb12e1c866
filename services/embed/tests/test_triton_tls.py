"""The client connects to Triton only with a certificate that the authority of the settings signed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
from harness.authority import Authority

from headrace_embed.embedder import TextEmbedder
from headrace_embed.model_files import ModelFiles
from headrace_embed.settings import TritonSettings
from headrace_embed.triton_encoder import TritonEncoder
from headrace_embed.triton_repository import write_repository
from headrace_local.ports import free_ports
from headrace_local.process import launch
from headrace_local.startup import await_ready
from headrace_local.triton import Triton
from headrace_worker.stage import Unavailable

HOST = "127.0.0.1"


class NoModel:
    """What the encoder asks of a model's files."""

    class model:
        id = "m"

    weights_sha256 = "0"


async def failure(url: str, **values: Any) -> Unavailable:
    settings = TritonSettings.model_validate({"url": url, "tls": True, "deadline": 5} | values)
    encoder = TritonEncoder(settings, cast(ModelFiles, NoModel))
    try:
        with pytest.raises(Unavailable) as raised:
            await encoder.check()
    finally:
        await encoder.close()
    return raised.value


async def test_what_is_wrong_with_tls_is_one_line_that_names_the_setting(tmp_path: Path) -> None:
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    server = grpc.aio.server()
    port = server.add_secure_port(f"{HOST}:0", ours.grpc_credentials("node"))
    await server.start()
    try:
        answered = await failure(f"{HOST}:{port}", ca_file=str(ours.file))
        untrusted = await failure(f"{HOST}:{port}", ca_file=str(theirs.file))
        public = await failure(f"{HOST}:{port}")
        named = await failure(f"localhost:{port}", ca_file=str(ours.file))
    finally:
        await server.stop(None)
    assert answered.kind == "other"
    assert "UNIMPLEMENTED" in answered.detail
    assert (untrusted.kind, public.kind, named.kind) == ("tls", "tls", "tls")
    assert public.detail.endswith(": check HEADRACE_TRITON__CA_FILE")
    assert untrusted.detail.endswith(": check HEADRACE_TRITON__CA_FILE")
    assert named.detail.endswith("the host in HEADRACE_TRITON__URL must be a name in the certificate")


@contextmanager
def secured_triton(home: Path, repository: Path, authority: Authority, days: int = 30) -> Iterator[str]:
    """The address of a real Triton that serves clients with a certificate of this authority only."""
    ports = dict(zip(Triton.port_names, free_ports(len(Triton.port_names)), strict=True))
    server = Triton("triton", home, ports, repository)
    authority.sign("triton", days=days)
    options = {
        "grpc-use-ssl-mutual": "true",
        "grpc-server-cert": authority.home / "triton.crt",
        "grpc-server-key": authority.home / "triton.key",
        "grpc-root-cert": authority.file,
    }
    server.install()
    server.prepare()
    command, log = server.command(), home / "server.log"
    argv = [*command.argv, *(f"--{name}={value}" for name, value in options.items())]
    process = launch(replace(command, argv=argv), home, log)
    try:
        await_ready(server, process, log, threading.Event())
        yield server.settings()["HEADRACE_TRITON__URL"]
    finally:
        process.kill()


@pytest.mark.servers
@pytest.mark.long
async def test_a_real_triton_with_tls_gives_the_vectors_and_its_refusals_name_the_setting(
    files: ModelFiles, embedder: TextEmbedder, tmp_path: Path
) -> None:
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    for authority in (ours, theirs):
        authority.sign("client")
    repository = write_repository(tmp_path / "repository", "python", threads=2)
    known = certified(ours) | {"ca_file": str(ours.file)}
    (home := tmp_path / "triton").mkdir()
    with secured_triton(home, repository, ours) as url:
        triton = TextEmbedder(
            files, TritonEncoder(TritonSettings.model_validate({"url": url, "tls": True} | known), files)
        )
        difference = await triton.embed(["Mauve Leather Daypack"], "document") - await embedder.embed(
            ["Mauve Leather Daypack"], "document"
        )
        await triton.close()
        assert np.abs(difference).max() < 1e-4
        for values, kind, words in [
            (known | {"ca_file": str(theirs.file)}, "tls", "check HEADRACE_TRITON__CA_FILE"),
            (known | certified(theirs), "unreachable", "check whether it runs, and HEADRACE_TRITON__CERT_FILE"),
            ({"ca_file": str(ours.file)}, "unreachable", "check whether it runs, and HEADRACE_TRITON__CERT_FILE"),
            ({"tls": False}, "unreachable", "check whether it runs, and HEADRACE_TRITON__TLS"),
        ]:
            found = await failure(url, **values)
            assert (found.kind, words in found.detail) == (kind, True), (values, found)
    with secured_triton(home, repository, ours, days=-1) as url:
        late = await failure(url, **known)
        assert (late.kind, "expired" in late.detail) == ("tls", True), late


def certified(authority: Authority) -> dict[str, str]:
    return {"cert_file": str(authority.home / "client.crt"), "key_file": str(authority.home / "client.key")}
