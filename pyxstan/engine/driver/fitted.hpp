// Draws of parameters, read back from a CSV file that some method wrote.
#ifndef PYXSTAN_DRIVER_FITTED_HPP
#define PYXSTAN_DRIVER_FITTED_HPP

#include "grammar.hpp"

#include <stan/io/stan_csv_reader.hpp>
#include <stan/model/model_base.hpp>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace pyxstan {

// The parameters on the constrained scale: a row a draw, in the model's order.
inline Eigen::MatrixXd read_fitted(const std::string& file, const stan::model::model_base& model) {
  std::ifstream stream(file);
  if (!stream) {
    throw usage_error("Cannot open specified file, \"" + file + "\"");
  }
  std::stringstream messages;
  const stan::io::stan_csv csv = stan::io::stan_csv_reader::parse(stream, &messages);
  std::vector<std::string> names;
  model.constrained_param_names(names, false, false);
  if (names.empty()) {
    throw usage_error("Model has no parameters, nothing to do.");
  }
  if (csv.samples.rows() == 0) {
    throw usage_error("Error reading fitted parameters from \"" + file + "\": no draws");
  }
  Eigen::MatrixXd draws(csv.samples.rows(), static_cast<Eigen::Index>(names.size()));
  for (std::size_t i = 0; i < names.size(); ++i) {
    // the reader writes the indices of x.1.2 as x[1,2]
    std::string bracketed = names[i];
    const auto dot = bracketed.find('.');
    if (dot != std::string::npos) {
      std::replace(bracketed.begin() + dot + 1, bracketed.end(), '.', ',');
      bracketed[dot] = '[';
      bracketed += ']';
    }
    const auto found = std::find_if(csv.header.begin(), csv.header.end(), [&](const auto& h) {
      return h == names[i] || h == bracketed;
    });
    if (found == csv.header.end()) {
      throw usage_error("Mismatch between model and fitted_parameters csv file \"" + file
                        + "\": no column " + names[i]);
    }
    draws.col(static_cast<Eigen::Index>(i)) = csv.samples.col(found - csv.header.begin());
  }
  return draws;
}

}  // namespace pyxstan

#endif
