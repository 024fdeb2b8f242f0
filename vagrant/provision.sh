#!/bin/sh
# Installs Hostler on a Debian or Ubuntu machine and waits until it serves. Run as root; again, it
# changes nothing that is right, and installs the package anew.
#
#   provision.sh [PACKAGE.deb]    by default the newest in ../dist, where './dev deb' puts it
#
# Settings in the environment (HOSTLER_…, ECS_…) go to the end of /etc/hostler/hostler.config, in a
# block of their own that the next run with settings replaces. The rest of that file is left alone.
set -eu

config=/etc/hostler/hostler.config
first='# From here on: settings that provision.sh was given'
last='# Up to here'

die() { echo "provision: $*" >&2; exit 1; }

newest() {
    dist=$(dirname "$0")/../dist
    # shellcheck disable=SC2012 # no other names are in there
    ls -t "$dist"/hostler_*_"$(dpkg --print-architecture)".deb 2>/dev/null | head -n 1
}

# Without the network where all that the package needs is there.
install() {
    needs="$(dpkg-deb --field "$1" Depends), $(dpkg-deb --field "$1" Recommends)"
    if ! apt-get -qq --no-download --simulate satisfy "$needs" >/dev/null 2>&1; then
        apt-get -q update
        apt-get -qy --no-install-recommends satisfy "$needs"
    fi
    dpkg --force-confold --install "$1"
}

# Settings are lines: a value of several would be cut, and the rest could be other settings.
given() {
    env | sed -nE 's/^((HOSTLER|ECS)_[A-Z0-9_]+)=.*/\1/p' | sort -u | while read -r name; do
        value=$(printenv "$name") || continue # it is in a line of another variable
        [ "$(printf '%s\n' "$value" | wc -l)" -eq 1 ] || die "$name has more than one line"
        printf '%s=%s\n' "$name" "$value"
    done
}

configure() {
    given=$(given)
    [ -n "$given" ] || return 0
    (
        umask 077 # settings may be secrets
        sed "/^$first\$/,/^$last\$/d" "$config" >"$config.new"
        printf '%s\n' "$first" "$given" "$last" >>"$config.new"
    )
    if ! cmp -s "$config.new" "$config"; then
        cat "$config.new" >"$config" # it keeps its owner and mode
        systemctl restart hostler.service || true # what is wrong is said below
    fi
    rm "$config.new"
}

[ "$(id -u)" -eq 0 ] || die "must run as root"
deb=${1:-$(newest)}
[ -n "$deb" ] || die "no package in $(dirname "$0")/../dist: make one with './dev deb', or name one"
[ -f "$deb" ] || die "there is no $deb"

export DEBIAN_FRONTEND=noninteractive
install "$deb"
configure
systemctl enable --quiet hostler.service
# Returns when the agent serves.
systemctl start hostler.service || {
    journalctl --no-pager -n 50 -u hostler.service >&2
    die "the agent does not start: see above"
}
hostler version
