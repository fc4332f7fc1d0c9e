// Beta model of a galaxy cluster's image: Cavaliere & Fusco-Femiano 1976 (A&A 49, 137), with the
// Poisson likelihood of every pixel (x, y):
//
//   counts ~ Poisson(N),   N = E (S(r) + b) + B + f M,   S(r) = S0 (1 + (r / rc)^2)^(-3 beta + 1/2)
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions
  #include functions/cluster.stanfunctions

  // sum of n ln N - N: C++ in functions/cluster.hpp, plain Stan in functions/cluster_plain.stanfunctions
  real cluster_log_likelihood(vector u, data vector exposure, data matrix exposure_mean,
                              data matrix exposure_covariance, data vector counts,
                              data matrix counts_mean, data matrix counts_covariance,
                              data vector totals, data int averaged, data matrix fine_pixels,
                              data matrix fine_nodes);
}
data {
  #include functions/cluster_data.stan
  real<lower=0> R; // where brightness and slope are known best (pixels)
}
parameters {
  vector[D] z; // coordinates theta in units of the guess
}
transformed parameters {
  vector[D] theta = center + scale * (z + bend * along(z[1]));
  vector[backgrounds] softened = tail(head(theta, 5 + backgrounds), backgrounds);
  vector[2 * elliptical] shear = tail(theta, 2 * elliptical);
  vector[3] p = beta_profile(theta[3], theta[4], theta[5], R); // ln S0, ln rc, a
  // x0, y0, S0, rc, beta, B, b, map_factor, shear1, shear2: those that there are
  vector[D] x = append_row(append_row(reference + theta[1 : 2], profile_parameters(p)),
                           append_row(background_scale .* log1p_exp(softened), shear));
}
model {
  vector[3] background = [constant ? x[6] : 0, sky ? x[6 + constant] : 0,
                          map_free ? x[6 + constant + sky] : map_factor_given]';
  vector[6] k = squared_radius(theta[1 : 2], shear, elliptical, pixel_shape);

  z ~ flat();
  x ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  // Jacobian of x(theta)
  target += p[1] + p[2] + log(-p[3]) + sum(log_inv_logit(softened));
  target += cluster_log_likelihood(append_row(append_row(p, k), background), exposure,
                                   exposure_mean, exposure_covariance, counts, counts_mean,
                                   counts_covariance, totals, averaged, fine_pixels, fine_nodes);
}
