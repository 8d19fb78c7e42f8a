"""Memory does not grow with the file (guarantee 4). `python -m tests.bench` measures it up to gigabytes."""

from tests.bench.memory import measure


def test_a_file_fifteen_times_as_long_takes_no_more_memory() -> None:
    """Above 10 MB only the second part's buffer comes in: everything else is used again and again."""
    small = measure(10_000_000)
    large = measure(150_000_000)

    assert large.bytes > 14 * small.bytes
    assert large.peak - small.peak < 12_000_000
    assert large.peak < 64_000_000
