  // the image, in cells: pyxstan/cluster/cells.py
  int<lower=0> cells; // of exposed pixels
  int<lower=0, upper=1> second_order; // 0: every cell is one pixel
  vector<lower=0>[cells] exposure; // cm^2 s, or s
  matrix[5, cells] exposure_mean; // mean features, weighted by exposure
  matrix[15 * second_order, cells] exposure_covariance;
  int<lower=0> counted_cells; // of pixels with counts
  vector<lower=0>[counted_cells] counts;
  matrix[7, counted_cells] counts_mean; // mean features, weighted by counts
  matrix[28 * second_order, counted_cells] counts_covariance;
  vector[4] totals; // pixels, exposure, background map, n ln E
  int<lower=0, upper=1> averaged; // brightness over each pixel, or at its centre
  int<lower=0> fine; // pixels over which it is integrated at nodes, none of them in a cell
  matrix[fine, 5] fine_pixels; // counts, exposure, 1 / exposure, map / exposure, number of nodes
  int<lower=0> nodes;
  matrix[nodes, 6] fine_nodes; // features and weight of each node
  matrix[2, 2] pixel_shape; // from pixels to square ones of the same area on the sky

  // which parameters there are
  int<lower=0, upper=1> constant; // B, counts a pixel
  int<lower=0, upper=1> sky; // b, in the units of S
  int<lower=0, upper=1> map_free; // factor of the background map
  int<lower=constant + sky + map_free, upper=constant + sky + map_free> backgrounds; // their number
  real<lower=0> map_factor_given; // that factor where it is fixed (0: no map)
  int<lower=0, upper=1> elliptical; // shear1, shear2

  // a guess of the posterior, in whose units the sampler moves; it changes no result
  int<lower=1> D; // parameters
  vector[D] center;
  matrix[D, D] scale; // square root of the covariance
  matrix[D, 4] bend; // how the others follow the first direction (nothing in row 1)
  vector<lower=0>[backgrounds] background_scale; // of B, b, map_factor: about how well each is known
  vector[2] reference; // centre that the features count from (pixels)

  // priors, a parameter each, see functions/priors.stanfunctions
  array[D] int<lower=1> prior_family;
  array[2] vector[D] prior_arguments;
