"""What a page needs that strangers may open: bounds, files that go away again, counts.

Every request passes `guard` and `entrance`; `limits` says what a visitor is granted (`rates`,
`presence`, `storage`), `pool` how much is done at a time, `housekeeping` what is put away while
the server runs, `records` what is counted and logged.
"""
