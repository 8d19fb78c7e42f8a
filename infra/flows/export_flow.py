"""The export flow: from an event to a manifest and a notice.

Schedule export ─► Anything to do? ─► Wait ─► Check export ─► Ready? ─► (Wait | next)
    Plan download ─► Any files? ─► Download files (Distributed Map) ─► Publish ─► Notify
    any error before Notify ─► Abandon export ─► Published after all? ─► (Succeeded | Fail)
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from haul.errors import LedgerBusyError, VendorUnavailableError, names_of
from haul.models.export import Download
from haul.models.work import JobStatus
from infra.buckets import KEYS
from infra.flows.flow import ANY, TRANSIENT, Flow, Retries
from infra.flows.waiting import Waiting, has_outcome, status_is
from infra.permissions import acknowledge_wildcard, allow

_OF_THE_CHILD = {"item", "turn", "unfinished"}


@dataclass(frozen=True, kw_only=True)
class ExportSteps:
    """The functions that the flow joins, each named after its state."""

    schedule_export: lambda_.IFunction
    check_export: lambda_.IFunction
    plan_download: lambda_.IFunction
    download_files: lambda_.IFunction
    publish: lambda_.IFunction
    notify: lambda_.IFunction
    abandon: lambda_.IFunction


class ExportFlow(Flow):
    """Brings files: the state machine `machine`, and a role that may do what its states do."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        steps: ExportSteps,
        landing: s3.IBucket,
        key: kms.IKey | None,
        dead_letters: sqs.IQueue,
        retries: Retries,
        log_retention: logs.RetentionDays,
    ) -> None:
        self._steps = steps
        super().__init__(
            scope,
            construct_id,
            functions=list(vars(steps).values()),
            dead_letters=dead_letters,
            retries=retries,
            log_retention=log_retention,
        )
        allow(self.role, ["s3:GetObject"], landing.arn_for_objects("ledger/*/plans/*"), because=KEYS)
        if key:
            allow(self.role, ["kms:Decrypt"], key.key_arn)
        self._let_it_run_its_map(self.role)

    def _definition(self) -> sfn.IChainable:
        steps = self._steps
        succeeded = sfn.Succeed(self, "Succeeded")
        notify = self._notify(steps.notify, succeeded)
        abandon = self._abandon("Abandon export", steps.abandon, succeeded)

        publish = self._step("Publish", steps.publish, [*names_of(LedgerBusyError), *names_of(VendorUnavailableError)])
        download = self._download(steps.download_files)
        plan = self._step("Plan download", steps.plan_download, TRANSIENT)
        check = self._step("Check export", steps.check_export, TRANSIENT)
        schedule = self._first("Schedule export", steps.schedule_export)
        for state in (schedule, check, plan, download, publish):
            state.add_catch(abandon, errors=ANY, result_path="$.error")

        # A delta without a change has no files, and whether a map takes an empty list is not documented.
        files = (
            sfn.Choice(self, "Any files?")
            .when(sfn.Condition.number_equals("$.plan.items", 0), publish)
            .otherwise(download.next(publish))
        )
        plan.next(files)
        publish.next(notify)
        waiting = Waiting(
            self, "Waiting", check=check, ready=plan, ended=notify, otherwise=self._unexpected("Check export", abandon)
        )
        anything = (
            sfn.Choice(self, "Anything to do?")
            .when(has_outcome(), notify)
            .when(status_is(JobStatus.SUCCEEDED), plan)
            .otherwise(waiting.start)
        )
        return schedule.next(anything)

    def _download(self, function: lambda_.IFunction) -> sfn.DistributedMap:
        """Children never fail: what came of each file is in the ledger, and Publish compares it with the plan.

        A map would report a failed child under a name that says nothing about the file. A child whose time ended before
        its files did answers with its own next input.
        """
        child = self._step("Download", function, TRANSIENT, attempts=3)
        recorded = sfn.Pass(self, "Recorded elsewhere", result=sfn.Result.from_object({}))
        child.add_catch(recorded, errors=ANY)
        unfinished = sfn.Condition.boolean_equals("$.unfinished", value=True)
        child.next(sfn.Choice(self, "Unfinished?").when(unfinished, child).otherwise(recorded))
        of_the_state = {
            name: sfn.JsonPath.object_at(f"$.{name}") for name in Download.model_fields if name not in _OF_THE_CHILD
        }
        return sfn.DistributedMap(
            self,
            "Download files",
            label="DownloadFiles",
            map_execution_type=sfn.StateMachineType.STANDARD,
            item_reader=sfn.S3JsonItemReader(
                bucket_name_path=sfn.JsonPath.string_at("$.plan.bucket"), key=sfn.JsonPath.string_at("$.plan.key")
            ),
            item_selector={**of_the_state, "item": sfn.JsonPath.object_at("$$.Map.Item.Value")},
            max_concurrency_path="$.plan.concurrency",
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(child)

    def _let_it_run_its_map(self, role: iam.Role) -> None:
        """In a policy of its own: it names the machine, and the machine is made with the role's other one.

        CDK's policy for the same is never attached, since the role takes no updates; it names the wrong executions.
        """
        self.machine.node.try_remove_child("DistributedMapPolicy")
        executions = cdk.Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.machine.state_machine_name}/*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        policy = iam.Policy(self, "MapPolicy", roles=[role])
        policy.add_statements(
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[self.machine.state_machine_arn]),
            iam.PolicyStatement(actions=["states:DescribeExecution", "states:StopExecution"], resources=[executions]),
        )
        acknowledge_wildcard(policy, executions, "A map names its children's executions itself.")
