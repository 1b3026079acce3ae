"""A program as you would run it anywhere. It has a lease below `jupyter qsec exec -- …`."""

from braket.aws import AwsDevice
from braket.circuits import Circuit

device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(Circuit().h(0).cnot(0, 1), shots=1000)
print(task.id)
print(dict(task.result().measurement_counts))
