"""Rows and columns of the tables that describe a network and a rule to the kernels.

Scalars travel in two small arrays, so that a kernel's signature never changes.
"""

# layers: int64[n_layers, 6]
N_IN, N_OUT, WEIGHTS, BIASES, ACTIVATION, NEURONS = range(6)
LAYER_COLUMNS = 6

# activations and costs
LINEAR, SIGMOID, TANH, RELU = range(4)
MSE, CROSS_ENTROPY = range(2)

# ints: int64[INTS]; time constants in iterations of the loop (dt each in analog mode)
(
    TAU_X,
    TAU_P,
    TAU_THETA,
    BATCH,
    SHUFFLE,
    N_TRAIN,
    MODE,
    BASELINE,
    PERTURBATION,
    COST,
    SCHEDULE,
    SINE_FIRST,
    SINE_PERIOD,
    KEEP_GRADIENT,
    INTS,
) = range(15)

DISCRETE, ANALOG = range(2)
MEASURED, ANTITHETIC = range(2)
RANDOM, WALSH, SEQUENTIAL, GAUSSIAN, SINUSOID = range(5)
CONSTANT, COSINE, INVERSE = range(3)

# reals: float64[REALS]; times in steps
(
    AMPLITUDE,
    ETA,
    DT,
    TAU_HP,
    TAU_THETA_LOWPASS,
    SIGMA_C,
    SIGMA_C_BASELINE,
    SIGMA_THETA,
    MOMENTUM,
    WEIGHT_DECAY,
    SCHEDULE_STEPS,
    SCHEDULE_DECAY,
    CLIP,
    INPUT_SCALE,
    REALS,
) = range(15)

# law: float64[LAW], how devices are written
(
    WRITES,
    MODEL,
    GRANULARITY,
    ROUNDING,
    MAX_PULSES,
    C2C,
    C2C_KIND,
    C2C_FLOOR,
    C2C_SLOPE,
    WRITE_NOISE,
    FACTOR_UP,
    FACTOR_DOWN,
    RATE_UP,
    RATE_DOWN,
    Z_SHIFT,
    STUCK,
    LAW,
) = range(17)

WRITES_DIRECT, WRITES_AT_ONCE, WRITES_PULSES, WRITES_PLAIN = range(4)  # plain: no state but theta
SLOPED, EXPONENTIAL, POWER = range(3)  # SLOPED: constant, linear and soft bounds
STOCHASTIC, NEAREST, CARRIED = range(3)
RELATIVE, OF_NOMINAL, OF_STATE = range(3)  # what the cycle-to-cycle spread is a fraction of

# about: float64[READOUT], how columns are read; a step of 0: no converter
(
    READ_FLOOR,
    READ_SLOPE,
    DAC_LOW,
    DAC_HIGH,
    DAC_STEP,
    ADC_RANGE,
    ADC_STEP,
    COST_RANGE,
    COST_STEP,
    COST_CODE,
    DIGITAL,
    READ_HELD,
    READ_SIGNED,
    READOUT,
) = range(14)  # DIGITAL: 1 where the biases are not on the crossbar
INPUT, COLUMN, COST_READ, SPARE, SATURATED = range(5)  # rows of saturated
CHANGE, WHOLE_COST = range(2)  # what the converter of the cost is given

# about: float64[LATENCY], what comes late; times in iterations of the loop
DELAY, MATCHED, WRITE_STEPS, INPUT_SHARE, LATENCY = range(5)

# about: float64[AGING], what devices do between writes; times in iterations of the loop
AGE_EVERY, DRIFT_T0, MAPPING, G_PAIR, REST, AGING = range(6)
ONE_SIDED, SYMMETRIC, REFERENCE = range(3)  # mapping of a weight onto a pair of conductances

# stages: int64[stages, STAGES], layers of a network of pictures (image.py)
(
    STAGE,
    CHANNELS,
    HEIGHT,
    WIDTH_IN,
    CHANNELS_OUT,
    KERNEL_HIGH,
    KERNEL_WIDE,
    SOURCE_ROW,
    TARGET_ROW,
    TARGET_PLANE,
    FIRST_PLACE,
    PLACES,
    FIRST_TARGET,
    OUTPUTS,
    THEN,
    STAGE_WEIGHTS,
    STAGE_BIASES,
    STAGE_ACTIVATION,
    STAGE_NEURONS,
    MARGIN,  # around the picture that is read
    STAGES,
) = range(21)
ARRAY, MAX_POOL, AVG_POOL = range(3)
NOTHING, MAX_OF_FOUR, MEAN_OF_FOUR = range(3)  # what follows a layer at once
# about: float64[EXTRAS]; noise of the cost an iteration, half-select disturbance, the perturbing element
(
    FLICKER,  # rms of each process
    WALK,  # rms of the step of the random walk
    HUM,  # amplitude
    HUM_TURNS,  # of the mains in an iteration, less whole ones
    TELEGRAPH,  # half the height of the step
    FLIP,  # its probability
    HALF_SELECT,
    ELEMENT_STEP,
    ELEMENT_RANGE,
    ELEMENT_CUBIC,
    EXTRAS,
) = range(11)
# about: float64[WIRING], an array's wires; ohm times what a conductance of 1 in units of theta is in siemens
(
    ROW_R,
    SOURCE_R,
    DRIVEN_BOTH,
    COLUMN_R,
    SENSE_R,
    SENSED_BOTH,
    REFRESH,
    TOLERANCE,
    EXACT,
    ONE_LINE,
    BIAS_ROWS,
    WIRING,
) = range(12)
# tiles: int64[tiles x TILE], arrays: the layer, what part of it
TILE_LAYER, TILE_ROW, TILE_ROWS, TILE_COLUMN, TILE_COLUMNS, TILE = range(6)
