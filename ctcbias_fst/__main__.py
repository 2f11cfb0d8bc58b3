"""``python -m ctcbias_fst`` is ``ctcbias``."""

import os
import sys


def run() -> None:
    """Run the command line; Ctrl-C is one line while it is still being imported, too."""
    # Before torch is loaded: threads that wait for each other must not keep cores busy meanwhile,
    # or another program on one of them makes everything twenty times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from ctcbias_fst.cli import main  # noqa: PLC0415
        from ctcbias_fst.cli.closed_streams import stand_in  # noqa: PLC0415

        stand_in()
        main(prog_name="ctcbias")
    except ImportError as error:
        from ctcbias_fst.packages import package_fault  # noqa: PLC0415

        told = package_fault(error)
        if told is None:
            raise
        print(f"Error: {told}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped: the same command begins anew", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
