"""What this library costs, beside hand-written loops and beside other libraries.

    python -m benchmarks --help

- `workloads`: the rows: what is computed, on which data, from which weights;
- `formulas`: the arithmetic of each row, once, in the operations of a `lib`;
- `plain_tensorflow`, `plain_jax`, `plain_torch`: such a `lib` each, and a loop written by hand;
- `ours`: the same rows by this library;
- `peers`: by Pyro, pythae and torchebm, where they can;
- `worker`: one column in a process of its own; `driver` gives the columns their turns;
- `report`: table, JSON, plot;
- `scaling`: several processes, and what they send each other.
"""
