"""Memory does not grow with the file (guarantee 4). `python -m tests.bench` measures it up to gigabytes."""

from tests.bench.memory import measure


def test_a_file_five_times_as_long_takes_no_more_memory() -> None:
    """A part of 32 MB is held, and used again and again."""
    small = measure(40_000_000)
    large = measure(200_000_000)

    assert large.bytes > 4.9 * small.bytes
    assert large.peak - small.peak < 4_000_000
    assert large.peak < 64_000_000
