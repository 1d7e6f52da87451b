"""What the project's engines save over plain Keras as the sources wrote it, and what the pipeline costs beside them.

`python -m benchmarks` measures all of it and writes benchmarks/results.md. Every measurement is a process of its own.
"""
