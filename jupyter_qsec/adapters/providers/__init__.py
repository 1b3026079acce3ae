"""What runs tasks: simulators in worker processes that end with the gateway, and the documents they answer with."""
