"""Logs and metrics: one line per thing done, each with its run id."""

from aws_lambda_powertools import Logger, Metrics

logger = Logger(service="haul")
metrics = Metrics(namespace="Haul", service="haul")
