// The kernel for stack_linear_kernel.stan.
#include "../../stan_models/stack_linear.hpp"
