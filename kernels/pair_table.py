"""Rows of the tables that describe the two conductances of a weight to the kernels, as `table` does the rest."""

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
