// The distribution of a parameter in a population, behind posterior samples of many objects:
// Baronchelli, Nandra & Buchner 2020 (MNRAS 498, 5284), appendix A. With samples x_ik of object i,
// weighted by w_ik (one over the prior under which they were drawn),
//
//   L_i = sum_k w_ik p(x_ik | phi) / sum_k w_ik,   L = prod_i L_i / alpha(phi)^N
//
// alpha is the fraction of the population that is detected (without a selection: 1). The samples
// come distributed over the nodes of grids, on which p is evaluated once for all objects: on the
// coarsest that is fine enough for it, where it is anything to speak of. For parents too narrow for
// all of them, and for objects that are far from it, there are the samples themselves: an object costs
// what the parent says, however far it is. alpha is one more row.
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions
  #include functions/stack_parents.stanfunctions

  // C++ in stack.hpp, plain Stan in functions/stack_plain.stanfunctions: the part of the points that
  // a parent is evaluated on (its level, what comes before it, and how many); which rows are far,
  // sum_g weight_ig p_g at most `least`; and sum_i power_i log(sum_g weight_ig p_g) over the others
  array[] int stack_part(vector window, real finest, data vector resolved, data array[] int begin,
                         data vector x);
  array[] int stack_far(vector p, array[] int part, data array[] int begin, data array[,] int first,
                        data array[,] int start, data vector weight, data array[] int sample_row,
                        data vector sample_weight, data int rows, real least);
  real stack_lpdf(vector p, array[] int part, data array[] int begin, data array[,] int first,
                  data array[,] int start, data vector weight, data array[] int sample_row,
                  data vector sample_weight, data vector power, array[] int far);
}
data {
  // 1 histogram, 2 Gaussian, 3 truncated Gaussian, 4 Student t, 5 skew normal, 6 beta, 7 gamma,
  // 8 mixture of Gaussians
  int<lower=1, upper=8> parent;
  real low; // the range
  real<lower=low> high;
  int<lower=1> rows; // one an object, and the selection's
  vector[rows] power; // 1; minus the number of objects for the selection
  int<lower=0> grids; // each finer than the last
  vector<lower=0>[grids] resolved; // length on which a parent may change, by parent_finest()
  int<lower=0> samples; // for yet finer parents; zero: these take the last grid
  array[grids + 2] int<lower=1> begin; // of each grid's points among all, and the samples'
  vector[begin[grids + 2] - 1] x; // of the points, ascending in each grid, and in the samples
  array[grids, rows] int<lower=1> first; // point of the grid that a row begins with
  array[grids, rows + 1] int<lower=1> start; // its weights among all
  vector[grids > 0 ? start[grids, rows + 1] - 1 : 0] weight;
  array[samples] int<lower=1, upper=rows> sample_row;
  vector[samples] sample_weight;
  // objects that are far from the parent, L_i at most far / parent_finest(): by their samples (not of
  // a histogram, whose bins are never far)
  real<lower=0> far;
  array[rows + 1] int<lower=1> far_start;
  vector[far_start[rows + 1] - 1] far_x;
  vector[far_start[rows + 1] - 1] far_log_weight;

  int<lower=0> numbers; // of the parent that aren't fractions
  array[numbers] int<lower=0, upper=2> bounds; // see bounded()
  vector[numbers] bottom;
  vector[numbers] width;
  array[numbers] int<lower=1> prior_family; // see functions/priors.stanfunctions
  array[2] vector[numbers] prior_arguments;
  int<lower=0> parts; // fractions: bins, or components of a mixture
  vector<lower=0>[parts] concentration; // of their Dirichlet prior
  vector[parts] log_width; // of the bins
  real<lower=0> roughness; // standard deviation of ln density from bin to bin; 0: no such prior

  int<lower=1> D; // coordinates theta
  vector[D] center; // guess of theta ...
  matrix[D, D] scale; // ... and the square root of its covariance
}
parameters {
  vector[D] z; // theta in units of the guess
}
model {
  vector[D] theta = center + scale * z;
  vector[numbers] phi = bounded(head(theta, numbers), bounds, bottom, width);
  vector[parts] normal = tail(theta, parts);
  vector[parts] log_share = log_exponential_of(normal);
  vector[parts] fraction = parts > 0 ? softmax(log_share) : log_share;
  if (parent == 8) { // components in the order of their means: the first, then steps
    phi[1 : parts] = cumulative_sum(phi[1 : parts]);
  }
  real finest = parent_finest(parent, parts, phi, low, high);
  array[3] int part = stack_part(parent_window(parent, parts, phi, low, high), finest, resolved,
                                 begin, x);
  vector[part[3]] p = parent_density(parent, parts, segment(x, part[2] + 1, part[3]), phi,
                                     fraction, low, high);
  array[rows] int is_far = rep_array(0, rows);
  if (parent > 1) {
    is_far = stack_far(p, part, begin, first, start, weight, sample_row, sample_weight, rows,
                       far / finest);
  }

  z ~ flat();
  phi ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  target += bounded_log_slope(head(theta, numbers), bounds);
  target += -0.5 * dot_self(normal) + dot_product(concentration - 1, log_share); // Dirichlet
  if (roughness > 0) {
    vector[parts] log_density = log(fraction) - log_width;
    target += -0.5 * dot_self(log_density[2 : parts] - log_density[1 : parts - 1])
              / square(roughness);
  }
  p ~ stack(part, begin, first, start, weight, sample_row, sample_weight, power, is_far);
  for (i in 1 : rows) {
    if (is_far[i]) {
      int samples_of = far_start[i + 1] - far_start[i];
      target += power[i]
                * log_sum_exp(segment(far_log_weight, far_start[i], samples_of)
                              + parent_log_density(parent, parts,
                                                   segment(far_x, far_start[i], samples_of), phi,
                                                   fraction, low, high));
    }
  }
}
