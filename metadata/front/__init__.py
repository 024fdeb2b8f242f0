"""What every request passes: sockets (`listener`), one owner's door (`door`), its limit (`limits`).

Behind a door are rooms, one for each subject: whatever answers `Asking`s about it (`asking`).
"""
