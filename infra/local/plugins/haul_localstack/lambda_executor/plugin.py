"""What LocalStack loads: one executor for each execution environment."""

import os
import sys
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from .environment import Environment
from .layers import Layers
from .sandbox import Function

_LAYERS = Layers()

# Meant for LocalStack's containers: paths and addresses that are nothing to a process.
_FOR_CONTAINERS = {
    "EDGE_PORT",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "LOCALSTACK_HOSTNAME",
    "LOCALSTACK_RUNTIME_ENDPOINT",
}


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc] # LocalStack lives in another environment
    name = "process"

    def load(self, *_args: object, **_kwargs: object) -> "type[ProcessExecutor]":
        return ProcessExecutor


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc] # LocalStack lives in another environment
    """LocalStack's view of an environment."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002 - LocalStack's name for it
        super().__init__(id, function_version)
        self._environment: Environment | None = None

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack code and layers, once for all environments of this version."""
        for archive in (function_version.config, *function_version.config.layers):
            archive.code.prepare_for_execution()
        _opt(function_version)

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        _LAYERS.give_back(_user(function_version))

    def start(self, env_vars: dict[str, Any]) -> None:
        variables = {name: str(value) for name, value in env_vars.items() if name not in _FOR_CONTAINERS}
        if level := variables.get("AWS_LAMBDA_LOG_LEVEL"):
            variables["AWS_LAMBDA_LOG_LEVEL"] = level.upper()  # LocalStack's "Info" is no level of Python's
        variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{self.function_version.config.runtime}"
        settings = self.function_version.config
        function = Function(
            handler=settings.handler,
            code=Path(settings.code.get_unzipped_code_location()),
            opt=_opt(self.function_version),
            memory_mb=int(settings.memory_size),
            timeout_seconds=float(settings.timeout),
        )
        self._environment = Environment(
            function,
            python=os.environ.get("LAMBDA_PYTHON", sys.executable),
            variables=variables,
            version=self.function_version.id.qualifier,
        )
        self._environment.start()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        request_id = payload["invoke-id"]
        result = self._started().invoke(
            request_id,
            payload["payload"].encode(),
            function_arn=payload["invoked-function-arn"],
            trace_id=payload["trace-id"],
        )
        return InvocationResult(request_id, result.payload, is_error=result.is_error, logs=result.log)

    def stop(self) -> None:
        if self._environment is not None:
            self._environment.stop()

    def get_logs(self) -> str:
        """Nothing: every line is part of an invocation's result."""
        return ""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """Where a function finds LocalStack; the port is added to it."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """For LocalStack's own init program, which a process does not have."""
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/unused"

    def _started(self) -> Environment:
        if self._environment is None:
            raise RuntimeError(f"execution environment {self.id} was not started")
        return self._environment


def _opt(function_version: FunctionVersion) -> Path | None:
    layers = [Path(layer.code.get_unzipped_code_location()) for layer in function_version.config.layers]
    return _LAYERS.take(_user(function_version), layers)


def _user(function_version: FunctionVersion) -> str:
    return f"{function_version.qualified_arn}/{function_version.config.internal_revision}"
