"""End-to-end tests in virtual machines with their own kernel; run by ``./dev vm-test`` only."""
