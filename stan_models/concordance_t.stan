// Log-t calibration concordance, robust to outliers: Chen et al. 2019 (arXiv:1711.09429),
// section 3.4.
//
//   y_ij = B_i + G_j - sigma_ij^2 / (2 xi_ij) + sigma_ij Z_ij / sqrt(xi_ij),
//   Z_ij ~ Normal(0, 1),   xi_ij ~ chi^2_nu,   B ~ Normal(b, T),   G_j flat
//
// with sigma_ij^2 = s2_ij + v_i. The xi_ij are integrated out in the likelihood.
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions

  // log p(y | B, G, v, nu), xi integrated out, nu_given where nu is empty: C++ in concordance_t.hpp,
  // plain Stan in functions/concordance_t_plain.stanfunctions
  real concordance_t_lpdf(vector y, vector B, vector G, vector v, vector nu, data real nu_given,
                          data vector s2, data array[] int instrument, data array[] int start);
}
data {
  #include functions/concordance_data.stan
  vector[M] G_center; // guess of G ...
  vector<lower=0>[M] G_scale; // ... its standard deviation at fixed B
  matrix[M, N] G_slope; // ... and how far it falls as each B rises

  int<lower=0, upper=1> estimate_nu; // 1: nu is a parameter
  real<lower=0> nu_given; // degrees of freedom, or where to look for them
  int<lower=1> nu_family; // prior of nu, see functions/priors.stanfunctions
  array[2] vector[estimate_nu] nu_prior; // its two arguments
}
parameters {
  vector[N] z_B; // B in units of the guess
  vector[M] z_G; // G in units of the guess
  vector[K] z_v; // log v in units of the guess
  vector[estimate_nu] z_nu; // log(nu / nu_given)
}
model {
  vector[N] step = B_scale * z_B;
  vector[N] B = B_center + step;
  vector[M] G = G_center - G_slope * step + G_scale .* z_G;
  vector[K] log_v = log_v_center + log_v_scale .* z_v;
  vector[estimate_nu] nu = nu_given * exp(z_nu);
  vector[K] x = exp(0.5 * sigma_power * log_v);

  z_B ~ flat();
  z_G ~ flat();
  z_v ~ flat();
  target += -0.5 * dot_self(T_whitening * (B - b)); // B ~ multi_normal(b, T)
  x ~ prior(sigma_family, sigma_prior[1], sigma_prior[2]);
  target += 0.5 * sigma_power * sum(log_v); // Jacobian of x(log v)
  nu ~ prior(nu_family, nu_prior[1], nu_prior[2]);
  target += sum(z_nu); // Jacobian of nu(z_nu)
  y ~ concordance_t(B, G, exp(log_v)[slot], nu, nu_given, s2, instrument, start);
}
generated quantities {
  vector[N] B = B_center + B_scale * z_B; // log effective area
  vector[M] G = G_center - G_slope * (B_scale * z_B) + G_scale .* z_G; // log flux
  vector[size(slot)] sigma // of log counts
    = exp(0.5 * (log_v_center + log_v_scale .* z_v))[slot];
  vector[estimate_nu] nu = nu_given * exp(z_nu); // degrees of freedom
}
