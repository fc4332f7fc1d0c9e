// Likelihood of a Gaussian parent in several parameters, whose mean may differ from object to object,
// and its gradient by hand: one exponential a sample, where automatic differentiation would record
// them all. Plain-Stan twin: functions/stack_linear_plain.stanfunctions.
//
// With covariance L L', u_ik = L^-1 (x_ik - mean_i), r_ik = w_ik exp(-u_ik' u_ik / 2) over their sum,
//
//   ln L_i = ln sum_k w_ik exp(-u_ik' u_ik / 2) - ln det L - D / 2 ln 2 pi
//   d/dmean_i = L^-T sum_k r_ik u_ik,   d/dL = L^-T sum_k r_ik u_ik u_ik' - diag(1 / L_jj)
//
// Where nodes stand for samples and an object is far from the parent, sums over nodes are worth nothing:
// then its samples take their place, so that every object costs what the parent says, however far it is.
#ifndef PYXSTAN_STACK_LINEAR_HPP
#define PYXSTAN_STACK_LINEAR_HPP

#include <stan/model/model_header.hpp>

#include <cmath>
#include <ostream>
#include <vector>

template <bool propto, typename Mean, typename L, typename X, typename Weight, typename Power,
          typename FarX, typename FarWeight, typename Far>
stan::return_type_t<Mean, L> stack_linear_lpdf(const Mean& mean_arg, const L& l_arg,
                                               const X& x_arg, const std::vector<int>& start,
                                               const Weight& weight_arg, const Power& power_arg,
                                               const FarX& far_x_arg,
                                               const std::vector<int>& far_start,
                                               const FarWeight& far_weight_arg,
                                               const Far& log_far, std::ostream*) {
  using stan::math::to_ref;
  const auto& mean_ref = to_ref(mean_arg);
  const auto& l_ref = to_ref(l_arg);
  const auto& x = to_ref(x_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& power = to_ref(power_arg);
  const auto& far_x = to_ref(far_x_arg);
  const auto& far_weight = to_ref(far_weight_arg);
  const Eigen::MatrixXd mean = stan::math::value_of(mean_ref);
  const Eigen::MatrixXd l = stan::math::value_of(l_ref);
  const Eigen::Index D = l.rows();
  const Eigen::MatrixXd inverse
      = l.triangularView<Eigen::Lower>().solve(Eigen::MatrixXd::Identity(D, D));
  const double log_scale
      = -l.diagonal().array().log().sum() - 0.5 * static_cast<double>(D) * stan::math::LOG_TWO_PI;

  Eigen::MatrixXd grad_mean(D, mean.cols());
  Eigen::MatrixXd second = Eigen::MatrixXd::Zero(D, D);  // sums over objects of E_r[u u']
  Eigen::VectorXd first(D);
  thread_local Eigen::ArrayXXd u;
  thread_local Eigen::ArrayXd q, ru;
  // Of object i: u, and q the weights over exp(-least / 2); returns least.
  const auto weigh = [&](Eigen::Index i, const auto& points, const auto& weights,
                         const std::vector<int>& starts) {
    const Eigen::Index begin = starts[i] - 1;
    const Eigen::Index size = starts[i + 1] - starts[i];
    u.resize(size, D);
    q.setZero(size);
    for (Eigen::Index j = 0; j < D; ++j) {
      u.col(j).setZero();
      for (Eigen::Index d = 0; d <= j; ++d) {
        u.col(j) += inverse(j, d) * (points.col(d).segment(begin, size).array() - mean(d, i));
      }
      q += u.col(j).square();
    }
    const double least = q.minCoeff();
    q = weights.segment(begin, size).array() * (-0.5 * (q - least)).exp();
    return least;
  };
  double lp = 0;
  double counted = 0;
  for (Eigen::Index i = 0; i < mean.cols(); ++i) {
    double least = weigh(i, x, weight, start);
    double total = q.sum();
    const bool samples = far_start[i + 1] > far_start[i];
    if (samples && !(total > 0 && std::log(total) - 0.5 * least > log_far)) {
      least = weigh(i, far_x, far_weight, far_start);
      total = q.sum();
    }
    lp += power.coeff(i) * (std::log(total) - 0.5 * least + log_scale);
    counted += power.coeff(i);
    const double share = power.coeff(i) / total;
    for (Eigen::Index j = 0; j < D; ++j) {
      ru = q * u.col(j);
      first(j) = share * ru.sum();
      for (Eigen::Index k = 0; k <= j; ++k) {
        second(j, k) += share * (ru * u.col(k)).sum();
      }
    }
    grad_mean.col(i).noalias() = inverse.transpose() * first;
  }
  second.triangularView<Eigen::StrictlyUpper>() = second.transpose();
  Eigen::MatrixXd grad_l = (inverse.transpose() * second).triangularView<Eigen::Lower>();
  grad_l.diagonal().array() -= counted / l.diagonal().array();

  auto ops = stan::math::make_partials_propagator(mean_ref, l_ref);
  if constexpr (!stan::is_constant_all<Mean>::value) {
    stan::math::partials<0>(ops) = std::move(grad_mean);
  }
  if constexpr (!stan::is_constant_all<L>::value) {
    stan::math::partials<1>(ops) = std::move(grad_l);
  }
  return ops.build(lp);
}

#endif
