"""Speed, memory and quality, against the plain recipe and against peers. `python -m benchmarks` lists them."""
