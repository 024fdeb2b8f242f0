"""Our nftables table on the host: its rules, the networks in it, and how it lives with others'.

Made with nft(8) once, changed by single elements from then on. What others do to it is seen
(`nftwatch`), what others do to forwarded packets is asked to let ours pass (`coexistence`).
"""
