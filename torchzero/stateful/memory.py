"""Memory: what the library asks of the system's allocator."""

import functools

import torch


@functools.cache
def keep_memory() -> None:
    """Have the C library keep what a block frees for the next block.

    By default it gives megabytes back to the system at once, and each block pays for them again, page by page. glibc
    keeps twice the largest piece that it has seen freed; other libraries do not mind.
    """
    # just below the size from which glibc draws no conclusions
    torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")
