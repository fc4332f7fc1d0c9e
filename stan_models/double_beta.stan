// Double beta model of a galaxy cluster's image: the sum of two beta models (see beta.stan), the
// labels kept apart by rc < rc2: by the coordinates, or (not `radius_ratio`) by putting them in order.
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
  int<lower=0, upper=1> two_centers; // the second component has a centre of its own
  int<lower=0, upper=1> radius_ratio; // the second coordinate of a radius is ln ln(rc2 / rc), or ln rc2
  vector<lower=0>[2] R; // where brightness and slope of each are known best (pixels)
}
parameters {
  vector[D] z; // coordinates theta in units of the guess
}
transformed parameters {
  vector[D] theta = center + scale * (z + bend * along(z[1]));
  vector[backgrounds] softened = tail(head(theta, 8 + backgrounds), backgrounds);
  vector[2 * elliptical] shear = tail(head(theta, D - 2 * two_centers), 2 * elliptical);
  vector[2 * two_centers] center2 = tail(theta, 2 * two_centers); // from the reference
  vector[3] p = beta_profile(theta[3], theta[4], theta[5], R[1]); // ln S0, ln rc, a
  vector[3] p2 = beta_profile(theta[6], radius_ratio ? theta[4] + exp(theta[7]) : theta[7], theta[8], R[2]);
  // x0, y0, S0, rc, beta, S02, rc2, beta2, B, b, map_factor, shear1, shear2, x02, y02: those that
  // there are, the component of the smaller core first
  vector[D] x;
  {
    int in_order = p[2] <= p2[2];
    vector[2] center1 = theta[1 : 2];
    vector[2] first = in_order || !two_centers ? center1 : center2;
    vector[2 * two_centers] second = in_order ? center2 : head(center1, 2 * two_centers);
    x = append_row(append_row(append_row(reference + first, profile_parameters(in_order ? p : p2)),
                              append_row(profile_parameters(in_order ? p2 : p),
                                         background_scale .* log1p_exp(softened))),
                   append_row(shear, head(reference, 2 * two_centers) + second));
  }
}
model {
  vector[3] background = [constant ? x[9] : 0, sky ? x[9 + constant] : 0,
                          map_free ? x[9 + constant + sky] : map_factor_given]';
  vector[6] k = squared_radius(theta[1 : 2], shear, elliptical, pixel_shape);
  vector[6] k2 = two_centers ? squared_radius(center2, shear, elliptical, pixel_shape) : k;

  z ~ flat();
  x ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  // Jacobian of x(theta)
  target += p[1] + p[2] + log(-p[3]) + p2[1] + p2[2] + log(-p2[3]) + radius_ratio * theta[7]
            + sum(log_inv_logit(softened));
  target += cluster_log_likelihood(append_row(append_row(append_row(p, k), append_row(p2, k2)),
                                              background), exposure, exposure_mean,
                                   exposure_covariance, counts, counts_mean, counts_covariance,
                                   totals, averaged, fine_pixels, fine_nodes);
}
