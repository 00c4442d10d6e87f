"""The audit of logs: what honest training could have printed, and what it hardly could."""
