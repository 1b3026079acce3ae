"""The gateway process: the AWS front doors (Braket, S3, STS), their signature check, and the control API."""
