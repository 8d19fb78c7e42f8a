"""Serve one vendor's simulator on 127.0.0.1, until SIGTERM or SIGINT.

python -m infra.local.vendors visier --port 0 --scenario success-delta
"""

import argparse
import os
import pkgutil
import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Any

from infra.local import vendors
from infra.local.vendors.simulator import AdminError, VendorSimulator


def main() -> int:
    arguments = vars(_parser().parse_args())
    vendor, with_parent = arguments.pop("vendor"), arguments.pop("with_parent")
    given = {name: value for name, value in arguments.items() if value is not None}
    stop = threading.Event()

    def stop_on(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, stop_on)
    signal.signal(signal.SIGINT, stop_on)
    parent = os.getppid()
    try:
        simulator = _simulator(vendor)(**given)
        simulator.start()
    except (AdminError, OSError, OverflowError) as error:
        print(f"{vendor}: {error}", file=sys.stderr)
        return 2
    print(f"ready {simulator.url}", flush=True)
    while not stop.wait(0.5 if with_parent else None):
        if os.getppid() != parent:
            break
    simulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local.vendors", description=__doc__.splitlines()[0])
    choices = parser.add_subparsers(dest="vendor", required=True, metavar="VENDOR")
    for module in pkgutil.iter_modules(vendors.__path__):
        if not module.ispkg:
            continue
        simulator = _simulator(module.name)
        scenarios = "\n".join(f"  {name:28}{scenario.summary}" for name, scenario in simulator.SCENARIOS.items())
        vendor = choices.add_parser(
            module.name, epilog=f"scenarios:\n{scenarios}", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        vendor.add_argument("--port", type=int, default=0, help="0, the default, is any free one")
        vendor.add_argument("--scenario", metavar="NAME", choices=simulator.SCENARIOS, help="one of those below")
        vendor.add_argument("--with-parent", action="store_true", help="end when the process that started this ends")
        simulator.add_arguments(vendor)
    return parser


def _simulator(vendor: str) -> type[VendorSimulator[Any]]:
    made: type[VendorSimulator[Any]] = import_module(f"infra.local.vendors.{vendor}").SIMULATOR
    return made


if __name__ == "__main__":
    sys.exit(main())
