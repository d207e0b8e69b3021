"""`analogmgd bench`: the speed of the kernels beside what a user would write instead, all in one run.

workloads   what is measured, in groups whose members take turns, and the goals
problem     the arrays of a workload, as every peer takes them
ours, peer_jax, peer_torch, peer_numpy   the sides, one module each, with the variants that are tried
worker      a process of one side: pinned, told what to do line by line
crew        the workers as seen from the command
rounds      turns, medians, spreads
work        operations and bytes a step must cost; roof: what the machine can do
same        checks that all sides do the same work
startup     wall time of the program, cold and warm; what it imports
report, figure   table, goals, JSON; the plot
run         all of it in order
"""

if __name__ != "analogmgd.bench":
    raise ImportError("import this package as analogmgd.bench (install with `pip install -e .`)")
