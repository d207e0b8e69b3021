"""`python -m analogmgd` is the command `analogmgd`."""

from analogmgd.cli import main

if __name__ == "__main__":
    main()
