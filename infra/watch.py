"""What an operator looks at: alarms on failed, late, stale and dead letters, and one dashboard."""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

_NAMESPACE = "Haul"
_FIVE_MINUTES = Duration.minutes(5)
_HOUR = Duration.hours(1)


class Watch(Construct):
    """Alarms and dashboard of one stack. `service` is the dimension that the functions' metrics carry."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        flows: Mapping[str, sfn.StateMachine],
        functions: Mapping[str, cloudwatch.Metric],
        dead_letters: sqs.Queue,
        alarm_topic: sns.ITopic | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._service = service
        self._topic = alarm_topic
        failed = _ended_badly(flows)
        late, stale = self._metric("RunsLate"), self._metric("PipelinesStale")
        letters = dead_letters.metric_approximate_number_of_messages_visible(period=_FIVE_MINUTES, statistic="Maximum")
        self._alarm("Failed", failed, "A run failed, timed out or was aborted: its notice says what to do.")
        self._alarm("Late", late, "A run takes longer than its pipeline's late_after.")
        self._alarm("Stale", stale, "A pipeline has published nothing for longer than its fresh_within.")
        self._alarm("DeadLetters", letters, "Something asynchronous was given up: the dead-letter queue holds it.")
        self._dashboard(flows=flows, failed=failed, late=late, stale=stale, letters=letters, functions=functions)

    def also(self, construct_id: str, machine: sfn.StateMachine, description: str) -> None:
        """Raise an alarm about a further state machine's executions."""
        self._alarm(construct_id, _ended_badly({"operation": machine}), description)

    def _metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self._service},
            # The Sweep, which counts them, comes by once an hour.
            period=_HOUR,
            statistic="Sum",
        )

    def _alarm(self, construct_id: str, metric: cloudwatch.IMetric, description: str) -> None:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        if self._topic:
            alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _dashboard(
        self,
        *,
        flows: Mapping[str, sfn.StateMachine],
        failed: cloudwatch.IMetric,
        late: cloudwatch.IMetric,
        stale: cloudwatch.IMetric,
        letters: cloudwatch.IMetric,
        functions: Mapping[str, cloudwatch.Metric],
    ) -> None:
        ended = f'{{{_NAMESPACE},outcome,service}} service="{self._service}" MetricName="RunsEnded"'
        outcomes = cloudwatch.MathExpression(
            expression=f"SEARCH('{ended}', 'Sum')",
            label="",
            period=_HOUR,
            using_metrics={},
        )
        graph = cloudwatch.GraphWidget
        cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.days(7)).add_widgets(
            graph(
                title="Runs ended, by outcome", width=12, stacked=True, left=[outcomes, self._metric("RunsAbandoned")]
            ),
            graph(
                title="Executions",
                width=12,
                left=[
                    *(flow.metric_started(label=f"{kind}s started") for kind, flow in flows.items()),
                    *(flow.metric_succeeded(label=f"{kind}s succeeded") for kind, flow in flows.items()),
                    failed,
                ],
            ),
            graph(title="Late and stale", width=8, left=[late, stale]),
            graph(title="Dead letters", width=8, left=[letters]),
            graph(
                title="Time of an execution",
                width=8,
                left=[flow.metric_time(label=kind, statistic="Maximum", period=_HOUR) for kind, flow in flows.items()],
            ),
            graph(title="Errors of functions", width=24, left=list(functions.values())),
        )


def _ended_badly(flows: Mapping[str, sfn.StateMachine]) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="SUM(METRICS())",
        label="failed, timed out or aborted",
        period=_FIVE_MINUTES,
        using_metrics={
            f"{name}_{kind}": metric(period=_FIVE_MINUTES, statistic="Sum")
            for kind, flow in flows.items()
            for name, metric in (
                ("failed", flow.metric_failed),
                ("timed_out", flow.metric_timed_out),
                ("aborted", flow.metric_aborted),
            )
        },
    )
