"""``python -m agent``: the same as the command ``hostler``."""

from agent.cli.main import main

if __name__ == "__main__":
    main()
