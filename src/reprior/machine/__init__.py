"""What a job meets on its machine: files, locks, devices, memory."""
