"""The control API's client, the state directory and the supervision of a gateway: what server, kernels and command
line share. Knows neither Jupyter Server nor the gateway's code."""
