// The external C++ likelihood of linear Gaussian parents and its plain-Stan twin, one or the other
// by data, so that their values and gradients can be compared.
functions {
  #include functions/stack_linear_plain.stanfunctions
  real stack_linear_lpdf(matrix mean, matrix L, data matrix x, data array[] int start,
                         data vector weight, data vector power, data matrix far_x,
                         data array[] int far_start, data vector far_weight, data real log_far);
}
data {
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  int<lower=1> objects;
  int<lower=1> P;
  array[objects + 1] int<lower=1> start;
  matrix[start[objects + 1] - 1, P] x;
  vector[start[objects + 1] - 1] weight;
  vector[objects] power;
  array[objects + 1] int<lower=1> far_start;
  matrix[far_start[objects + 1] - 1, P] far_x;
  vector[far_start[objects + 1] - 1] far_weight;
  real log_far;
}
parameters {
  matrix[P, objects] mean;
  vector[P] log_diagonal;
  vector[(P * (P - 1)) %/% 2] below;
}
model {
  matrix[P, P] L = diag_matrix(exp(log_diagonal));
  int at = 0;
  for (i in 2 : P) {
    for (j in 1 : (i - 1)) {
      at += 1;
      L[i, j] = below[at];
    }
  }
  target += which == 1
            ? stack_linear_lpdf(mean | L, x, start, weight, power, far_x, far_start, far_weight,
                                log_far)
            : stack_linear_plain_lpdf(mean | L, x, start, weight, power, far_x, far_start,
                                      far_weight, log_far);
}
