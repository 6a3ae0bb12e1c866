"""The encoder on a Triton Inference Server, over gRPC.

Protocol: KServe's open inference protocol v2, as tritonclient implements it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from headrace_embed.model_files import ModelFiles
from headrace_embed.settings import TritonSettings
from headrace_worker.stage import NoAnswer, Unavailable, UnavailableKind
from headrace_worker.store_calls import CALL_SECONDS, counted
from headrace_worker.tls_faults import TlsSettings, grpc_tls_fault

STORE = "triton"
WEIGHTS_PARAMETER = "weights_sha256"
"""The parameter in the model's configuration with the digest of the weights that the server runs."""

KINDS: Mapping[str, UnavailableKind] = {"UNAVAILABLE": "unreachable", "RESOURCE_EXHAUSTED": "overloaded"}
TLS = TlsSettings(
    address="HEADRACE_TRITON__URL",
    switch="HEADRACE_TRITON__TLS",
    authority="HEADRACE_TRITON__CA_FILE",
    certificate="HEADRACE_TRITON__CERT_FILE",
)
SOCKET_CLOSED = "Socket closed"
"""All that gRPC says if the server ends a new connection: it wants a certificate of the client, or TLS."""
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 5000)]
"""gRPC's own back-off grows to two minutes, during which a restarted server would still be unavailable."""


class TritonEncoder:
    """Sends padded batches: one for each instance of the model, and one that waits."""

    def __init__(self, settings: TritonSettings, files: ModelFiles) -> None:
        self.concurrency = 2
        self._model = settings.model or files.model.id
        self._deadline = settings.deadline
        self._weights = files.weights_sha256
        self._verified = False
        self._checked_if_closed = TLS.certificate if settings.tls else TLS.switch
        self._client = InferenceServerClient(
            settings.url,
            ssl=settings.tls,
            root_certificates=settings.ca_file,
            certificate_chain=settings.cert_file,
            private_key=settings.key_file,
            channel_args=RECONNECT,
        )

    async def encode(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d) float32 for (n, tokens) int64. Raises Unavailable, also when the server runs other weights."""
        if not self._verified:
            await self.check()
        inputs = [_input("input_ids", input_ids), _input("attention_mask", attention_mask)]
        outputs = [InferRequestedOutput("sentence_embedding")]
        try:
            with CALL_SECONDS.labels(STORE, "embed").time():
                result = await self._client.infer(self._model, inputs, outputs=outputs, client_timeout=self._deadline)
        except InferenceServerException as error:
            raise self._unavailable(error) from error
        vectors: NDArray[np.float32] | None = result.as_numpy("sentence_embedding")
        if vectors is None:
            raise Unavailable(STORE, f"{self._model} answered without sentence_embedding")
        return vectors

    async def check(self) -> None:
        """Raises Unavailable unless the server has the model ready, made from the catalogue's weights."""
        try:
            if not await self._client.is_model_ready(self._model, client_timeout=self._deadline):
                raise Unavailable(STORE, f"{self._model} is not ready")
            answer = await self._client.get_model_config(self._model, as_json=True, client_timeout=self._deadline)
        except InferenceServerException as error:
            raise self._unavailable(error) from error
        config: dict[str, Any] = answer["config"]
        served = config.get("parameters", {}).get(WEIGHTS_PARAMETER, {}).get("string_value")
        if served != self._weights:
            self._verified = False
            raise Unavailable(STORE, f"{self._model} runs weights {served}, the catalogue has {self._weights}")
        self.concurrency = 1 + sum(int(group.get("count", 1)) for group in config.get("instance_group", [{}]))
        self._verified = True

    async def close(self) -> None:
        await self._client.close()

    def _unavailable(self, error: InferenceServerException) -> Unavailable:
        """A server may come back with other weights, so they are checked again."""
        self._verified = False
        status = str(error.status()).removeprefix("StatusCode.")
        if status == "DEADLINE_EXCEEDED":
            return counted(STORE, NoAnswer(STORE, f"{status}: {error.message()}"))
        kind, suspect = KINDS.get(status, "other"), status in ("INTERNAL", "UNKNOWN")
        if kind == "unreachable" and (fault := grpc_tls_fault(str(error.message()), TLS)):
            return counted(STORE, Unavailable(STORE, fault, kind="tls"))
        if kind == "unreachable" and SOCKET_CLOSED in str(error.message()):
            detail = f"{status}: the server closes the connection: check whether it runs, and {self._checked_if_closed}"
            return counted(STORE, Unavailable(STORE, detail, kind=kind))
        return counted(STORE, Unavailable(STORE, f"{status}: {error.message()}", suspect=suspect, kind=kind))


def _input(name: str, values: NDArray[np.int64]) -> InferInput:
    tensor = InferInput(name, list(values.shape), "INT64")
    tensor.set_data_from_numpy(values)
    return tensor
