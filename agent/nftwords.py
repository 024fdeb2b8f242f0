"""Words of nft's language, which can't be names of tables: nft has no quotes for names.

Found by asking nft 1.0.6 for a table of each name, with what later versions have added.
"""

_WORDS = (
    "accept add ah all and arp bridge cgroup chain comment comp constant continue counter cpu "
    "create ct day dccp define delete describe destroy device devices dnat drop dst dup dynamic "
    "ecn element elements eq esp ether exists expires export exthdr fib flags flow flowtable "
    "flush frag fwd gc-interval ge geneve get goto gre gretap gt handle hbh hook hour ibriport "
    "ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype import include index inet insert "
    "interval ip ip6 ipsec jhash jump last le limit list log lshift lt map mark masquerade meta "
    "meter mh missing monitor ne netdev nftrace not notrack numgen obriport obrname offload oif "
    "oifgroup oifname oiftype or osf pkttype policy position priority queue quota random "
    "redefine redirect reject rename replace reset return rshift rt rt0 rt2 rtclassid rule "
    "ruleset sctp secmark set size skgid skuid snat socket srh string symhash synproxy table "
    "tcp th time timeout tproxy type typeof udp udplite undefine update vlan vmap vxlan xor xt "
)

RESERVED = frozenset(_WORDS.split())
