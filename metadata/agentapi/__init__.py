"""What a task may ask of the agent, below `/api/<endpoint id>/`: protection, network faults.

`room` tells paths and methods apart; `protection` and `faults` answer, by the JSON of `bodies`.
Each says in a protocol of its own what it needs of the agent (`Guardian`, `Injector`).
"""
