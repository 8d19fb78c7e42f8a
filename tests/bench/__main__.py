"""All measurements: `make bench`."""

import sys

from tests.bench import memory

memory.main([int(size) for size in sys.argv[1:]] or [10, 1_000])
