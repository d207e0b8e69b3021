"""The oracles: every equation of the emulator once more, in plain NumPy and double precision.

They are written from the equations, not from the kernels, and never import them; the tests set the two side
by side. Plain loops, one function per equation with its source named; slow.

philox    words, uniforms and normals of the streams
order     which sample is presented when
network   networks, costs, true gradient, accuracy
layers    dense layers, convolutions, pools, and their derivatives
image     networks of these on images
perturb   the perturbation of every parameter at a step
device    pulsed devices: their spreads, one pulse, how many are asked for
retention drift, leak, 1/f noise, programming errors
rule      a chip that trains itself by multiplexed gradient descent, and backpropagation beside it
wires     a crossbar with resistive wires by Kirchhoff's current law, dense
ngspice   the same crossbars in a circuit simulator
"""
