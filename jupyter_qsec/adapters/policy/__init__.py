"""Policy decisions by Cedar, with a schema, always."""

from jupyter_qsec.adapters.policy.cedar import CedarPolicy
from jupyter_qsec.adapters.policy.sources import PolicySource, policies_in, shipped_policies

__all__ = ["CedarPolicy", "PolicySource", "policies_in", "shipped_policies"]
