"""How else people move a file from HTTP to S3, each in a few lines: `others.py WHICH URL ENDPOINT KEY`.

Runs in the environment of `requirements.txt`. Certificates and credentials come from the environment variables that
each library reads by itself.
"""

import sys
from collections.abc import Callable
from typing import Any, cast

BUCKET = "landing"


def upload_fileobj(url: str, endpoint: str, key: str) -> None:
    import boto3
    import requests

    with requests.get(url, stream=True, timeout=60) as response:
        boto3.client("s3", endpoint_url=endpoint).upload_fileobj(cast("Any", response.raw), BUCKET, key)


def upload_fileobj_tuned(url: str, endpoint: str, key: str) -> None:
    import boto3
    import requests
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    quiet = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    large = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, io_chunksize=1 << 20)
    client = boto3.client("s3", endpoint_url=endpoint, config=quiet)
    with requests.get(url, stream=True, timeout=60) as response:
        client.upload_fileobj(cast("Any", response.raw), BUCKET, key, Config=large)


def put_object(url: str, endpoint: str, key: str) -> None:
    import boto3
    import requests

    content = requests.get(url, timeout=60).content
    boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=BUCKET, Key=key, Body=content)


def smart_open(url: str, endpoint: str, key: str) -> None:
    import shutil

    import boto3
    import smart_open

    client = boto3.client("s3", endpoint_url=endpoint)
    with (
        smart_open.open(url, "rb", compression="disable") as source,
        smart_open.open(
            f"s3://{BUCKET}/{key}", "wb", compression="disable", transport_params={"client": client}
        ) as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)


def airbyte(url: str, endpoint: str, key: str) -> None:  # noqa: ARG001  # it reads, and stores nothing
    import requests
    from airbyte_cdk.sources.declarative.decoders.composite_raw_decoder import (
        CompositeRawDecoder,
        CsvParser,
        GzipParser,
    )

    with requests.get(url, stream=True, timeout=60) as response:
        rows = sum(1 for _ in CompositeRawDecoder(GzipParser(CsvParser())).decode(response))
    if rows < 1:
        raise ValueError("no rows")


WAYS: dict[str, Callable[[str, str, str], None]] = {
    way.__name__: way for way in (upload_fileobj, upload_fileobj_tuned, put_object, smart_open, airbyte)
}

if __name__ == "__main__":
    WAYS[sys.argv[1]](*sys.argv[2:])
