"""`python -m infra.local up|down|status|fire SCHEDULE`: the system on this machine."""

import argparse
import os
import sys

import boto3

from infra.local import schedules, system
from infra.local.deploy import DeployError
from infra.local.localstack import LocalStackError
from infra.local.vendors import demo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="The same system, on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start LocalStack and the simulators of all vendors, deploy the app")
    commands.add_parser("down", help="end them, and leave nothing but logs")
    commands.add_parser("status", help="what runs, and the environment variables to use")
    fire = commands.add_parser("fire", help="start what a schedule starts, now")
    fire.add_argument("schedule", help="its name, which is its pipeline's")
    fire.add_argument("--group", help="its group, if the name alone is not enough")
    chosen = parser.parse_args()
    try:
        match chosen.command:
            case "up":
                return _up()
            case "down":
                print("Stopped." if system.down() else "Nothing was running.")
                return 0
            case "status":
                return _status()
            case _:
                return _fire(chosen.schedule, chosen.group)
    except (DeployError, LocalStackError, schedules.ScheduleError, system.LocalSystemError) as error:
        print(error, file=sys.stderr)
        return 1


def _up() -> int:
    system.up(lambda step: print(step, flush=True))
    return _status()


def _status() -> int:
    now = system.status()
    for name, part in {"LocalStack": now.localstack, **{name: now.vendors.get(name) for name in demo.names()}}.items():
        print(f"{name:<18}{part.url if part else 'not running'}")
    if now.localstack is None:
        return 1
    print("\nTo talk to it from this shell:   source .localstack/env\n")
    for name, value in now.environment.items():
        print(f"export {name}={value}")
    return 0


def _fire(schedule: str, group: str | None) -> int:
    now = system.status()
    if now.localstack is None:
        print("The local system is not running; start it: make up", file=sys.stderr)
        return 1
    os.environ.update(now.environment)
    print(schedules.fire(schedule, boto3.Session(), group=group))
    return 0


if __name__ == "__main__":
    sys.exit(main())
