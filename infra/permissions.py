"""What a role may do, and why where a resource cannot be named.

cdk-nag reports every `*` as a finding of its own. Here each is acknowledged where it is granted, with its reason.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def acknowledge(scope: IConstruct, rule: str, because: str) -> None:
    """Answer a rule of cdk-nag below `scope`."""
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=rule, reason=because))


def allow(
    role: iam.Role,
    actions: Sequence[str],
    *resources: str,
    because: str | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> None:
    """Let `role` do `actions`. `because` is the reason for every `*` in `resources`."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions))
    for resource in resources:
        acknowledge_wildcard(role, resource, because)


def acknowledge_wildcard(scope: IConstruct, resource: str, because: str | None) -> None:
    """Answer the finding that `resource` makes if there is a `*` in it."""
    spelled = _spelled(cdk.Stack.of(scope).resolve(resource))
    if "*" in spelled:
        if because is None:
            raise ValueError(f"{spelled} is not one resource: say why")
        acknowledge(scope, f"AwsSolutions-IAM5[Resource::{spelled}]", because)


def _spelled(resolved: Any) -> str:
    """Write a resolved ARN the way cdk-nag does in the name of a finding."""
    match resolved:
        case str():
            return resolved
        case {"Fn::Join": [str(delimiter), list(items)]}:
            return delimiter.join(_spelled(item) for item in items)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case _:
            return json.dumps(resolved, separators=(",", ":"))
