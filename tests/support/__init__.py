"""What tests of several folders share: real services, worker processes, waiting for a condition."""
