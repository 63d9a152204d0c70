"""Benchmarks of maps: how well they locate things, and how well they rank the parts of a thing.

    camviz benchmark --data scenes --methods layer_cam,grad_cam --out DIR

`cases` and `datasets` are pictures with their truth, `rows` the maps that are compared, `runner`
goes through all of them and keeps what was measured, `location` and `parts` are what is measured,
`intervals` and `tables` what is made of it, `plots` how it is drawn; `claims` are questions that
are answered by it.
"""
