// Draws from the normal approximation at a mode that the user gives.
#include "fitted.hpp"
#include "run.hpp"

#include <stan/math/prim/prob/std_normal_rng.hpp>
#include <stan/math/rev/functor/finite_diff_hessian_auto.hpp>

#include <stan/services/optimize/laplace_sample.hpp>

namespace pyxstan {
namespace {

// The mode on the unconstrained scale, from a CSV file (its first row) or a file of variables.
Eigen::VectorXd read_mode(const run& r, const std::string& file) {
  if (!is_csv(file)) {
    return unconstrain(r.model, *read_context(file), file);
  }
  const std::string writer = writing_method(file);
  if (!writer.empty() && writer != "optimize") {
    throw std::runtime_error("\"" + file + "\" holds no mode: it was written by " + writer
                             + ", not by optimize");
  }
  const Eigen::VectorXd constrained = read_fitted(file, r.model).row(0);
  Eigen::VectorXd mode;
  std::stringstream messages;
  r.model.unconstrain_array(constrained, mode, &messages);
  return mode;
}

int laplace(run& r) {
  const std::string& file = r.set.text("laplace.mode");
  if (file.empty()) {
    throw std::runtime_error("Missing mode argument, cannot get laplace sample without mode.");
  }
  const Eigen::VectorXd mode = read_mode(r, file);
  const int draws = r.set.whole("laplace.draws");
  const bool calculate_lp = r.set.flag("laplace.calculate_lp");
  const std::string& diagnostic = r.set.text("output.diagnostic_file");
  json_output hessian = open_json(diagnostic.empty() ? "" : stem(diagnostic) + ".json", r.digits);
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
