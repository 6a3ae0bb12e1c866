"""The stores of the installed workers are opened for readers."""

import subprocess
import sys


def test_the_stores_are_imported_before_the_time_of_an_answer_counts() -> None:
    program = (
        "import asyncio, sys\n"
        "from headrace_letters.installed_stores import open_installed_stores\n"
        "async def main():\n"
        "    async with open_installed_stores():\n"
        "        print(*sorted({'asyncpg', 'elasticsearch', 'qdrant_client', 'onnxruntime'} & set(sys.modules)))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["asyncpg", "elasticsearch", "qdrant_client"]
