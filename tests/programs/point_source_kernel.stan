// The external C++ likelihood of point sources and its plain-Stan twin, one or the other by data, so
// that their values and gradients can be compared.
functions {
  #include functions/point_source_plain.stanfunctions
  real point_source_log_likelihood(real ns, real gamma, data real gamma_low, data real gamma_step,
                                   data int nodes, data vector log_weight, data vector events,
                                   data array[] int start, data array[] int energy, data vector ratio,
                                   data array[] int share, data vector log_energy,
                                   data vector log_share);
}
data {
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  int<lower=1> P;
  int<lower=1> S;
  int<lower=0> R;
  vector[P] log_weight;
  vector<lower=1>[S] events;
  array[P * S + 1] int<lower=1> start;
  array[R] int<lower=1> energy;
  vector<lower=0>[R] ratio;
  array[P * S] int<lower=1> share;
  real<lower=0> gamma_low;
  real<lower=gamma_low> gamma_high;
  int<lower=2> nodes;
  int<lower=1> energies;
  vector[2 * nodes * energies] log_energy;
  int<lower=1> shares;
  vector[2 * nodes * shares] log_share;
}
transformed data {
  real step = (gamma_high - gamma_low) / (nodes - 1);
}
parameters {
  real ns;
  real gamma;
}
model {
  if (which == 1) {
    target += point_source_log_likelihood(ns, gamma, gamma_low, step, nodes, log_weight, events,
                                          start, energy, ratio, share, log_energy, log_share);
  } else {
    target += point_source_log_likelihood_plain(ns, gamma, gamma_low, step, nodes, log_weight,
                                                events, start, energy, ratio, share, log_energy,
                                                log_share);
  }
}
