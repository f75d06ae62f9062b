"""What two services must agree on, or every service must do the same way.

Contracts and topics, the bus over Kafka, telemetry, and the runtime that starts, watches and drains a service.
No torch.
"""
