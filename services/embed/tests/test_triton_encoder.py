"""A real Triton Inference Server gives the same vectors, and each of its failures is Unavailable."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from headrace_embed.embedder import TextEmbedder
from headrace_embed.model_files import WEIGHTS, ModelFiles
from headrace_embed.settings import TritonSettings
from headrace_embed.triton_encoder import TritonEncoder
from headrace_embed.triton_repository import write_repository
from headrace_local.ports import free_ports
from headrace_local.stack import Stack
from headrace_local.triton import Triton
from headrace_worker.stage import Unavailable

TEXTS = [
    *("", " ", "A", "Mauve Leather Daypack", "빨간 가죽 핸드백", "革のハンドバッグ 赤", "🎒👟🔥"),
    *(f"sturdy canvas travel bag number {number} " * (1 + number % 20) for number in range(60)),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), "python", threads=2)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"), services=["triton"], triton_repository=repository)
    stack.up()
    yield stack
    stack.down()


@pytest.fixture
def url(stack: Stack) -> str:
    """Where Triton serves: started again if a test has stopped it."""
    return stack.up()["HEADRACE_TRITON__URL"]


@asynccontextmanager
async def on_triton(files: ModelFiles, url: str, **settings: Any) -> AsyncIterator[TextEmbedder]:
    embedder = TextEmbedder(files, TritonEncoder(TritonSettings(url=url, **settings), files))
    try:
        yield embedder
    finally:
        await embedder.close()


async def eventually_served(embedder: TextEmbedder) -> None:
    """Returns once the embedder's server answers; fails after 60 seconds of Unavailable."""
    async for attempt in AsyncRetrying(
        stop=stop_after_delay(60), wait=wait_fixed(0.2), retry=retry_if_exception_type(Unavailable), reraise=True
    ):
        with attempt:
            await embedder.check()


async def test_triton_gives_the_vectors_of_the_model_in_process(
    files: ModelFiles, url: str, embedder: TextEmbedder
) -> None:
    async with on_triton(files, url) as triton:
        await triton.check()
        difference = await triton.embed(TEXTS, "document") - await embedder.embed(TEXTS, "document")
    assert np.abs(difference).max() < 1e-4


async def test_each_instance_computes_one_batch_and_one_more_batch_waits(files: ModelFiles, url: str) -> None:
    encoder = TritonEncoder(TritonSettings(url=url), files)
    await encoder.check()
    assert encoder.concurrency == 2
    await encoder.close()


async def test_a_server_with_other_weights_is_refused(files: ModelFiles, url: str) -> None:
    other = replace(files, sha256={**files.sha256, WEIGHTS: "0" * 64})
    async with on_triton(other, url) as triton:
        with pytest.raises(Unavailable, match="runs weights"):
            await triton.embed(["red bag"], "query")
        with pytest.raises(Unavailable, match="runs weights"):
            await triton.check()


async def test_a_server_without_the_model_is_unavailable(files: ModelFiles, url: str) -> None:
    encoder = TritonEncoder(TritonSettings(url=url, model="another"), files)
    with pytest.raises(Unavailable):
        await encoder.check()
    await encoder.close()


async def test_a_server_that_dies_is_unavailable_and_answers_after_its_restart(
    files: ModelFiles, url: str, stack: Stack
) -> None:
    async with on_triton(files, url) as triton:
        before = await triton.embed(TEXTS[:5], "document")
        stack.kill("triton")
        with pytest.raises(Unavailable):
            await triton.embed(TEXTS[:5], "document")
        with pytest.raises(Unavailable):
            await triton.check()
        stack.start("triton")
        await eventually_served(triton)
        assert np.abs(await triton.embed(TEXTS[:5], "document") - before).max() < 1e-5


async def test_a_server_that_hangs_is_unavailable_after_the_deadline(files: ModelFiles, url: str, stack: Stack) -> None:
    async with on_triton(files, url, deadline=1.0) as triton:
        await triton.embed(TEXTS[:1], "document")
        stack.pause("triton")
        try:
            with pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
                await triton.embed(TEXTS[:5], "document")
        finally:
            stack.resume("triton")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca.pem) and a certificate for 127.0.0.1 that it signed (cert.pem, key.pem)."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    authority = [*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"]
    signed = [*new, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed += ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key"]
    signed += ["-keyout", "key.pem", "-out", "cert.pem"]
    for command in (authority, signed):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture
def tls_url(tmp_path: Path, repository: Path, certificates: Path) -> Iterator[str]:
    """A Triton that accepts only TLS, and only clients whose certificate the authority signed."""
    ports = dict(zip(Triton.port_names, free_ports(len(Triton.port_names)), strict=True))
    command = Triton("triton", tmp_path, ports, repository).command()
    tls = {"server-cert": "cert.pem", "server-key": "key.pem", "root-cert": "ca.pem"}
    flags = ["--grpc-use-ssl-mutual=true", *(f"--grpc-{name}={certificates / file}" for name, file in tls.items())]
    server = subprocess.Popen(
        [*command.argv, *flags], env=dict(command.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield f"127.0.0.1:{ports['grpc']}"
    server.terminate()
    server.wait(timeout=60)


async def test_the_tls_settings_work_with_a_server_that_requires_a_certificate(
    files: ModelFiles, tls_url: str, certificates: Path
) -> None:
    trusted = {f"{name}_file": str(certificates / f"{name}.pem") for name in ("ca", "cert", "key")}
    async with on_triton(files, tls_url, tls=True, **trusted) as triton:
        await eventually_served(triton)
        assert (await triton.embed(["red bag"], "query")).shape == (1, 384)
    for settings in ({}, {"tls": True}, {"tls": True, "ca_file": trusted["ca_file"]}):
        async with on_triton(files, tls_url, deadline=5.0, **settings) as triton:
            with pytest.raises(Unavailable):
                await triton.check()
