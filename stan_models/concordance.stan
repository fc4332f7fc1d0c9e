// Log-normal calibration concordance: Chen et al. 2019 (arXiv:1711.09429), equations 5-8.
//
//   y_ij ~ Normal(B_i + G_j - sigma_ij^2 / 2, sigma_ij^2),   B ~ Normal(b, T),   G_j flat
//
// with sigma_ij^2 = s2_ij + v_i. The flat G is integrated out: the sampler moves in B and log v
// alone, and G is drawn from its exact conditional afterwards (pyxstan/concordance/results.py).
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions

  // log p(y | B, v), G integrated out, source j counted times[j] times: C++ in concordance.hpp,
  // plain Stan in functions/concordance_plain.stanfunctions
  real concordance_lpdf(vector y, vector B, vector v, data vector s2,
                        data array[] int instrument, data array[] int start, data vector times);
}
data {
  #include functions/concordance_data.stan
  vector<lower=0>[M] times; // sources that each stands for: see pyxstan/concordance/condensing.py
}
parameters {
  vector[N] z_B; // B in units of the guess
  vector[K] z_v; // log v in units of the guess
}
model {
  vector[N] B = B_center + B_scale * z_B;
  vector[K] log_v = log_v_center + log_v_scale .* z_v;
  vector[K] x = exp(0.5 * sigma_power * log_v);

  z_B ~ flat();
  z_v ~ flat();
  target += -0.5 * dot_self(T_whitening * (B - b)); // B ~ multi_normal(b, T)
  x ~ prior(sigma_family, sigma_prior[1], sigma_prior[2]);
  target += 0.5 * sigma_power * sum(log_v); // Jacobian of x(log v)
  y ~ concordance(B, exp(log_v), s2, instrument, start, times);
}
generated quantities {
  vector[N] B = B_center + B_scale * z_B; // log effective area
  vector[K] sigma = exp(0.5 * (log_v_center + log_v_scale .* z_v)); // of log counts
}
