// Log-normal calibration concordance: Chen et al. 2019 (arXiv:1711.09429), equations 5-8.
//
//   y_ij ~ Normal(B_i + G_j - sigma_ij^2 / 2, sigma_ij^2),   B ~ Normal(b, T),   G_j flat
//
// with sigma_ij^2 = s2_ij + v_i. The flat G is integrated out in the likelihood and drawn back
// from its exact conditional below, so the sampler moves in B and log v alone.
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
  // sources that the same instruments saw, replaced by fewer that have the same likelihood
  int<lower=1> M_fit;
  int<lower=1> n_fit;
  vector[n_fit] y_fit;
  vector<lower=0>[n_fit] s2_fit;
  array[n_fit] int<lower=1, upper=N> instrument_fit;
  array[M_fit + 1] int<lower=1> start_fit;
  vector<lower=0>[M_fit] times; // sources that each stands for

  int<lower=0, upper=1> draw_G; // 1: draw G from its conditional, 0: its conditional mean
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
  B ~ multi_normal_cholesky(b, T_cholesky);
  x ~ prior(sigma_family, sigma_prior[ : , 1], sigma_prior[ : , 2]);
  target += 0.5 * sigma_power * sum(log_v); // Jacobian of x(log v)
  y_fit ~ concordance(B, exp(log_v), s2_fit, instrument_fit, start_fit, times);
}
generated quantities {
  vector[N] B = B_center + B_scale * z_B; // log effective area
  vector[K] sigma = exp(0.5 * (log_v_center + log_v_scale .* z_v)); // of log counts
  vector[M] G; // log flux
  for (j in 1 : M) {
    real weight = 0;
    real mean_G = 0;
    for (k in start[j] : (start[j + 1] - 1)) {
      int i = instrument[k];
      real variance = s2[k] + (K > 0 ? square(sigma[i]) : 0);
      weight += 1 / variance;
      mean_G += (y[k] + 0.5 * variance - B[i]) / variance;
    }
    mean_G /= weight;
    G[j] = draw_G ? normal_rng(mean_G, inv_sqrt(weight)) : mean_G;
  }
}
