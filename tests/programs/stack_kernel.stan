// The external C++ likelihood of stacks and its plain-Stan twin, one or the other by data, so that
// their values and gradients can be compared.
functions {
  #include functions/stack_plain.stanfunctions
  array[] int stack_far(vector p, array[] int part, data array[] int begin, data array[,] int first,
                        data array[,] int start, data vector weight, data array[] int sample_row,
                        data vector sample_weight, data int rows, real least);
  real stack_lpdf(vector p, array[] int part, data array[] int begin, data array[,] int first,
                  data array[,] int start, data vector weight, data array[] int sample_row,
                  data vector sample_weight, data vector power, array[] int far);
}
data {
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  int<lower=1> nodes;
  int<lower=0> before; // points of the level that p isn't given for
  int<lower=1, upper=2> level; // 1: rows of weights, 2: samples
  int<lower=1> rows;
  array[1, rows] int<lower=1> first;
  array[1, rows + 1] int<lower=1> start;
  vector[start[1, rows + 1] - 1] weight;
  array[before + nodes] int<lower=1, upper=rows> row;
  vector[before + nodes] sample_weight;
  vector[rows] power;
  real least;
}
transformed data {
  array[3] int begin = {1, 1 + before + nodes, 1 + 2 * (before + nodes)};
  array[3] int part = {level, begin[level] - 1 + before, nodes};
}
parameters {
  vector[nodes] p;
}
model {
  if (which == 1) {
    array[rows] int far = stack_far(p, part, begin, first, start, weight, row, sample_weight, rows,
                                    least);
    p ~ stack(part, begin, first, start, weight, row, sample_weight, power, far);
  } else {
    array[rows] int far = stack_far_plain(p, part, begin, first, start, weight, row,
                                          sample_weight, rows, least);
    p ~ stack_plain(part, begin, first, start, weight, row, sample_weight, power, far);
  }
}
