"""Runs LocalStack's Lambda functions as processes, without Docker.

    plugin        what LocalStack loads: one executor for each execution environment
    sandbox       one process of the real runtime client, from its start to its end
    runtime_api   the HTTP API that the runtime client talks to
    reports       the lines that Lambda itself adds to a function's log
    layers        the layers of a function, merged as AWS merges them under /opt
    bootstrap     the first code in the process

LocalStack finds the plugin by an entry point and takes it when LAMBDA_RUNTIME_EXECUTOR=process. LAMBDA_PYTHON names
the interpreter for the functions: an environment that holds what AWS's runtime offers and nothing else.
"""
