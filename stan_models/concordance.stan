// Log-normal calibration concordance: Chen et al. 2019 (arXiv:1711.09429), equations 5-8.
//
//   y_ij ~ Normal(B_i + G_j - sigma_ij^2 / 2, sigma_ij^2),   B ~ Normal(b, T),   G_j flat
//
// with sigma_ij^2 = s2_ij + v_i. The flat G is integrated out: the sampler moves in B and log v
// alone, and G is drawn from its exact conditional afterwards (pyxstan/concordance/results.py).
//
// Counts without scatter are Poisson themselves, C_ij ~ Poisson(T_ij exp(B_i + G_j) + background_ij):
// without background G is integrated out too; beside one it is sampled.
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions
  #include functions/concordance_counts.stanfunctions

  // log p(y | B, v), G integrated out, source j counted times[j] times: C++ in concordance.hpp,
  // plain Stan in functions/concordance_plain.stanfunctions
  real concordance_lpdf(vector y, vector B, vector v, data vector s2,
                        data array[] int instrument, data array[] int start, data vector times);
}
data {
  #include functions/concordance_data.stan
  vector<lower=0>[M] times; // sources that each stands for: see pyxstan/concordance/condensing.py

  int<lower=0, upper=n> n_counts; // n where the measurements are Poisson counts, else 0
  vector<lower=0>[n_counts] counts;
  vector[n_counts] log_exposure;
  vector<lower=0>[n_counts] background; // expected counts, known
  int<lower=0, upper=M> M_G; // M where the fluxes are sampled, else 0
  array[M_G > 0 ? n : 0] int<lower=1, upper=M> source; // what was measured
  vector[M_G] G_center; // guess of G ...
  vector<lower=0>[M_G] G_scale; // ... its standard deviation at fixed B
  matrix[M_G, N] G_slope; // ... and how far it falls as each B rises
  vector[M_G] G_faint; // below this log flux the prior of G is flat in the flux itself
}
parameters {
  vector[N] z_B; // B in units of the guess
  vector[K] z_v; // log v in units of the guess
  vector[M_G] z_G; // G in units of the guess
}
model {
  vector[N] step = B_scale * z_B;
  vector[N] B = B_center + step;
  vector[K] log_v = log_v_center + log_v_scale .* z_v;
  vector[K] x = exp(0.5 * sigma_power * log_v);

  z_B ~ flat();
  z_v ~ flat();
  z_G ~ flat();
  target += -0.5 * dot_self(T_whitening * (B - b)); // B ~ multi_normal(b, T)
  x ~ prior(sigma_family, sigma_prior[1], sigma_prior[2]);
  target += 0.5 * sigma_power * sum(log_v); // Jacobian of x(log v)
  if (n_counts == 0) {
    y ~ concordance(B, exp(log_v)[slot], s2, instrument, start, times);
  } else if (M_G == 0) {
    counts ~ multinomial_counts(B, log_exposure, instrument, start);
  } else {
    vector[M_G] G = G_center - G_slope * step + G_scale .* z_G;
    counts ~ background_counts(log_exposure + B[instrument] + G[source], background);
    target += log_inv_logit(G - G_faint); // G flat above G_faint
  }
}
generated quantities {
  vector[N] B = B_center + B_scale * z_B; // log effective area
  vector[size(slot)] sigma // of log counts
    = exp(0.5 * (log_v_center + log_v_scale .* z_v))[slot];
  vector[M_G] G = G_center - G_slope * (B_scale * z_B) + G_scale .* z_G; // log flux
}
