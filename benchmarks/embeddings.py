"""Compares the embed worker with onnxruntime alone on the same batches, and price changes with new texts."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measurement import Comparison, compared, worker_rate
from benchmarks.topics import changes, fill, fresh_topics
from headrace_embed.buckets import padded, plan_batches
from headrace_embed.model_files import model_files
from headrace_embed.onnx_file import onnx_file
from headrace_embed.onnx_session import open_session
from headrace_embed.text import entity_text
from headrace_embed.tokens import TextTokenizer
from headrace_schemas.changes import ProductChange
from headrace_worker.model_catalogue import catalogue_model
from headrace_worker.worker import load_worker


async def run(settings: Any, records: int, cache: Path) -> list[Comparison]:
    """Each round embeds new texts, because the cache answers texts of earlier rounds."""
    worker = load_worker("embed")
    settings = settings.model_copy(update={"cache_dir": cache})
    files = model_files(catalogue_model(settings.model), settings.model_dir)
    session = open_session(onnx_file(files), settings.onnx_threads)
    tokenizer = TextTokenizer(files)

    def rows(number: int, version: int) -> list[dict[str, Any]]:
        made = changes(records, version, f"e{number}")
        return [row | {"title": f"{row['title']} {number}", "price": float(version)} for row in made]

    async def ours(number: int, version: int = 1) -> float:
        fresh = await fresh_topics(settings, "embed")
        await fill(fresh, fresh.topics.source("product"), rows(number, version))
        return await worker_rate(replace(worker), fresh, records)

    async def theirs(number: int) -> float:
        texts = [entity_text(ProductChange.model_validate(row)) for row in rows(number, 1)]
        # The worker sorts and cuts the records of one poll: the first poll is small, the others are full.
        polls = [
            texts[:50],
            *(texts[i : i + settings.batch.max_records] for i in range(50, records, settings.batch.max_records)),
        ]
        tokens = [tokenizer.token_ids([files.model.prefixed(text, "document") for text in poll]) for poll in polls]
        feeds = []
        for poll in tokens:
            for batch in plan_batches([len(one) for one in poll], files.model.max_tokens):
                ids, mask = padded([poll[i] for i in batch.positions], batch.length, files.shape.pad_token_id)
                feeds.append({"input_ids": ids, "attention_mask": mask})
        began = time.perf_counter()
        for feed in feeds:
            session.run(["sentence_embedding"], feed)
        return records / (time.perf_counter() - began)

    embedding = await compared("embed", "onnxruntime on the same batches", 0.9, ours, theirs)

    async def price_only(number: int) -> float:
        return await ours(number, 2)

    async def new_text(number: int) -> float:
        return await ours(number + 100)

    prices = await compared("price-only change", "change of the text", 10.0, price_only, new_text)
    return [embedding, prices]
