"""What the gateway counts, for Prometheus."""

from jupyter_qsec.adapters.metering.deciding import CountingPolicy
from jupyter_qsec.adapters.metering.metrics import CONTENT_TYPE, Metrics
from jupyter_qsec.adapters.metering.moment import Moment

__all__ = ["CONTENT_TYPE", "CountingPolicy", "Metrics", "Moment"]
