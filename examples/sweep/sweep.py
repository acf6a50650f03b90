"""How far a random walk gets: one point of a parameter sweep, with nothing but the standard library.

Reads a point as JSON from the file that is its argument, and prints a result as JSON.
"""

import json
import math
import sys
from random import Random


def walk(draw: Random, steps: int, bias: float) -> float:
    x = y = 0.0
    for _ in range(steps):
        angle = draw.uniform(0, 2 * math.pi)
        x += math.cos(angle) + bias
        y += math.sin(angle)
    return math.hypot(x, y)


with open(sys.argv[1]) as file:
    point = json.load(file)
draw = Random(point["seed"])
walks = [walk(draw, point["steps"], point["bias"]) for _ in range(point["walks"])]
print(json.dumps({**point, "distance": round(sum(walks) / len(walks), 6)}))
