"""The one loop and what it needs: state, optimizer, precision, checkpoints, callbacks."""
