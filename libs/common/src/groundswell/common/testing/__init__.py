"""What tests of every service share: bounded waits on state, and the compliance test of a service process."""
