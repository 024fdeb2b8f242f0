#!/bin/sh
# Provisions a fresh Debian or Ubuntu machine: everything else is installed by ./dev itself.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends git python3
cd /srv/hostler
./dev run
