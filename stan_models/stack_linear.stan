// The distribution of several parameters in a population, behind posterior samples of many objects:
// a Gaussian, whose mean may depend linearly on known properties of the objects. With samples x_ik of
// object i (vectors), weighted by w_ik (one over the prior under which they were drawn), and its
// covariates c_i from a pivot,
//
//   L_i = sum_k w_ik Normal(x_ik | mean + slope c_i, Sigma) / sum_k w_ik
//   L = prod_i L_i / alpha^N,   Sigma = diag(sd) correlation diag(sd)
//
// alpha is the fraction of the population that is detected (without a selection: 1): one more
// object, of detected injections.
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions
  #include functions/stack_parents.stanfunctions
  #include functions/correlation.stanfunctions

  // sum_i power_i ln L_i: C++ in stack_linear.hpp, plain Stan in
  // functions/stack_linear_plain.stanfunctions
  real stack_linear_lpdf(matrix mean, matrix L, data matrix x, data array[] int start,
                         data vector weight, data vector power, data matrix far_x,
                         data array[] int far_start, data vector far_weight, data real log_far);
}
data {
  int<lower=1> objects; // and the selection's
  int<lower=1> P; // parameters
  int<lower=0> C; // covariates
  array[objects + 1] int<lower=1> start; // where the samples of each begin
  matrix[start[objects + 1] - 1, P] x; // samples
  vector[start[objects + 1] - 1] weight;
  vector[objects] power; // 1; minus the number of objects for the selection
  matrix[C, objects] c; // from the pivot
  // where x are nodes: samples of objects that are far from the parent, L_i below exp(log_far) / sd
  array[objects + 1] int<lower=1> far_start;
  matrix[far_start[objects + 1] - 1, P] far_x;
  vector[far_start[objects + 1] - 1] far_weight;
  real log_far;

  // mean of each parameter, its slope with each covariate in turn, sd of each parameter
  int<lower=1> numbers;
  array[numbers] int<lower=0, upper=2> bounds; // see bounded()
  vector[numbers] bottom;
  vector[numbers] width;
  array[numbers] int<lower=1> prior_family; // see functions/priors.stanfunctions
  array[2] vector[numbers] prior_arguments;
  real<lower=0> eta; // of the LKJ prior of the correlations

  int<lower=1> D; // coordinates theta: the numbers, then artanh of the partial correlations
  vector[D] center; // guess of theta ...
  matrix[D, D] scale; // ... and the square root of its covariance
}
parameters {
  vector[D] z; // theta in units of the guess
}
model {
  vector[D] theta = center + scale * z;
  vector[numbers] phi = bounded(head(theta, numbers), bounds, bottom, width);
  vector[D - numbers] partial = tanh(tail(theta, D - numbers));
  matrix[P, C] slope = to_matrix(segment(phi, P + 1, P * C), P, C, 0);
  matrix[P, objects] mean = rep_matrix(head(phi, P), objects) + slope * c;

  z ~ flat();
  phi ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  partial ~ lkj_of_partial(P, eta);
  target += bounded_log_slope(head(theta, numbers), bounds);
  target += stack_linear_lpdf(mean |
                              diag_pre_multiply(tail(phi, P), correlation_factor(partial, P)),
                              x, start, weight, power, far_x, far_start, far_weight, log_far);
}
