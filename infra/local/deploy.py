"""Bring the CDK app into LocalStack.

    synthesize(Path("cdk.out"))
    outputs = deploy(Path("cdk.out"), "Haul-local", boto3.Session(...))

The assembly is the one that the CDK command line would deploy, unchanged. Doing without the command line, and with
only the two things of a bootstrapped account that such a deployment uses, takes 4 s where the two commands take 15.
An account is always deployed to with the real one, by `make deploy`.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from infra.local.localstack import ACCOUNT, REGION, ROOT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

type Json = dict[str, Any]

# What `cdk bootstrap` makes and an assembly refers to.
_ASSETS_BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
_BOOTSTRAP_VERSION = ("/cdk-bootstrap/hnb659fds/version", "30")

_DEPLOY_SECONDS = 300


class DeployError(Exception):
    """The app does not synthesize, or CloudFormation refuses it; with the reasons given."""


def synthesize(out: Path, *, environment: str = "local") -> Path:
    """Have `infra.app` write its assembly to `out`, unless what is there is of the very same sources."""
    out.mkdir(parents=True, exist_ok=True)
    stamp = out / ".sources"
    sources = _digest_of_sources(environment)
    if stamp.exists() and stamp.read_text() == sources:
        return out
    stamp.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "infra.app"],
        cwd=ROOT,
        env={**_without_aws(), "CDK_OUTDIR": str(out.absolute()), "HAUL_ENV": environment, **_COMPILING},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DeployError(f"python -m infra.app failed:\n{done.stdout}{done.stderr}")
    stamp.write_text(sources)
    return out


def deploy(assembly: Path, stack: str, session: boto3.Session) -> dict[str, str]:
    """Create or update `stack` from its template and assets in `assembly`; answers with its outputs.

    Raises:
        DeployError: a resource failed, each with its reason.
    """
    manifest = json.loads((assembly / f"{stack}.assets.json").read_text())
    s3 = session.client("s3")
    s3.create_bucket(Bucket=_ASSETS_BUCKET)
    name, version = _BOOTSTRAP_VERSION
    session.client("ssm").put_parameter(Name=name, Value=version, Type="String", Overwrite=True)
    for file in manifest["files"].values():
        body = _packed(assembly / file["source"]["path"], file["source"]["packaging"])
        for destination in file["destinations"].values():
            s3.put_object(Bucket=_resolved(destination["bucketName"]), Key=destination["objectKey"], Body=body)
    cloudformation = session.client("cloudformation")
    template = (assembly / f"{stack}.template.json").read_text()
    _execute(cloudformation, stack, _uploaded(s3, stack, template))
    outputs = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def _uploaded(s3: Any, stack: str, template: str) -> str:
    """A template in the call itself may not exceed 51,200 bytes."""
    key = f"{stack}.template.json"
    s3.put_object(Bucket=_ASSETS_BUCKET, Key=key, Body=template.encode())
    return f"{s3.meta.endpoint_url}/{_ASSETS_BUCKET}/{key}"


def _execute(cloudformation: "CloudFormationClient", stack: str, template_url: str) -> None:
    exists = _status(cloudformation, stack) is not None
    request: Any = {
        "StackName": stack,
        "TemplateURL": template_url,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if not exists:
        cloudformation.create_stack(**request)
    else:
        try:
            cloudformation.update_stack(**request)
        except cloudformation.exceptions.ClientError as error:
            if "No updates" in str(error):
                return
            raise
    give_up = time.monotonic() + _DEPLOY_SECONDS
    while (status := _status(cloudformation, stack)) and status.endswith("IN_PROGRESS"):
        if time.monotonic() > give_up:
            raise DeployError(f"{stack} is still {status} after {_DEPLOY_SECONDS} s")
        time.sleep(0.3)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise DeployError(f"{stack} is {status}:\n{_reasons(cloudformation, stack)}")


def _status(cloudformation: "CloudFormationClient", stack: str) -> str | None:
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _reasons(cloudformation: "CloudFormationClient", stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return "\n".join(
        f"  {event.get('LogicalResourceId')} ({event.get('ResourceType')}): {event.get('ResourceStatusReason')}"
        for event in reversed(events)
        if event.get("ResourceStatus", "").endswith("FAILED")
    )


def _packed(source: Path, packaging: str) -> bytes:
    if packaging == "file":
        return source.read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(source))
    return archive.getvalue()


def _resolved(name: str) -> str:
    return name.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)


# Compiled modules are kept, or each synth would compile the CDK anew.
_COMPILING = {"PYTHONDONTWRITEBYTECODE": ""}


def _without_aws() -> dict[str, str]:
    """A synth that asks an account for anything has to fail here and not first in CI."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _digest_of_sources(environment: str) -> str:
    """All that the assembly is made from: the app, the functions, and their layer by its fingerprint."""
    digest = hashlib.sha256(f"{environment} {sys.version}".encode())
    files = [ROOT / "uv.lock", ROOT / "pyproject.toml", *(ROOT / "build").glob("layer-*.json")]
    files += [path for root in ("functions", "infra") for path in (ROOT / root).rglob("*") if path.is_file()]
    not_in_it = {"__pycache__", "node_modules", "local"}
    for path in sorted(files):
        name = path.relative_to(ROOT)
        if not not_in_it & set(name.parts):
            digest.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()
