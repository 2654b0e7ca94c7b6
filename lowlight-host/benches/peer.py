"""Records the same payload with lowlightlog 0.4.0, redaction on: `peer.py BATCH < payload.ndjson` prints wall and CPU seconds.

Needs `pip install lowlightlog==0.4.0`; the bench runs it with the interpreter that LOWLIGHT_BENCH_PYTHON names.
"""

import asyncio
import json
import sys
import tempfile
import time

from lowlightlog import EdgeAILogger, OverflowPolicy


async def main():
    records = [json.loads(line) for line in sys.stdin]
    with tempfile.TemporaryDirectory() as folder:
        logger = EdgeAILogger(
            folder,
            overflow=OverflowPolicy.BLOCK_PRODUCER,
            batch_size=int(sys.argv[1]),
        )
        await logger.start()
        wall, cpu = time.perf_counter(), time.process_time()
        for prompt, response in records:
            await logger.log_inference(model="phi-3-mini", prompt=prompt, response=response, latency_ms=87.3)
        await logger.close()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows = logger.query("SELECT count(*) AS n FROM logs")[0]["n"]
        print(json.dumps({"wall": wall, "cpu": cpu, "written": rows}))


asyncio.run(main())
