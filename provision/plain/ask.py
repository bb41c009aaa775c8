"""`supervisorctl` for people, on a supervisor that no index of Python packages brought. Must not do anything else."""

import sys


def main(folder: str, configuration: str, *words: str) -> None:
    """Hand everything to supervisorctl."""
    sys.path.insert(0, folder)
    from supervisor import supervisorctl

    supervisorctl.main(["--configuration", configuration, *words])


if __name__ == "__main__":
    main(*sys.argv[1:])
