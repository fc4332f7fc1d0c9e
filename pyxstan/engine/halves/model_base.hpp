// Before the C++ that stanc wrote, in each half of a model: its base class, in place of Stan's own, which
// passes Stan's virtual functions on to the model's templates. Here the log density with its gradient
// is only declared in the one half (PYXSTAN_VALUES), and defined by the other, see gradient.hpp; and
// parameters that come as std::vector are copied into Eigen's vectors, so that nothing is compiled for
// both.
#define STAN_MODEL_MODEL_BASE_CRTP_HPP
#include <stan/model/model_header.hpp>

#include <iostream>
#include <vector>

namespace stan {
namespace model {

template <typename Model>
class model_base_crtp : public model_base {
  template <typename T>
  using column = Eigen::Matrix<T, Eigen::Dynamic, 1>;
  using values = column<double>;
  using variables = column<math::var>;
  using list = std::vector<double>;
  using variable_list = std::vector<math::var>;
  using integers = std::vector<int>;

  const Model& model() const { return static_cast<const Model&>(*this); }

  template <typename T>
  static column<T> copied(const std::vector<T>& from) {
    return Eigen::Map<const column<T>>(from.data(), from.size());
  }

 public:
  explicit model_base_crtp(std::size_t parameters) : model_base(parameters) {}

#define PYXSTAN_LOG_PROB(name, propto, jacobian)                                \
  double name(values& theta, std::ostream* messages) const override {           \
    return model().template log_prob<propto, jacobian>(theta, messages);        \
  }                                                                             \
  double name(list& theta, integers&, std::ostream* messages) const override {  \
    values copy = copied(theta);                                                \
    return name(copy, messages);                                                \
  }                                                                             \
  math::var name(variables& theta, std::ostream* messages) const override;      \
  math::var name(variable_list& theta, integers&, std::ostream* messages) const \
      override {                                                                \
    variables copy = copied(theta);                                             \
    return name(copy, messages);                                                \
  }

  PYXSTAN_LOG_PROB(log_prob, false, false)
  PYXSTAN_LOG_PROB(log_prob_jacobian, false, true)
  PYXSTAN_LOG_PROB(log_prob_propto, true, false)
  PYXSTAN_LOG_PROB(log_prob_propto_jacobian, true, true)
#undef PYXSTAN_LOG_PROB

  void write_array(rng_t& rng, values& theta, values& written, bool transformed = true,
                   bool generated = true, std::ostream* messages = nullptr) const override {
    model().write_array(rng, theta, written, transformed, generated, messages);
  }

  void write_array(rng_t& rng, list& theta, integers&, list& written, bool transformed = true,
                   bool generated = true, std::ostream* messages = nullptr) const override {
    values copy = copied(theta), found;
    write_array(rng, copy, found, transformed, generated, messages);
    written.assign(found.data(), found.data() + found.size());
  }

  void unconstrain_array(const values& constrained, values& theta,
                         std::ostream* messages = nullptr) const override {
    model().unconstrain_array(constrained, theta, messages);
  }

  void unconstrain_array(const list& constrained, list& theta,
                         std::ostream* messages = nullptr) const override {
    values found;
    unconstrain_array(copied(constrained), found, messages);
    theta.assign(found.data(), found.data() + found.size());
  }

  void transform_inits(const io::var_context& context, values& theta,
                       std::ostream* messages) const override {
    model().transform_inits(context, theta, messages);
  }
};

#ifndef PYXSTAN_VALUES
#define PYXSTAN_LOG_PROB(name, propto, jacobian)                                     \
  template <typename Model>                                                          \
  math::var model_base_crtp<Model>::name(variables& theta, std::ostream* messages)   \
      const {                                                                        \
    return model().template log_prob<propto, jacobian>(theta, messages);             \
  }

PYXSTAN_LOG_PROB(log_prob, false, false)
PYXSTAN_LOG_PROB(log_prob_jacobian, false, true)
PYXSTAN_LOG_PROB(log_prob_propto, true, false)
PYXSTAN_LOG_PROB(log_prob_propto_jacobian, true, true)
#undef PYXSTAN_LOG_PROB
#endif

}  // namespace model
}  // namespace stan
