// The kernel for stack_kernel.stan.
#include "../../stan_models/stack.hpp"
