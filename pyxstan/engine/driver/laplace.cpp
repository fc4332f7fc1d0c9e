// Draws from the normal approximation at a mode that the user gives.
#include "fitted.hpp"
#include "run.hpp"

#include <stan/services/optimize/laplace_sample.hpp>

namespace pyxstan {
namespace {

// The mode on the unconstrained scale, from a CSV file (its first row) or a file of variables.
Eigen::VectorXd read_mode(const run& r, const std::string& file) {
  std::stringstream messages;
  Eigen::VectorXd mode;
  if (file.size() > 4 && file.compare(file.size() - 4, 4, ".csv") == 0) {
    const Eigen::VectorXd constrained = read_fitted(file, r.model).row(0);
    r.model.unconstrain_array(constrained, mode, &messages);
  } else {
    const auto context = read_context(file);
    r.model.transform_inits(*context, mode, &messages);
  }
  return mode;
}

int laplace(run& r) {
  const std::string& file = r.set.text("laplace.mode");
  if (file.empty()) {
    throw usage_error("Missing mode argument, cannot get laplace sample without mode.");
  }
  const Eigen::VectorXd mode = read_mode(r, file);
  const int draws = r.set.whole("laplace.draws");
  const bool calculate_lp = r.set.flag("laplace.calculate_lp");
  json_output hessian = open_json(r.set.text("output.diagnostic_file"), r.digits);
  const auto call = [&](auto jacobian) {
    return stan::services::laplace_sample<decltype(jacobian)::value>(
        r.model, mode, draws, calculate_lp, r.seed, r.refresh, r.interrupt, r.logger, r.output[0],
        hessian);
  };
  return r.set.flag("laplace.jacobian") ? call(std::true_type{}) : call(std::false_type{});
}

const registration registered("laplace", laplace);

}  // namespace
}  // namespace pyxstan
