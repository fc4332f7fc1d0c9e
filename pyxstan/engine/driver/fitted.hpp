// Draws of parameters, read back from a CSV file that some method wrote.
#ifndef PYXSTAN_DRIVER_FITTED_HPP
#define PYXSTAN_DRIVER_FITTED_HPP

#include "stan_math.hpp"

#include <stan/io/stan_csv_reader.hpp>
#include <stan/model/model_base.hpp>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyxstan {

// Whether a file is a CSV file by its name.
inline bool is_csv(const std::string& file) {
  return file.size() > 4 && file.compare(file.size() - 4, 4, ".csv") == 0;
}

// The method that wrote a CSV file, as its comments say; empty where they don't.
inline std::string writing_method(const std::string& file) {
  std::ifstream stream(file);
  const std::string key = "# method = ";
  for (std::string line; stream.peek() == '#' && std::getline(stream, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      return line.substr(key.size(), line.find_first_of(" \r", key.size()) - key.size());
    }
  }
  return "";
}

// The parameters on the constrained scale: a row a draw, in the model's order.
inline Eigen::MatrixXd read_fitted(const std::string& file, const stan::model::model_base& model) {
  std::ifstream stream(file);
  if (!stream) {
    throw std::runtime_error("Cannot open specified file, \"" + file + "\"");
  }
  std::stringstream messages;
  const stan::io::stan_csv csv = stan::io::stan_csv_reader::parse(stream, &messages);
  std::vector<std::string> names;
  model.constrained_param_names(names, false, false);
  if (names.empty()) {
    throw std::runtime_error("Model has no parameters, nothing to do.");
  }
  if (csv.samples.rows() == 0) {
    throw std::runtime_error("Error reading fitted parameters from \"" + file + "\": no draws");
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
      throw std::runtime_error("Mismatch between model and fitted_parameters csv file \"" + file
                               + "\": no column " + names[i]);
    }
    draws.col(static_cast<Eigen::Index>(i)) = csv.samples.col(found - csv.header.begin());
  }
  return draws;
}

// The parameters of a file of variables, on the unconstrained scale.
template <typename Context>
Eigen::VectorXd unconstrain(const stan::model::model_base& model, const Context& context,
                            const std::string& file) {
  Eigen::VectorXd point;
  std::stringstream messages;
  try {
    model.transform_inits(context, point, &messages);
  } catch (const std::exception& error) {
    throw std::runtime_error(messages.str() + error.what()
                             + "\nThe parameters in \"" + file
                             + "\" are incomplete or outside their bounds.");
  }
  return point;
}

}  // namespace pyxstan

#endif
