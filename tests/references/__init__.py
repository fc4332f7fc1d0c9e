"""Independent reference posteriors of the concordance models, in NumPy and SciPy alone.

They are written from the equations of Chen et al. (2019), not from the Stan programs, and
each kind checks the next: brute-force quadrature (tiny cases, no algebra), block Gibbs samplers
(any case), and the exact Gaussian posterior (variances known).
"""
