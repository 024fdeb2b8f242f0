#!/bin/sh
# What the hosts of the lab do beside installing Hostler (provision.sh does that). Run as root on a
# host; every verb may be run again and then changes nothing that is right.
#
#   network NUMBER SPARE TRUNK   the network interfaces that tasks may have: MACs of two NICs
#   tasks NUMBER HOSTS           sample tasks, those that don't run yet
#   metrics HOSTS                Prometheus on this host, asking all hosts
#   check NUMBER HOSTS           whether all of it works; waits for it LAB_DEADLINE seconds (300)
#
# Hosts are numbered from 1 on. Addresses follow from that: host 1 is 10.80.0.11, its tasks are
# 10.80.1.11 (the spare NIC), 10.80.101.11 and 10.80.102.11 (two VLANs of the trunk).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
etc=${LAB_ETC:-/etc}
vlans=${LAB_VLANS-101 102}
ours='# Written by the lab, anew at each provisioning.'

say() { echo "lab: $*"; }
die() { echo "lab: $*" >&2; exit 1; }

# The host whose tasks this host's tasks ask: the next one, and the first after the last.
peer() { echo $(($1 % $2 + 1)); }

network() {
    number=$1 spare=$2 trunk=$3
    mkdir -p "$etc/hostler"
    branches=$(for vlan in $vlans; do
        printf ',\n  {"type": "vlan", "trunk": "%s", "vlan": %s, "addresses": ["10.80.%s.1%s/24"], "subnet": "lab-vlan-%s"}' \
            "$trunk" "$vlan" "$vlan" "$number" "$vlan"
    done)
    cat >"$etc/hostler/enis.json" <<END
{"interfaces": [
  {"type": "nic", "mac": "$spare", "addresses": ["10.80.1.1$number/24"], "subnet": "lab-nic"}$branches
]}
END
    cp "$here/security-groups.json" "$etc/hostler/security-groups.json"
    say "tasks may have the NIC $spare, and VLANs $vlans of the NIC $trunk"
}

# $1 how the task is known in 'hostler network ls' when it runs, $2 its task definition, $3 where it
# is, $4 whom it asks; what follows is for 'hostler run'.
task() {
    known=$1 definition=$2 place=$3 asked=$4
    shift 4
    case $running in *"$known"*)
        say "there is one on $place"
        return
        ;;
    esac
    about='{"name": "PLACE", "value": "'"$number, $place"'"}, {"name": "PEER", "value": "'$asked'"}'
    changes=$(for container in server visitor; do
        printf '{"name": "%s", "environment": [%s]}\n' "$container" "$about"
    done | paste -sd,)
    id=$(hostler run --detach --overrides "{\"containerOverrides\": [$changes]}" "$@" "$here/tasks/$definition.json")
    say "task $id on $place"
}

tasks() {
    number=$1
    other=$(peer "$1" "$2")
    running=$(hostler network ls)
    task '8080->80/tcp' bridge 'the bridge' "10.80.0.1$other:8080"
    if [ ! -e "$etc/hostler/enis.json" ]; then
        say "no network interfaces for tasks here, so none in awsvpc mode"
        return
    fi
    task "10.80.1.1$number/" awsvpc 'a NIC of its own' "10.80.1.1$other" --subnet lab-nic
    for vlan in $vlans; do
        task "10.80.$vlan.1$number/" awsvpc "VLAN $vlan" "10.80.$vlan.1$other" --subnet "lab-vlan-$vlan"
    done
}

metrics() {
    targets=$(for number in $(seq "$1"); do echo "'10.80.0.1$number:51678'"; done | paste -sd,)
    if ! command -v prometheus >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends prometheus
    fi
    mkdir -p "$etc/prometheus"
    cat >"$etc/prometheus/prometheus.yml.new" <<END
$ours
global:
  scrape_interval: 15s
  scrape_timeout: 10s
scrape_configs:
  - job_name: hostler
    static_configs:
      - targets: [$targets]
END
    if cmp -s "$etc/prometheus/prometheus.yml.new" "$etc/prometheus/prometheus.yml"; then
        rm "$etc/prometheus/prometheus.yml.new"
    else
        mv "$etc/prometheus/prometheus.yml.new" "$etc/prometheus/prometheus.yml"
        systemctl restart prometheus
    fi
    say "Prometheus at http://10.80.0.11:9090/ asks $targets"
}

# Waits until a command succeeds, for what is left of the time; says what was waited for.
until_true() {
    what=$1
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$deadline" ] || die "not so within the time: $what"
        sleep 2
    done
    say "ok: $what"
}

# The task in network $1 has heard of host $2.
has_heard() {
    id=$(hostler network ls | awk -v known="$1" 'index($0, known) { print $1; exit }')
    [ -n "$id" ] && hostler logs "$id" visitor | grep -q "^host $2, "
}

# Prometheus had figures of $1 hosts when it last asked.
scraped() {
    [ "$(promtool query instant http://127.0.0.1:9090 'up{job="hostler"} == 1' | grep -c '^up')" -eq "$1" ]
}

check() {
    number=$1 hosts=$2
    other=$(peer "$1" "$2")
    deadline=$(($(date +%s) + ${LAB_DEADLINE:-300}))
    until_true "the task on the bridge is answered by host $other" has_heard '8080->80/tcp' "$other"
    [ -e "$etc/hostler/enis.json" ] || return 0
    until_true "the task with a NIC is answered by host $other" has_heard "10.80.1.1$number/" "$other"
    for vlan in $vlans; do
        until_true "the task in VLAN $vlan is answered by host $other" has_heard "10.80.$vlan.1$number/" "$other"
    done
    grep -qsx "$ours" "$etc/prometheus/prometheus.yml" || return 0
    until_true "Prometheus gets figures of $hosts hosts" scraped "$hosts"
}

usage() { sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2; }

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb/$# in
network/3 | tasks/2 | metrics/1 | check/2) "$verb" "$@" ;;
*) usage ;;
esac
