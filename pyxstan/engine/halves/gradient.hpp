// After the C++ that stanc wrote, in the half of a model that has its log density with the gradient: the
// other half only declares it, see model_base.hpp.
#define PYXSTAN_LOG_PROB(name)                                                              \
  template stan::math::var stan::model::model_base_crtp<stan_model>::name(                  \
      Eigen::Matrix<stan::math::var, Eigen::Dynamic, 1>& theta, std::ostream* messages) const;

PYXSTAN_LOG_PROB(log_prob)
PYXSTAN_LOG_PROB(log_prob_jacobian)
PYXSTAN_LOG_PROB(log_prob_propto)
PYXSTAN_LOG_PROB(log_prob_propto_jacobian)
