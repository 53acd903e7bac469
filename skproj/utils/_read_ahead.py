"""Reading in a thread, one item ahead."""

from concurrent.futures import ThreadPoolExecutor


def read_ahead(blocks):
    """Yield the blocks, each of which a thread reads while the one before is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block
