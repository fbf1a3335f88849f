"""The only door to clock, sleep, randomness, disk, sockets and worker threads: real and virtual."""
