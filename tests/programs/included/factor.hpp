// For no_parameters.hpp.
#include <ostream>

namespace no_parameters_model_namespace {
double twice(double x, std::ostream* /* messages */) { return 2 * x; }
}  // namespace no_parameters_model_namespace
