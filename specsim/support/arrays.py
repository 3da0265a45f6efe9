"""Names of array types."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of floats, of whole numbers or of objects such as Fractions.
Array = NDArray[Any]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
