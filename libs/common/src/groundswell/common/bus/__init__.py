"""The only importer of the Kafka libraries.

To send: `Publisher`. To receive: `consume` and its kin (commands and replies, on a work source), `subscribe` (events,
in a group), `listen` (broadcast events) and `PartitionReader` (the reply partition that a replica owns). At least
once, explicit commits.
"""
