"""What a job uses of its machine: files, locks, devices, memory."""
