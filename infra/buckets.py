"""The landing bucket and the inbox: private, TLS only, versioned, kept when the stack goes."""

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from haul.models.pipeline import Pipeline
from infra.permissions import acknowledge

OPERATION_RESULTS = "evidence/_operations/"
KEYS = "Keys below a prefix carry run ids and vendors' names: the prefix is the narrowest name there is."


def bucket(
    scope: Construct,
    construct_id: str,
    *,
    name: str | None,
    key: kms.IKey | None,
    rules: Sequence[s3.LifecycleRule] = (),
) -> s3.IBucket:
    """Make a bucket, or take the one of that `name`, which is then its owner's to configure."""
    if name:
        return s3.Bucket.from_bucket_name(scope, construct_id, name)
    made = s3.Bucket(
        scope,
        construct_id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        bucket_key_enabled=True if key else None,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        removal_policy=RemovalPolicy.RETAIN,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="unfinished-uploads",
                # A run lives no longer, and its last download may be as old as that.
                abort_incomplete_multipart_upload_after=Duration.days(9),
                expired_object_delete_marker=True,
            ),
            *rules,
        ],
    )
    resource = made.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - for the type checker
    # As a property: `event_bridge_enabled` would bring a custom resource with a function and a role of its own.
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
    acknowledge(
        made, "AwsSolutions-S1", "Who read which object is CloudTrail's to record, for the account's buckets together."
    )
    return made


def retention(pipelines: Sequence[Pipeline]) -> list[s3.LifecycleRule]:
    """What each pipeline lands goes when its retention is over; of the ledger, old versions go.

    An operation's long result goes with the execution that names it, which Step Functions keeps for 90 days.
    """
    rules = [
        s3.LifecycleRule(id="ledger-versions", prefix="ledger/", noncurrent_version_expiration=Duration.days(30)),
        s3.LifecycleRule(
            id="operation-results",
            prefix=OPERATION_RESULTS,
            expiration=Duration.days(90),
            noncurrent_version_expiration=Duration.days(1),
        ),
    ]
    for pipeline in pipelines:
        if pipeline.landing.retention_days is not None:
            rules += [
                s3.LifecycleRule(
                    id=f"{folder}-{pipeline.pipeline}",
                    prefix=f"{folder}/{pipeline.pipeline}/",
                    expiration=Duration.days(pipeline.landing.retention_days),
                    # A version becomes noncurrent by expiring or by being replaced: its time is over either way.
                    noncurrent_version_expiration=Duration.days(1),
                )
                for folder in ("raw", "evidence")
            ]
    return rules
