"""What ``hostler support-bundle`` gathers, piece by piece, and how secrets are kept out of it."""
