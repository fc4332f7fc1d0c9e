// Log density and gradient at parameters that the user gives.
#include "run.hpp"

#include <stan/model/gradient.hpp>
#include <stan/model/log_prob_grad.hpp>

#include <sstream>

namespace pyxstan {
namespace {

// The unconstrained parameters of a file: `params_r`, one vector or an array of them.
std::vector<std::vector<double>> unconstrained(const run& r, const std::string& file) {
  const auto context = read_context(file);
  std::vector<std::string> names;
  context->names_r(names);
  std::vector<std::vector<double>> points;
  const std::size_t size = r.model.num_params_r();
  for (const auto& name : names) {
    const auto values = context->vals_r(name);
    const auto dims = context->dims_r(name);
    if (dims.empty() || dims.back() != size) {
      throw usage_error("Incorrect number of unconstrained parameters in \"" + file
                        + "\": expected " + std::to_string(size));
    }
    const std::size_t count = values.size() / size;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<double> point(size);
      for (std::size_t k = 0; k < size; ++k) {
        point[k] = values[i + k * count];  // the last index varies slowest
      }
      points.push_back(std::move(point));
    }
  }
  return points;
}

int log_prob(run& r) {
  const std::string& free = r.set.text("log_prob.unconstrained_params");
  const std::string& constrained = r.set.text("log_prob.constrained_params");
  std::vector<std::vector<double>> points;
  if (!free.empty()) {
    points = unconstrained(r, free);
  } else if (!constrained.empty()) {
    std::stringstream messages;
    std::vector<int> whole;
    std::vector<double> point;
    const auto context = read_context(constrained);
    r.model.transform_inits(*context, whole, point, &messages);
    points.push_back(std::move(point));
  }
  if (points.empty()) {
    throw usage_error("Must supply either constrained_params or unconstrained_params to log_prob");
  }
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
