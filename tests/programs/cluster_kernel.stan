// The external C++ likelihood of cluster images and its plain-Stan twin, one or the other by data,
// so that their values and gradients can be compared.
functions {
  #include functions/cluster_plain.stanfunctions
  real cluster_log_likelihood(vector u, data vector exposure, data matrix exposure_mean,
                              data matrix exposure_covariance, data vector counts,
                              data matrix counts_mean, data matrix counts_covariance,
                              data vector totals, data int averaged, data matrix fine_pixels,
                              data matrix fine_nodes);
}
data {
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  int<lower=1, upper=2> components;
  int<lower=1> cells;
  int<lower=0, upper=1> second_order;
  vector[cells] exposure;
  matrix[5, cells] exposure_mean;
  matrix[15 * second_order, cells] exposure_covariance;
  int<lower=1> counted_cells;
  vector[counted_cells] counts;
  matrix[7, counted_cells] counts_mean;
  matrix[28 * second_order, counted_cells] counts_covariance;
  vector[4] totals;
  int<lower=0, upper=1> averaged;
  int<lower=0> fine;
  matrix[fine, 5] fine_pixels;
  int<lower=0> nodes;
  matrix[nodes, 6] fine_nodes;
}
parameters {
  vector[9 * components + 3] u;
}
model {
  target += which == 1
            ? cluster_log_likelihood(u, exposure, exposure_mean, exposure_covariance, counts,
                                     counts_mean, counts_covariance, totals, averaged,
                                     fine_pixels, fine_nodes)
            : cluster_log_likelihood_plain(u, exposure, exposure_mean, exposure_covariance, counts,
                                           counts_mean, counts_covariance, totals, averaged,
                                     fine_pixels, fine_nodes);
}
