// The distribution of a parameter in a population, behind posterior samples of many objects:
// Baronchelli, Nandra & Buchner 2020 (MNRAS 498, 5284), appendix A. With samples x_ik of object i,
// weighted by w_ik (one over the prior under which they were drawn),
//
//   L_i = sum_k w_ik p(x_ik | phi) / sum_k w_ik,   L = prod_i L_i / alpha(phi)^N
//
// alpha is the fraction of the population that is detected (without a selection: 1). The samples
// come distributed over the nodes of grids, on which p is evaluated once for all objects: on the
// coarsest that is fine enough for it, where it is anything to speak of. For parents too narrow for
// all of them there are the samples themselves. alpha is one more row.
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions
  #include functions/stack_parents.stanfunctions

  // sum_i power_i log(max(sum_g weight_ig p_g, least)): C++ in stack.hpp, plain Stan in
  // functions/stack_plain.stanfunctions
  real stack_lpdf(vector p, int begin, array[] int first, array[] int start,
                  data vector weight, data vector power, data real least);
  real stack_samples_lpdf(vector p, array[] int row, vector weight, data vector power,
                          data real least);
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
  array[grids + 1] int<lower=1> begin; // of each grid's nodes among all
  vector[begin[grids + 1] - 1] x; // of the nodes
  array[grids, rows] int<lower=1> first; // node of the grid that a row begins with
  array[grids, rows + 1] int<lower=1> start; // its weights among all
  vector[grids > 0 ? start[grids, rows + 1] - 1 : 0] weight;
  int<lower=0> samples; // for yet finer parents; zero: these take the last grid
  vector[samples] sample_x; // ascending
  array[samples] int<lower=1, upper=rows> sample_row;
  vector[samples] sample_weight;
  real<lower=0> least; // that any L_i is taken for: no cliff where an object has no samples

  int<lower=0> numbers; // of the parent that aren't fractions
  array[numbers] int<lower=0, upper=2> bounds; // see bounded()
  vector[numbers] bottom;
  vector[numbers] width;
  array[numbers] int<lower=1> prior_family; // see functions/priors.stanfunctions
  array[2] vector[numbers] prior_arguments;
  int<lower=0> parts; // fractions: bins, or components of a mixture
  vector<lower=0>[parts] concentration; // of their Dirichlet prior
  int<lower=0, upper=parts> reference; // see fractions()
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
  vector[parts] fraction = fractions(tail(theta, D - numbers), reference);
  if (parent == 8) { // components in the order of their means: the first, then steps
    phi[1 : parts] = cumulative_sum(phi[1 : parts]);
  }
  vector[2] window = parent_window(parent, parts, phi);
  real finest = parent_finest(parent, parts, phi, low, high);
  int g = 1;
  while (g <= grids && finest < resolved[g] && (g < grids || samples > 0)) {
    g += 1;
  }

  z ~ flat();
  phi ~ prior(prior_family, prior_arguments[1], prior_arguments[2]);
  target += bounded_log_slope(head(theta, numbers), bounds);
  target += dot_product(concentration, log(fraction)); // Dirichlet, and the Jacobian of fractions()
  if (roughness > 0) {
    vector[parts] log_density = log(fraction) - log_width;
    target += -0.5 * dot_self(log_density[2 : parts] - log_density[1 : parts - 1])
              / square(roughness);
  }
  if (g <= grids) {
    int size = begin[g + 1] - begin[g];
    int before = count_below(segment(x, begin[g], size), window[1]);
    int count = count_below(segment(x, begin[g], size), window[2]) - before;
    vector[count] p = parent_density(parent, parts, segment(x, begin[g] + before, count), phi,
                                     fraction, low, high);
    p ~ stack(before + 1, first[g], start[g], weight, power, least);
  } else {
    int before = count_below(sample_x, window[1]);
    int count = count_below(sample_x, window[2]) - before;
    vector[count] p = parent_density(parent, parts, segment(sample_x, before + 1, count), phi,
                                     fraction, low, high);
    p ~ stack_samples(segment(sample_row, before + 1, count),
                      segment(sample_weight, before + 1, count), power, least);
  }
}
