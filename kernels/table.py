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
    REALS,
) = range(14)

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
    READOUT,
) = range(11)
INPUT, COLUMN, COST_READ, SPARE, SATURATED = range(5)  # rows of saturated
CHANGE, WHOLE_COST = range(2)  # what the converter of the cost is given

# about: float64[LATENCY], what comes late; times in iterations of the loop
DELAY, MATCHED, WRITE_STEPS, INPUT_SHARE, LATENCY = range(5)

# about: float64[AGING], what devices do between writes; times in iterations of the loop
AGE_EVERY, DRIFT_T0, MAPPING, G_PAIR, REST, AGING = range(6)
ONE_SIDED, SYMMETRIC, REFERENCE = range(3)  # mapping of a weight onto a pair of conductances

# about: float64[PAIR], the two conductances of each weight; in units of theta, times in iterations of the loop
(
    WRITTEN_UP,
    DRIFT_MODEL,
    OVER_FULL,
    ERROR_0,
    ERROR_1,
    ERROR_2,
    ERROR_3,
    FLICKER,
    FLICKER_POWER,
    FLICKER_MOST,
    FLICKER_ROOT,
    TELEGRAPH_EVERY,
    TELEGRAPH_KEEP,
    TELEGRAPH_HIGH,
    TELEGRAPH_FIXED,
    TELEGRAPH_SHARE,
    REFRESH_EVERY,
    REFRESH_UPPER,
    REFRESH_LOWER,
    RESET_C2C,
    PAIR,
) = range(21)
OF_POWER, OF_PCM = range(2)  # drift model: one exponent for a device, or one from its conductance at each write

# at: int64[..], where each part of `Pair.real` begins, and of `Pair.count`; an empty part: not needed
(
    HELD,
    PROGRAMMED,
    NOW,
    STEP_UP,
    SLOPE,
    HIGH,
    LOW,
    RESET,
    RATIO,
    PROCESSES,
    SLOW,
    TRAP,
    STATE,
    TOUCHED,
) = range(0, 28, 2)  # one of plus, one of minus each
STILL, DUE, PARTS = 28, 29, 30
COUNTED, LIMIT, REFRESHED, COUNT_PARTS = 0, 2, 4, 5
