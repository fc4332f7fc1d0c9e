// A point source under a spatial prior, its position summed over pixels of the sky.
//
//   p(ns, gamma | events) is proportional to p(ns) p(gamma) sum_p w_p L_p(ns, gamma),
//   L_p = product_i [ 1 + a (r_i - 1) ],   a = ns share / N,   r_i = S_i / B_i
//
// over the pixels p, w_p their prior probabilities, and over the events i of samples of N events.
// Braun et al. 2008 (Astropart. Phys. 29, 299), eq. 1. Events that are far from a pixel have r = 0.
functions {
  #include functions/priors.stanfunctions

  // ln sum_p w_p L_p: C++ in point_source.hpp, plain Stan in functions/point_source_plain.stanfunctions
  real point_source_log_likelihood(real ns, real gamma, data real gamma_low, data real gamma_step,
                                   data int nodes, data vector log_weight, data vector events,
                                   data array[] int start, data array[] int energy, data vector ratio,
                                   data array[] int share, data vector log_energy,
                                   data vector log_share);
}
data {
  int<lower=1> P; // positions
  int<lower=1> S; // samples
  int<lower=0> R; // events near the positions, all together
  vector[P] log_weight; // ln of the prior's probability of each position
  vector<lower=1>[S] events; // N of each sample
  array[P * S + 1] int<lower=1> start; // where each position's and sample's near events begin
  array[R] int<lower=1> energy; // of each near event, the row of its energy
  vector<lower=0>[R] ratio; // of each near event, S over B without the signal's energy
  array[P * S] int<lower=1> share; // of each position and sample, the row of its share

  real<lower=0> gamma_low; // the first node of gamma
  real<lower=gamma_low> gamma_high; // the last
  int<lower=2> nodes;
  int<lower=0> energies; // rows of the next
  vector[2 * nodes * energies] log_energy; // ln probability of an energy, and slope, node by node
  int<lower=1> shares; // rows of the next
  vector[2 * nodes * shares] log_share; // ln of the sample's part of the signal, and slope

  real<lower=0> most; // ns is below
  array[2] int<lower=1> prior_family; // of ns and gamma, see functions/priors.stanfunctions
  array[2] vector[2] prior_arguments; // the first of ns and gamma, and the second
}
parameters {
  real<lower=0, upper=most> ns; // events of the source
  real<lower=gamma_low, upper=gamma_high> gamma; // spectral index
}
model {
  [ns, gamma]' ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  target += point_source_log_likelihood(ns, gamma, gamma_low,
                                        (gamma_high - gamma_low) / (nodes - 1), nodes, log_weight,
                                        events, start, energy, ratio, share, log_energy, log_share);
}
