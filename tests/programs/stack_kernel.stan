// The external C++ likelihood of stacks and its plain-Stan twin, one or the other by data, so that
// their values and gradients can be compared.
functions {
  #include functions/stack_plain.stanfunctions
  real stack_lpdf(vector p, data array[] int first, data array[] int start, data vector weight,
                  data vector power, data real least);
}
data {
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  int<lower=1> nodes;
  int<lower=1> rows;
  array[rows] int<lower=1> first;
  array[rows + 1] int<lower=1> start;
  vector[start[rows + 1] - 1] weight;
  vector[rows] power;
  real least;
}
parameters {
  vector[nodes] p;
}
model {
  target += which == 1 ? stack_lpdf(p | first, start, weight, power, least)
                       : stack_plain_lpdf(p | first, start, weight, power, least);
}
