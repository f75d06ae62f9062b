"""Bulk work lies in rows, and a feeder keeps a bounded number of each tenant's lines on the topic."""

from groundswell.common.feeder.domain import Bounds, Standing
from groundswell.common.feeder.feeder import Feeder
from groundswell.common.feeder.lease import FeederLease, LeaseLost, feeder_lease_table
from groundswell.common.feeder.ports import Rows

__all__ = ["Bounds", "Feeder", "FeederLease", "LeaseLost", "Rows", "Standing", "feeder_lease_table"]
