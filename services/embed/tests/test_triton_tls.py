"""The client connects to Triton only with a certificate that the authority of the settings signed."""

from pathlib import Path
from typing import Any, cast

import grpc  # type: ignore[import-untyped]
import pytest
from harness.authority import Authority

from headrace_embed.model_files import ModelFiles
from headrace_embed.settings import TritonSettings
from headrace_embed.triton_encoder import TritonEncoder
from headrace_worker.stage import Unavailable

HOST = "127.0.0.1"


class NoModel:
    """What the encoder asks of a model's files."""

    class model:
        id = "m"

    weights_sha256 = "0"


async def failure(url: str, **values: Any) -> Unavailable:
    encoder = TritonEncoder(TritonSettings(url=url, tls=True, deadline=5, **values), cast(ModelFiles, NoModel))
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
        named = await failure(f"localhost:{port}", ca_file=str(ours.file))
    finally:
        await server.stop(None)
    assert answered.kind == "other"
    assert "UNIMPLEMENTED" in answered.detail
    assert (untrusted.kind, named.kind) == ("tls", "tls")
    assert untrusted.detail.endswith(": check HEADRACE_TRITON__CA_FILE")
    assert named.detail.endswith("the host in HEADRACE_TRITON__URL must be a name in the certificate")
