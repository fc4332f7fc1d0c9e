// Two files of C++ for no_parameters.stan.
#include "included/factor.hpp"
