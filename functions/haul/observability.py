"""Logs and metrics: one line per thing done, each with its run id.

The service's name is the stack's to give: it tells the environments of an account apart.
"""

import logging

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics(namespace="Haul")

# Lambda lets everybody log from INFO on, and botocore would tell of each client that it makes.
logging.getLogger("botocore").setLevel(logging.WARNING)
