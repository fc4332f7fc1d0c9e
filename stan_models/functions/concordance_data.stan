  int<lower=1> N; // instruments (each energy band of an instrument counts as one)
  int<lower=1> M; // sources
  int<lower=1> n; // measurements, sorted by source
  vector[n] y; // log counts per exposure, or log flux
  vector<lower=0>[n] s2; // given variance of y (0 where it is unknown)
  array[n] int<lower=1, upper=N> instrument; // who measured
  array[M + 1] int<lower=1> start; // source j has measurements start[j] to start[j + 1] - 1

  vector[N] b; // log nominal effective area: prior mean of B
  matrix[N, N] T_whitening; // inverse Cholesky factor of T, the prior covariance of B

  int<lower=0, upper=N> K; // unknown variances: none, one an instrument, or one a group of them
  array[K > 0 ? N : 0] int<lower=1, upper=K> slot; // which of them an instrument has
  int<lower=1> sigma_power; // the prior is on sigma (1) or on sigma^2 (2)
  int<lower=1> sigma_family; // prior family, see functions/priors.stanfunctions
  array[2] vector[K] sigma_prior; // its two arguments

  // a guess of the posterior, in whose units the sampler moves; it changes no result
  vector[N] B_center;
  matrix[N, N] B_scale; // Cholesky factor
  vector[K] log_v_center; // of log sigma^2
  vector<lower=0>[K] log_v_scale;
