"""The same as the command `tfrs-models`: python -m pipelines retrieval --help."""

from .cli import main

if __name__ == "__main__":
    main()
