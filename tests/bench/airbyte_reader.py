"""Reads each URL as Airbyte's connectors read large answers; prints the rows of each, null where it refused.

    airbyte_reader.py PATIENCE URL...

Runs in the environment of `requirements.txt`.
"""

import json
import sys

import requests
from airbyte_cdk.sources.declarative.extractors import ResponseToFileExtractor


def rows_of(url: str, patience: float) -> int | None:
    try:
        response = requests.get(url, stream=True, timeout=patience)
        response.raise_for_status()
        return sum(1 for _ in ResponseToFileExtractor({}).extract_records(response))
    except Exception:  # noqa: BLE001  # whatever it raises is a refusal
        return None


if __name__ == "__main__":
    print(json.dumps([rows_of(url, float(sys.argv[1])) for url in sys.argv[2:]]))
