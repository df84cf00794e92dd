"""`python -m tunewright`, and `accelerate launch -m tunewright`."""

from .cli import main

if __name__ == "__main__":
    main()
