// Log density and gradient at parameters that the user gives.
#include "fitted.hpp"
#include "run.hpp"

#include <stan/model/gradient.hpp>
#include <stan/model/log_prob_grad.hpp>

#include <sstream>

namespace pyxstan {
namespace {

// The unconstrained parameters of a file: `params_r`, one vector or an array of them.
std::vector<std::vector<double>> unconstrained(const run& r, const std::string& file) {
  const auto context = read_context(file);
  if (!context->contains_r("params_r")) {
    throw std::runtime_error("\"" + file + "\" has no variable params_r, the parameters");
  }
  const auto values = context->vals_r("params_r");
  const auto dims = context->dims_r("params_r");
  const std::size_t size = r.model.num_params_r();
  const std::size_t found = dims.empty() ? 1 : dims.back();
  if (found != size) {
    throw std::runtime_error("Incorrect number of unconstrained parameters in \"" + file
                             + "\": the model has " + std::to_string(size) + ", the file "
                             + std::to_string(found));
  }
  const std::size_t count = values.size() / size;
  std::vector<std::vector<double>> points(count, std::vector<double>(size));
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < size; ++k) {
      points[i][k] = values[i + k * count];  // the last index varies slowest
    }
  }
  return points;
}

// Parameters on the constrained scale: the draws of a CSV file, or one point in a file of variables.
std::vector<std::vector<double>> constrained(const run& r, const std::string& file) {
  std::vector<std::vector<double>> points;
  const auto add = [&](const Eigen::VectorXd& point) {
    points.emplace_back(point.data(), point.data() + point.size());
  };
  if (is_csv(file)) {
    const Eigen::MatrixXd draws = read_fitted(file, r.model);
    for (Eigen::Index i = 0; i < draws.rows(); ++i) {
      std::stringstream messages;
      Eigen::VectorXd point;
      r.model.unconstrain_array(Eigen::VectorXd(draws.row(i)), point, &messages);
      add(point);
    }
  } else {
    add(unconstrain(r.model, *read_context(file), file));
  }
  return points;
}

int log_prob(run& r) {
  const std::string& free = r.set.text("log_prob.unconstrained_params");
  const std::string& bound = r.set.text("log_prob.constrained_params");
  if (free.empty() == bound.empty()) {
    throw std::runtime_error("log_prob needs unconstrained_params or constrained_params, one of the "
                             "two");
  }
  auto points = free.empty() ? constrained(r, bound) : unconstrained(r, free);
  std::vector<std::string> names, columns{"lp__"};
  r.model.unconstrained_param_names(names, false, false);
  for (const auto& name : names) {
    columns.push_back("g_" + name);
  }
  r.output[0](columns);
  const bool jacobian = r.set.flag("log_prob.jacobian");
  std::vector<int> whole;
  for (auto& point : points) {
    std::stringstream messages;
    std::vector<double> row;
    const double lp
        = jacobian
              ? stan::model::log_prob_grad<true, true>(r.model, point, whole, row, &messages)
              : stan::model::log_prob_grad<true, false>(r.model, point, whole, row, &messages);
    if (!messages.str().empty()) {
      r.logger.info(messages);
    }
    row.insert(row.begin(), lp);
    r.output[0](row);
  }
  return 0;
}

const registration registered("log_prob", log_prob);

}  // namespace
}  // namespace pyxstan
